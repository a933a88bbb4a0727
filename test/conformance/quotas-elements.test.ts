/**
 * Limits of tensor elements and of a model's bytes through the whole sidecar: counted from the shapes that a message declares, while it
 * passes; a message that is not paid for does not reach the model server whole.
 */
import { gzipSync } from 'node:zlib';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { afterEach, describe, expect, it } from 'vitest';
import type { LimitConfig, QuotaConfig } from '../../src/config/quota-config.ts';
import { BALANCED, HostileGround, INFER, inferRequest, STREAM_INFER } from '../fakes/hostile-ground.ts';
import { type Answer, frame } from '../fakes/raw-grpc-client.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

function quota(...limits: readonly LimitConfig[]): QuotaConfig {
  return { perTenant: undefined, perCaller: undefined, maxConcurrentCalls: undefined, limits };
}

function elements(amount: number, level: LimitConfig['level'] = 'tenant'): LimitConfig {
  return { name: 'tensors', level, unit: 'tensorElements', bound: { kind: 'total', amount, sinceSeconds: 0 } };
}

/** A request whose one tensor has this shape, and so many bytes of payload. */
function request(shape: readonly (number | bigint)[], payload = 64): Buffer {
  const writer = new BinaryWriter().tag(5, 2).fork().tag(3, 2).fork();
  for (const dimension of shape) writer.int64(dimension);
  writer.join().join().tag(7, 2).bytes(new Uint8Array(payload));
  // The name comes last: what it costs is known when it is known for which model.
  return Buffer.from(writer.tag(1, 2).string('digits').finish());
}

function verdict({ status, reason }: Answer): string {
  return reason === '' ? String(status) : `${status} ${reason}`;
}

describe.each([
  ['a tenant', 'tenant'],
  ['a model', 'model'],
] as const)('tensor elements of %s', (_, level) => {
  it('suffice for a message of n, and not of n + 1, of which the model server never has the whole', async () => {
    ground = await HostileGround.start({ acme: { quota: quota(elements(100, level)) } });
    const client = await ground.client();
    const large = frame(request([101], 40_000));
    expect(verdict(await client.call(INFER, { chunks: [large] }))).toBe('8 QUOTA_EXHAUSTED');
    expect(ground.upstream.calls.every(({ body }) => body.length < large.length)).toBe(true);
    expect(verdict(await client.call(INFER, { chunks: [frame(request([10, 10]))] }))).toBe('0');
    expect(verdict(await client.call(INFER, { chunks: [frame(request([1]))] }))).toBe('8 QUOTA_EXHAUSTED');
    const [refused] = await ground.records(1);
    expect(refused?.detail).toMatch(/"unit":"tensorElements","amount":100/);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('are counted for every message of a stream, which ends when they run out', async () => {
    ground = await HostileGround.start({ acme: { quota: quota(elements(25, level)) } });
    const client = await ground.client();
    const chunks = Array.from({ length: 4 }, () => frame(request([2, 5])));
    const answer = await client.call(STREAM_INFER, { chunks });
    expect(verdict(answer)).toBe('8 QUOTA_EXHAUSTED_MID_STREAM');
    const [record] = await ground.records(1);
    expect(record?.detail).toMatch(/"unit":"tensorElements","amount":25/);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('are counted in a compressed message', async () => {
    ground = await HostileGround.start({ acme: { quota: quota(elements(9, level)) } });
    const client = await ground.client();
    const zipped = frame(gzipSync(request([10])), true);
    const answer = await client.call(INFER, { chunks: [zipped], headers: { 'grpc-encoding': 'gzip' } });
    expect(verdict(answer)).toBe('8 QUOTA_EXHAUSTED');
  });
});

describe('a shape that cannot be', () => {
  it.each([
    ['negative', [-1n]],
    ['larger than any tensor', [2n ** 62n, 4n]],
    ['larger than can be counted', [2 ** 27, 2 ** 27]],
  ])('because it is %s is refused as the message’s fault', async (_, shape) => {
    ground = await HostileGround.start({ acme: { quota: quota(elements(1_000)) } });
    const client = await ground.client();
    expect(verdict(await client.call(INFER, { chunks: [frame(request(shape))] }))).toBe('3 PAYLOAD_REJECTED');
    // It has cost nothing.
    expect(verdict(await client.call(INFER, { chunks: [frame(request([1_000]))] }))).toBe('0');
  });

  it('is the model server’s affair where nobody counts elements', async () => {
    ground = await HostileGround.start();
    const client = await ground.client();
    expect(verdict(await client.call(INFER, { chunks: [frame(request([-1]))] }))).toBe('0');
  });
});

describe('request bytes of a model', () => {
  it('refuse the message that names it', async () => {
    const bytes: LimitConfig = {
      name: 'volume',
      level: 'model',
      unit: 'requestBytes',
      bound: { kind: 'total', amount: 2 * inferRequest().length, sinceSeconds: 0 },
    };
    ground = await HostileGround.start({ acme: { quota: quota(bytes) } });
    const client = await ground.client();
    const infer = async (): Promise<string> => verdict(await client.call(INFER, { chunks: [inferRequest()] }));
    expect([await infer(), await infer(), await infer()]).toEqual(['0', '0', '8 QUOTA_EXHAUSTED']);
  });
});
