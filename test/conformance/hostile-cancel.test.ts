/**
 * Clients that leave at the worst moment. Whatever they do, what they held comes back: the lease, the bytes, and the model
 * server's window; and every call that was begun is on record exactly once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { respond } from '../fakes/fake-upstream.ts';
import {
  BALANCED,
  eventually,
  fresh,
  HostileGround,
  INFER,
  inferRequest,
  STREAM_INFER,
} from '../fakes/hostile-ground.ts';
import { frame } from '../fakes/raw-grpc-client.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

/** One upstream connection, so that what one call takes from its window is missing to the next. */
async function oneConnection(): Promise<void> {
  ground = await HostileGround.start();
  const config = { ...ground.upstream.config, maxConnections: 1 };
  ground.sidecar.apply(ground.generation({ acme: { upstream: config } }));
}

const KIB = 1024;

describe('a client that never reads', () => {
  it("gives back the model server's window when it cancels an answer that is complete", async () => {
    await oneConnection();
    const big = frame(Buffer.alloc(200 * KIB));
    let answered = 0;
    ground.upstream.answer = (stream) => {
      stream.on('close', () => answered++);
      respond(stream, 0, big);
    };
    const attacker = await ground.client(ground.acme, { initialWindowBytes: 1 });
    for (let i = 0; i < 8; i++) {
      const call = attacker.call(INFER, { chunks: [inferRequest()], cancelAfterMs: 100 });
      await eventually('an answer', () => answered > i);
      await call;
    }
    expect(await ground.balanced()).toEqual(BALANCED);
    const neighbour = await ground.client();
    const answer = await neighbour.call(INFER, { chunks: [inferRequest()], cancelAfterMs: 2_000 });
    expect([answer.status, answer.body.length]).toEqual([0, big.length]);
  });

  it('is cut off by its own deadline, and its lease and bytes come back', async () => {
    ground = await HostileGround.start();
    ground.upstream.answer = (stream) => respond(stream, 0, frame(Buffer.alloc(100 * KIB)));
    const client = await ground.client(ground.acme, { initialWindowBytes: 1 });
    const stream = client.session.request({
      ':method': 'POST',
      ':path': INFER,
      'content-type': 'application/grpc',
      te: 'trailers',
      'grpc-timeout': '100m',
    });
    stream.on('error', () => undefined);
    stream.end(inferRequest());
    expect(await ground.balanced()).toEqual(BALANCED);
    await eventually('RST_STREAM(CANCEL)', () => stream.rstCode === 8);
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ outcome: 'failed', reason: 'deadline_exceeded', grpcStatus: 4 });
  });

  it('cannot take a refusal off the record by leaving before it has read it', async () => {
    ground = await HostileGround.start();
    let stop = false;
    ground.upstream.answer = (stream, call) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.write(frame(Buffer.alloc(100 * KIB)));
      void call;
      stop = true;
    };
    const client = await ground.client(ground.acme, { initialWindowBytes: 1 });
    const stream = client.session.request({
      ':method': 'POST',
      ':path': STREAM_INFER,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined);
    stream.write(inferRequest());
    await eventually('an answer in the queue', () => stop);
    await delay(50);
    stream.write(inferRequest('globex-secret'));
    await delay(50);
    stream.close(8);
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ outcome: 'denied', reason: 'model_denied', model: 'globex-secret', grpcStatus: 7 });
    expect(record?.detail).toContain('not delivered');
  });
});

describe('ten thousand cancelled calls', () => {
  it('leave nothing behind but their records, one each', { timeout: 60_000 }, async () => {
    ground = await HostileGround.start({ limits: { maxConcurrentStreams: 256 } });
    ground.upstream.answer = () => undefined;
    let sent = 0;
    const token = ground.acme.issuer.token(fresh());
    for (let round = 0; round < 100; round++) {
      // A new connection for each hundred: more young resets on one would be taken for an attack, which they are.
      const client = await ground.client();
      const calls = [];
      for (let i = 0; i < 100; i++) {
        const bearer = i % 3 === 0 ? token : ground.acme.issuer.token(fresh({ sub: `s${round}-${i % 5}` }));
        const stream = client.session.request({
          ':method': 'POST',
          ':path': i % 2 === 0 ? INFER : STREAM_INFER,
          'content-type': 'application/grpc',
          te: 'trailers',
          authorization: `Bearer ${bearer}`,
          traceparent: `00-${(++sent).toString(16).padStart(32, '0')}-00f067aa0ba902b7-01`,
        });
        stream.on('error', () => undefined);
        calls.push(new Promise<void>((resolve) => stream.on('close', () => resolve())));
        if (i % 4 !== 0) stream.write(i % 4 === 1 ? inferRequest().subarray(0, 4) : inferRequest());
        // In the same turn, in the next, or while the call runs.
        if (i % 5 === 0) stream.close(8);
        else if (i % 5 === 1) setImmediate(() => stream.close(8));
        else setTimeout(() => stream.close(8), i % 7);
      }
      await Promise.all(calls);
      client.close();
    }
    expect(await ground.balanced()).toEqual(BALANCED);
    const records = await ground.records(1);
    const ids = records.map((record) => record.clientTrace?.traceId ?? '');
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeLessThanOrEqual(sent);
    // A stream that its client reset before it sent its HEADERS never reached us.
    expect(ids.length).toBeGreaterThan(sent * 0.75);
    // Its own resets, a stream that node:http2 closes with END_STREAM first, and what the model server made of the flood.
    expect(records.filter(({ outcome, reason }) => outcome === 'ok' || reason === 'internal')).toEqual([]);
    expect(ground.upstream.calls.every((call) => call.reset || !call.ended)).toBe(true);
  });
});
