/**
 * RateLimit fields on calls that pass, through the whole sidecar: in the first header block of the answer and never in its trailers, by
 * option, and consistent with what the refusal says that follows.
 */
import { afterEach, expect, it } from 'vitest';
import type { QuotaConfig } from '../../src/config/quota-config.ts';
import { HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import { RawUpstream } from '../fakes/raw-upstream.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

function quota(changes: Partial<QuotaConfig>): QuotaConfig {
  return {
    perTenant: undefined,
    perCaller: undefined,
    maxConcurrentCalls: undefined,
    limits: [{ name: 'contract', level: 'tenant', bound: { kind: 'total', amount: 2, sinceSeconds: 0 } }],
    ...changes,
  };
}

it('counts down in the answer’s first headers to what the refusal says', async () => {
  ground = await HostileGround.start({ acme: { quota: quota({ announce: ['ratelimit'] }) } });
  const client = await ground.client();
  const call = () => client.call(INFER, { chunks: [inferRequest()] });
  const [first, second, refused] = [await call(), await call(), await call()];
  expect([first.status, second.status, refused.status]).toEqual([0, 0, 8]);
  expect([first, second, refused].map(({ headers }) => headers['ratelimit'])).toEqual([
    expect.stringMatching(/^"contract";r=1;pk=:[A-Za-z0-9+/]{12}:$/),
    expect.stringMatching(/^"contract";r=0;pk=:[A-Za-z0-9+/]{12}:$/),
    second.headers['ratelimit'],
  ]);
  expect(refused.headers['ratelimit-policy']).toBe(first.headers['ratelimit-policy']);
  expect([first.trailers['ratelimit'], second.trailers['ratelimit-policy']]).toEqual([undefined, undefined]);
  expect(first.headers['x-ratelimit-limit']).toBeUndefined();
});

it('says nothing where it is not asked for', async () => {
  ground = await HostileGround.start({ acme: { quota: quota({}) } });
  const client = await ground.client();
  const { status, headers } = await client.call(INFER, { chunks: [inferRequest()] });
  expect([status, headers['ratelimit'], headers['ratelimit-policy']]).toEqual([0, undefined, undefined]);
});

it('stands in the only block of a Trailers-Only answer of the model server’s', async () => {
  const upstream = await RawUpstream.start();
  upstream.script = (connection, stream) =>
    connection.headers(stream, [':status', '200', 'content-type', 'application/grpc', 'grpc-status', '5'], true);
  const rate = { callsPerSecond: 1, burst: 7 };
  ground = await HostileGround.start({
    acme: { quota: quota({ announce: ['x-ratelimit'], perTenant: rate }), upstream: upstream.config() },
  });
  const client = await ground.client();
  const { status, headers } = await client.call(INFER, { chunks: [inferRequest()] });
  expect(status).toBe(5);
  expect(headers['x-ratelimit-limit']).toBe('7, 7;w=7;name="tenant"');
  expect(headers['x-ratelimit-remaining']).toBe('6');
  await upstream.stop();
});
