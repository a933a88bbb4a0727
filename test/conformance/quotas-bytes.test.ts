/**
 * Limits of bytes through the whole sidecar: a message that is not paid for does not go on, a stream ends after the last whole one that
 * was, with what it has used; and what was paid for and never came is given back, however the call ends.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { LimitConfig, QuotaConfig } from '../../src/config/quota-config.ts';
import { BALANCED, HostileGround, INFER, inferRequest, STREAM_INFER } from '../fakes/hostile-ground.ts';
import { type Answer, frame, type RawGrpcClient } from '../fakes/raw-grpc-client.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

function bytes(unit: 'requestBytes' | 'responseBytes', amount: number): LimitConfig {
  return { name: 'volume', level: 'tenant', unit, bound: { kind: 'total', amount, sinceSeconds: 0 } };
}

function quota(...limits: readonly LimitConfig[]): QuotaConfig {
  return { perTenant: undefined, perCaller: undefined, maxConcurrentCalls: undefined, limits };
}

function verdict({ status, reason }: Answer): string {
  return reason === '' ? String(status) : `${status} ${reason}`;
}

const REQUEST = inferRequest();
const TOKEN = frame(Buffer.alloc(95));

async function infer(client: RawGrpcClient, chunks = [REQUEST]): Promise<string> {
  return verdict(await client.call(INFER, { chunks }));
}

/** The model server answers with these pieces, then OK. */
function answering(pieces: readonly Buffer[]): void {
  ground.upstream.answer = (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    void (async () => {
      for (const piece of pieces) {
        if (stream.destroyed) return;
        stream.write(piece);
        await turn();
      }
      stream.end();
    })();
  };
}

