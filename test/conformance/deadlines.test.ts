/** Deadlines through the whole sidecar: what is forwarded is what is left, and nobody gets more than the limit. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { parseTimeoutMicros } from '../../src/grpc/timeout.ts';
import { BALANCED, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import { RawUpstream } from '../fakes/raw-upstream.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

/** What the model server was told, in ms. */
const told = (): number =>
  (parseTimeoutMicros(String(ground.upstream.calls.at(-1)?.headers['grpc-timeout'])) ?? 0) / 1_000;

describe('a call with a deadline', () => {
  it('takes what is left of it to the model server, without what has passed', async () => {
    ground = await HostileGround.start();
    const client = await ground.client();
    // The message's end comes late: only then is the way to the model server opened.
    const stream = client.session.request({
      ':method': 'POST',
      ':path': INFER,
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': '2S',
    });
    const answered = new Promise((resolve) => stream.on('end', resolve));
    stream.on('error', () => undefined).resume();
    await delay(300);
    stream.end(inferRequest());
    await answered;
    expect(told()).toBeGreaterThan(1_000);
    expect(told()).toBeLessThanOrEqual(1_705);
  });

  it('takes less of it when it is sent again', async () => {
    const upstream = await RawUpstream.start();
    upstream.script = (up, id) => void setTimeout(() => (id === 1 ? up.reset(id, 7) : undefined), 200);
    ground = await HostileGround.start({ acme: { upstream: upstream.config() } });
    const client = await ground.client();
    const from = performance.now();
    const headers = { 'grpc-timeout': '400m' };
    const answer = await client.call(INFER, { headers, chunks: [inferRequest()], cancelAfterMs: 5_000 });
    expect(answer).toMatchObject({ status: 4, reason: 'DEADLINE_EXCEEDED' });
    expect(performance.now() - from).toBeLessThan(600);
    expect(upstream.connections[0]?.opened).toEqual([1, 3]);
    await upstream.stop();
  });
});

describe('a call where deadlines have a limit', () => {
  it.each([
    ['without one of its own', {}],
    ['with a later one', { 'grpc-timeout': '1H' }],
  ])('%s ends at the greatest deadline', async (_, headers) => {
    ground = await HostileGround.start({ limits: { maxDeadlineMs: 200 } });
    ground.upstream.answer = () => undefined;
    const client = await ground.client();
    const from = performance.now();
    const answer = await client.call(INFER, { headers, chunks: [inferRequest()], cancelAfterMs: 5_000 });
    expect(answer).toMatchObject({ status: 4, reason: 'DEADLINE_EXCEEDED' });
    expect(performance.now() - from).toBeGreaterThanOrEqual(195);
    expect(told()).toBeLessThanOrEqual(200);
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ reason: 'deadline_exceeded', detail: 'timeoutMs=200' });
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('keeps an earlier one', async () => {
    ground = await HostileGround.start({ limits: { maxDeadlineMs: 10_000 } });
    const client = await ground.client();
    await client.call(INFER, { headers: { 'grpc-timeout': '500m' }, chunks: [inferRequest()] });
    expect(told()).toBeLessThanOrEqual(500);
  });
});