describe('bytes of requests', () => {
  it.each([
    [2 * REQUEST.length - 1, '8 QUOTA_EXHAUSTED'],
    [2 * REQUEST.length, '0'],
  ])('%i of them have the second call end in %s', async (amount, second) => {
    ground = await HostileGround.start({ acme: { quota: quota(bytes('requestBytes', amount)) } });
    const client = await ground.client();
    expect([await infer(client), await infer(client)]).toEqual(['0', second]);
    expect(await infer(client)).toBe('8 QUOTA_EXHAUSTED');
    const bodies = ground.upstream.calls.map(({ body }) => body.length);
    expect(bodies).toEqual(second === '0' ? [REQUEST.length, REQUEST.length] : [REQUEST.length]);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('that do not suffice for a stream’s next message end it, and it is told what it has used', async () => {
    ground = await HostileGround.start({ acme: { quota: quota(bytes('requestBytes', 3 * REQUEST.length - 1)) } });
    const client = await ground.client();
    const answer = await client.call(STREAM_INFER, { chunks: [REQUEST, REQUEST, REQUEST] });
    expect(verdict(answer)).toBe('8 QUOTA_EXHAUSTED_MID_STREAM');
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ outcome: 'denied', reason: 'quota_exhausted_mid_stream' });
    expect(record?.detail).toMatch(/"name":"volume","level":"tenant","unit":"requestBytes"/);
    expect(record?.gates.some(({ gate, verdict: passed }) => gate === 'reserve' && passed === 'deny')).toBe(true);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('that were paid for and never came are given back when the client leaves', async () => {
    const large = frame(Buffer.alloc(10_000));
    ground = await HostileGround.start({
      acme: { quota: quota(bytes('requestBytes', large.length + REQUEST.length)) },
    });
    const client = await ground.client();
    // Its prefix says 10,000, and one byte of them comes.
    await client.call(STREAM_INFER, { chunks: [large.subarray(0, 6)], cancelAfterMs: 50 });
    expect(await ground.balanced()).toEqual(BALANCED);
    // Nothing but six bytes are gone: with all of them gone, the second of these had no room.
    expect([await infer(client), await infer(client)]).toEqual(['0', '0']);
  });
});

describe('bytes of responses', () => {
  it.each([
    ['whole messages', [TOKEN, TOKEN, TOKEN, TOKEN]],
    ['all at once', [Buffer.concat([TOKEN, TOKEN, TOKEN, TOKEN])]],
    [
      'pieces that cut every prefix',
      Array.from({ length: 200 }, (_, n) => Buffer.concat([TOKEN, TOKEN, TOKEN, TOKEN]).subarray(n * 2, n * 2 + 2)),
    ],
  ])('that run out end a stream after its last whole message, when it comes in %s', async (_, pieces) => {
    ground = await HostileGround.start({ acme: { quota: quota(bytes('responseBytes', 3 * TOKEN.length + 50)) } });
    answering(pieces);
    const client = await ground.client();
    const answer = await client.call(STREAM_INFER, { chunks: [REQUEST] });
    expect(verdict(answer)).toBe('8 QUOTA_EXHAUSTED_MID_STREAM');
    expect(answer.resetCode).toBeUndefined();
    expect(answer.body).toEqual(Buffer.concat([TOKEN, TOKEN, TOKEN]));
    expect(answer.trailers['grpc-retry-pushback-ms']).toBe('-1');
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ responseBytes: 3 * TOKEN.length, responseMessages: 3 });
    expect(record?.detail).toMatch(new RegExp(`requestBytes=${REQUEST.length} responseBytes=${3 * TOKEN.length}`));
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('that suffice are passed on to the byte', async () => {
    ground = await HostileGround.start({ acme: { quota: quota(bytes('responseBytes', 4 * TOKEN.length)) } });
    answering([TOKEN, TOKEN, TOKEN, TOKEN]);
    const client = await ground.client();
    const answer = await client.call(STREAM_INFER, { chunks: [REQUEST] });
    expect(verdict(answer)).toBe('0');
    expect(answer.body).toHaveLength(4 * TOKEN.length);
    expect(verdict(await client.call(STREAM_INFER, { chunks: [REQUEST] }))).toBe('8 QUOTA_EXHAUSTED');
  });

  it('that were paid for and never came are given back when the model server fails', async () => {
    // With namespaces, nothing of so short a message leaves before it is whole, and nothing is paid for.
    const paid = { quota: quota(bytes('responseBytes', 2 * TOKEN.length)), namespaces: 'off' as const };
    ground = await HostileGround.start({ acme: paid });
    const client = await ground.client();
    for (let round = 0; round < 5; round++) {
      ground.upstream.answer = (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
        stream.write(TOKEN.subarray(0, 10));
        setTimeout(() => stream.close(2), 20);
      };
      expect((await client.call(INFER, { chunks: [REQUEST] })).status).not.toBe(0);
    }
    expect(await ground.balanced()).toEqual(BALANCED);
    // 50 of 200 bytes came: there is room for one whole answer, and not for two.
    answering([TOKEN]);
    expect([await infer(client), await infer(client)]).toEqual(['0', '8 QUOTA_EXHAUSTED_MID_STREAM']);
  });

  it('of many streams at once never exceed the limit, and each ends with whole messages', async () => {
    const room = 1_000;
    ground = await HostileGround.start({ acme: { quota: quota(bytes('responseBytes', room * TOKEN.length + 1)) } });
    answering(Array.from({ length: 100 }, () => TOKEN));
    const client = await ground.client();
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => client.call(STREAM_INFER, { chunks: [REQUEST] })),
    );
    const bodies = answers.map(({ body }) => body.length);
    expect(bodies.every((length) => length % TOKEN.length === 0)).toBe(true);
    expect(bodies.reduce((sum, length) => sum + length, 0)).toBe(room * TOKEN.length);
    const reasons = new Set(answers.map(verdict));
    expect([...reasons].sort()).toEqual(expect.arrayContaining(['8 QUOTA_EXHAUSTED_MID_STREAM']));
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});
