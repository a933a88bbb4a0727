/**
 * Model servers that misbehave. Each call ends in a status that its caller can act on, is on record once, and gives back what
 * it held; the next call is served; and the other tenant's model server never enters into it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { statusOfHttp, statusOfReset } from '../../src/grpc/status.ts';
import { Flag, FrameType } from '../../src/http2/frame.ts';
import { dataFrame, FrameClient } from '../fakes/frame-client.ts';
import { BALANCED, eventually, HostileGround, INFER, inferRequest, STREAM_INFER } from '../fakes/hostile-ground.ts';
import { type Answer, frame, type RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import {
  GRPC_HEADERS,
  OK_TRAILERS,
  RawUpstream,
  type RawUpstreamConnection,
  type RawUpstreamOptions,
  type Script,
} from '../fakes/raw-upstream.ts';

let ground: HostileGround;
let upstream: RawUpstream;
let client: RawGrpcClient;
afterEach(async () => {
  await ground.stop();
  await upstream.stop();
});

async function start(script: Script | undefined, options: RawUpstreamOptions = {}): Promise<void> {
  upstream = await RawUpstream.start(options);
  if (script !== undefined) upstream.script = script;
  ground = await HostileGround.start({ acme: { upstream: upstream.config() } });
  client = await ground.client();
}

const infer = (headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
  client.call(INFER, { headers, chunks: [inferRequest()], cancelAfterMs: 5_000 });

const MESSAGE = frame(Buffer.from('answer'));
const HTML = [':status', '503', 'content-type', 'text/html', 'content-length', '4'];
const REFUSED_STREAM = 7;

interface Case {
  readonly name: string;
  readonly script: Script;
  readonly status: number;
  readonly reason: string;
  /** The upstream's own words reach the caller: its status is the server's, with no reason of ours. */
  readonly outcome?: 'ok' | 'failed' | 'denied';
  readonly body?: number;
  /** The status on record, when it is not the caller's. */
  readonly recorded?: number;
  /** `grpc-message` as the caller gets it. */
  readonly message?: string;
}

const internal = { status: 13, reason: 'UPSTREAM_PROTOCOL' } as const;
/** An end that says no status that all clients would read alike. */
const unknown = { status: 2, reason: 'UPSTREAM_PROTOCOL' } as const;
const unavailable = { status: 14, reason: 'UPSTREAM_UNAVAILABLE' } as const;

const CASES: readonly Case[] = [
  {
    name: 'no trailers',
    script: (up, id) => {
      up.headers(id, GRPC_HEADERS, false);
      up.data(id, MESSAGE, true);
    },
    ...unknown,
    body: MESSAGE.length,
  },
  { name: 'headers only', script: (up, id) => up.headers(id, GRPC_HEADERS, true), ...unknown },
  {
    name: 'Trailers-Only whose end comes in a frame of its own',
    script: (up, id) => {
      up.headers(id, [...GRPC_HEADERS, ...OK_TRAILERS], false);
      up.data(id, Buffer.alloc(0), true);
    },
    ...unknown,
  },
  {
    name: 'trailers without a status',
    script: (up, id) => {
      up.headers(id, GRPC_HEADERS, false);
      up.headers(id, ['x-own', '1'], true);
    },
    ...unknown,
  },
  ...(['zero', '00', '-1', '+0', '0x0', '1e1', '', '9999999999'] as const).map((text) => ({
    name: `a status that is ${JSON.stringify(text)}`,
    script: (up: RawUpstreamConnection, id: number) => {
      up.headers(id, GRPC_HEADERS, false);
      up.data(id, MESSAGE);
      up.headers(id, ['grpc-status', text], true);
    },
    ...unknown,
    body: MESSAGE.length,
  })),
  {
    name: 'two statuses',
    script: (up, id) => up.headers(id, [...GRPC_HEADERS, 'grpc-status', '0', 'grpc-status', '7'], true),
    ...unknown,
  },
  {
    name: 'the same status twice',
    script: (up, id) => {
      up.headers(id, GRPC_HEADERS, false);
      up.headers(id, [...OK_TRAILERS, ...OK_TRAILERS], true);
    },
    ...unknown,
  },
  {
    name: 'a status that gRPC does not define',
    script: (up, id) => up.headers(id, [...GRPC_HEADERS, 'grpc-status', '17'], true),
    status: 17,
    reason: '',
    outcome: 'ok',
    recorded: 2,
  },
  {
    name: 'a message that is not percent-encoded as it should be',
    script: (up, id) => up.headers(id, [...GRPC_HEADERS, 'grpc-status', '5', 'grpc-message', '100% %zz %e4%'], true),
    status: 5,
    reason: '',
    outcome: 'ok',
    message: '100% %zz %e4%',
  },
  {
    name: '1xx after its headers',
    script: (up, id) => {
      up.headers(id, GRPC_HEADERS, false);
      up.headers(id, [':status', '103'], false);
    },
    ...internal,
  },
  {
    name: 'a third header block that does not end the stream',
    script: (up, id) => {
      up.headers(id, GRPC_HEADERS, false);
      up.headers(id, OK_TRAILERS, false);
    },
    ...internal,
  },
  {
    name: 'HTTP 503 with a page',
    script: (up, id) => {
      up.headers(id, HTML, false);
      up.data(id, Buffer.from('busy'), true);
    },
    ...unavailable,
  },
  {
    name: 'HTTP 200 in another type',
    script: (up, id) => up.headers(id, [':status', '200', 'content-type', 'text/html'], false),
    status: 2,
    reason: 'UPSTREAM_PROTOCOL',
  },
  { name: 'no :status', script: (up, id) => up.headers(id, ['content-type', 'application/grpc'], false), ...internal },
  { name: 'two :status', script: (up, id) => up.headers(id, [':status', '200', ...GRPC_HEADERS], false), ...internal },
  { name: '101', script: (up, id) => up.headers(id, [':status', '101'], false), ...internal },
  { name: '100 that ends the stream', script: (up, id) => up.headers(id, [':status', '100'], true), ...internal },
  { name: 'DATA before headers', script: (up, id) => up.data(id, MESSAGE), ...internal },
  {
    name: 'hundreds of 1xx, then an answer',
    script: (up, id) => {
      for (let i = 0; i < 300; i++) up.headers(id, [':status', '103', 'link', 'x'], false);
      up.answer(id);
    },
    status: 0,
    reason: '',
    outcome: 'ok',
    body: 5,
  },
  {
    name: 'a promise to push',
    script: (up, id) => up.frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, id, Buffer.from([0, 0, 0, 2, 0x82])),
    ...unavailable,
  },
  {
    name: 'a header list beyond the limit',
    script: (up, id) =>
      up.headers(id, [...GRPC_HEADERS, 'x-long', 'a'.repeat(15 * 1024), 'x-long', 'a'.repeat(900)], false),
    ...internal,
  },
  {
    name: 'garbage',
    script: (up) => up.socket.write('HTTP/1.1 400 Bad Request\r\nserver: nginx\r\n\r\n<html></html>'),
    ...unavailable,
  },
  {
    name: 'an end in the middle of a message',
    script: (up, id) => {
      up.headers(id, GRPC_HEADERS, false);
      up.data(id, MESSAGE.subarray(0, 6));
      setTimeout(() => up.socket.destroy(), 20);
    },
    ...unavailable,
    // Its head is held back until the names in it are known.
    body: 0,
  },
  {
    name: 'more DATA than its window',
    script: (up, id) => {
      up.headers(id, GRPC_HEADERS, false);
      for (let i = 0; i < 40; i++) up.data(id, Buffer.alloc(16_000));
    },
    // The answer cannot be read to its end; which of the two is told depends on how much of it had left.
    status: 13,
    reason: 'UPSTREAM_PROTOCOL',
  },
  { name: 'GOAWAY that names no stream', script: (up) => up.goaway(0, 0), ...unavailable },
  {
    name: 'GOAWAY with an error, and the end',
    script: (up, id) => {
      up.goaway(id, 2);
      up.socket.end();
    },
    ...unavailable,
  },
  {
    name: 'GOAWAY that keeps this stream, then its answer',
    script: (up, id) => {
      up.goaway(id, 0);
      setTimeout(() => up.answer(id), 20);
    },
    status: 0,
    reason: '',
    outcome: 'ok',
    body: 5,
  },
  {
    name: 'GOAWAY in the middle of the answer',
    script: (up, id) => {
      up.headers(id, GRPC_HEADERS, false);
      up.goaway(id, 0);
      up.data(id, MESSAGE);
      up.headers(id, OK_TRAILERS, true);
    },
    status: 0,
    reason: '',
    outcome: 'ok',
    body: MESSAGE.length,
  },
  {
    name: 'a reset after the end',
    script: (up, id) => {
      up.answer(id, MESSAGE);
      up.reset(id, 0);
      up.reset(id, 8);
    },
    status: 0,
    reason: '',
    outcome: 'ok',
    body: MESSAGE.length,
  },
  {
    name: 'a slow dribble, byte by byte',
    script: (up, id) => {
      up.headers(id, GRPC_HEADERS, false);
      for (const [i, byte] of MESSAGE.entries()) setTimeout(() => up.data(id, Buffer.from([byte])), 5 * i);
      setTimeout(() => up.headers(id, OK_TRAILERS, true), 5 * MESSAGE.length);
    },
    status: 0,
    reason: '',
    outcome: 'ok',
    body: MESSAGE.length,
  },
];

/** Every code that RFC 9113 §7 names, and one that it does not. */
const RESETS: readonly Case[] = Array.from({ length: 15 }, (_, code): readonly Case[] => {
  const expected = code === REFUSED_STREAM ? unavailable : { status: statusOfReset(code), reason: 'UPSTREAM_PROTOCOL' };
  return [
    { name: `a reset with code ${code}`, script: (up, id) => up.reset(id, code), ...expected },
    {
      name: `a reset with code ${code} amid the answer`,
      script: (up, id) => {
        up.headers(id, GRPC_HEADERS, false);
        up.data(id, MESSAGE);
        setTimeout(() => up.reset(id, code), 10);
      },
      ...expected,
      body: MESSAGE.length,
    },
  ];
}).flat();

/** HTTP statuses of whatever stands in a model server's place (http-grpc-status-mapping, and one that it does not name). */
const HTTP: readonly Case[] = [
  ...([400, 401, 403, 404, 408, 413, 418, 500, 501] as const).map((code) => ({
    name: `HTTP ${code}`,
    script: (up: RawUpstreamConnection, id: number) => up.headers(id, [':status', String(code)], true),
    status: statusOfHttp(code),
    reason: 'UPSTREAM_PROTOCOL',
  })),
  ...([429, 502, 503, 504] as const).map((code) => ({
    name: `HTTP ${code}`,
    script: (up: RawUpstreamConnection, id: number) => up.headers(id, [':status', String(code)], true),
    ...unavailable,
  })),
  {
    name: 'HTTP 403 with a status of gRPC’s own',
    script: (up, id) =>
      up.headers(id, [':status', '403', 'content-type', 'application/grpc', 'grpc-status', '5'], true),
    status: 5,
    reason: '',
    outcome: 'ok',
  },
];

describe('a model server that answers with', () => {
  it.each([...CASES, ...RESETS, ...HTTP])(
    '$name: $status $reason',
    async ({ script, status, reason, outcome, body, recorded, message }) => {
      await start(script);
      const answer = await infer();
      expect([answer.status, answer.reason]).toEqual([status, reason]);
      if (body !== undefined) expect(answer.body).toHaveLength(body);
      expect(await ground.balanced()).toEqual(BALANCED);
      const records = await ground.records(1);
      expect(records.map((record) => [record.outcome, record.grpcStatus, record.tenant])).toEqual([
        [outcome ?? 'failed', recorded ?? status, 'acme'],
      ]);
      if (message !== undefined) {
        expect(answer.trailers['grpc-message'] ?? answer.headers['grpc-message']).toBe(message);
      }
      // Nothing of ours is told to the caller.
      expect(JSON.stringify([answer.headers, answer.trailers])).not.toContain(upstream.config().authority);
      upstream.script = (up, id) => up.answer(id);
      // After the first back-off at the latest.
      await delay(160);
      expect((await infer()).status).toBe(0);
    },
  );
});

describe('a model server that', () => {
  it.each([['trailers'], ['headers']])(
    'says more in its %s than the client takes has the call reset, and on record as what that says',
    async (which) => {
      const long = ['x-long', 'a'.repeat(2_000)];
      await start((up, id) => {
        up.headers(id, which === 'headers' ? [...GRPC_HEADERS, ...long] : GRPC_HEADERS, false);
        up.data(id, MESSAGE);
        up.headers(id, [...OK_TRAILERS, ...long], true);
      });
      const small = await FrameClient.connect(ground.access(ground.acme));
      // MAX_HEADER_LIST_SIZE of 1,000.
      small.frame(FrameType.SETTINGS, 0, 0, Buffer.from([0, 6, 0, 0, 3, 0xe8]));
      const id = small.open([
        ...[':method', 'POST', ':scheme', 'https', ':path', INFER, ':authority', 'acme.models.test'],
        ...['content-type', 'application/grpc', 'te', 'trailers'],
      ]);
      small.write(dataFrame(id, inferRequest(), true));
      expect((await small.settled(id)).resetCode).toBe(2);
      small.close();
      expect(await ground.balanced()).toEqual(BALANCED);
      // INTERNAL is what gRPC makes of that code.
      expect(await ground.records(1)).toMatchObject([{ outcome: 'failed', grpcStatus: 13 }]);
    },
  );

  it('accepts and says nothing holds a call to its deadline, and no longer', async () => {
    await start(undefined, { mute: true });
    const before = performance.now();
    const answer = await infer({ 'grpc-timeout': '100m' });
    expect([answer.status, answer.reason]).toEqual([4, 'DEADLINE_EXCEEDED']);
    expect(performance.now() - before).toBeLessThan(1_500);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('never reads stalls the sender of a large request, who gets its deadline, and everything back', async () => {
    await start(undefined);
    upstream.onConnection = ({ socket }) => socket.pause();
    const chunks = [frame(Buffer.alloc(4 * 1024 * 1024))];
    const answer = await client.call(INFER, { headers: { 'grpc-timeout': '200m' }, chunks, cancelAfterMs: 3_000 });
    expect([answer.status, answer.reason]).not.toEqual([0, '']);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('answers before the request is whole ends the call, and its rest goes nowhere', async () => {
    await start((up, id) => up.answer(id, MESSAGE));
    const early = await FrameClient.connect(ground.access(ground.acme));
    const id = early.open([
      ...[':method', 'POST', ':scheme', 'https', ':path', STREAM_INFER, ':authority', 'acme.models.test'],
      ...['content-type', 'application/grpc', 'te', 'trailers'],
    ]);
    early.data(id, inferRequest());
    expect(await early.outcome(id)).toBe('status 0');
    // Told to stop (RFC 9113 §8.1), and what it sends all the same is dropped.
    await eventually('NO_ERROR', () => early.stream(id).resetCode === 0);
    early.write(dataFrame(id, inferRequest()), dataFrame(id, inferRequest('globex-secret'), true));
    await delay(30);
    early.close();
    expect(upstream.connections[0]?.received.get(1)).toBe(inferRequest().length);
    expect(await ground.balanced()).toEqual(BALANCED);
    expect((await ground.records(1)).map(({ outcome }) => outcome)).toEqual(['ok']);
  });

  it('answers while our half of the request waits for its window is told that the rest will not come', async () => {
    await start((up, id) => {
      setTimeout(() => up.answer(id, MESSAGE), 50);
    });
    // Its window is 64 KiB and is never widened: END_STREAM cannot leave.
    const answer = await client.call(INFER, { chunks: [inferRequest(), Buffer.alloc(0)], cancelAfterMs: 3_000 });
    expect(answer.status).toBe(0);
    const large = frame(
      Buffer.concat([inferRequest().subarray(5), Buffer.from([0xd2, 5, 0x80, 0x80, 8]), Buffer.alloc(128 * 1024)]),
    );
    const cut = await client.call(INFER, { chunks: [large], cancelAfterMs: 3_000 });
    expect(cut.status).toBe(0);
    const [connection] = upstream.connections;
    await eventually('the reset', () => connection?.resets.has(3) === true);
    // The first was whole, and needed none.
    expect(connection?.resets.has(1)).toBe(false);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('refuses connections is UNAVAILABLE, and the other tenant does not notice', async () => {
    await start(undefined);
    await upstream.stop();
    const neighbour = await ground.client(ground.globex);
    for (let i = 0; i < 20; i++) {
      const [mine, theirs] = await Promise.all([infer(), neighbour.call(INFER, { chunks: [inferRequest()] })]);
      expect([mine.status, mine.reason, theirs.status]).toEqual([14, 'UPSTREAM_UNAVAILABLE', 0]);
    }
  });

  it('allows fewer streams than it is asked for serves them all, one after the other', async () => {
    let refused = 0;
    await start(
      (up, id) => {
        if (up.opened.length - up.answered > 1) {
          refused++;
          up.reset(id, REFUSED_STREAM);
        } else setImmediate(() => up.answer(id));
      },
      { maxConcurrentStreams: 1 },
    );
    // Also the first, which come when nobody knows its limit yet.
    const answers = await Promise.all(Array.from({ length: 50 }, () => infer()));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([0]));
    expect(refused).toBe(0);
    expect(upstream.connections.length).toBeLessThanOrEqual(4);
  });
});

describe('a model server that cancels', () => {
  it('at the deadline is told as the deadline; before it, as the cancellation that it is', async () => {
    await start((up, id) => void setTimeout(() => up.reset(id, 8), 95));
    const early = await infer({ 'grpc-timeout': '2S' });
    expect([early.status, early.reason]).toEqual([1, 'UPSTREAM_PROTOCOL']);
    // Whichever of the two clocks is first: the caller hears the same.
    for (const timeout of ['86m', '88m', '90m']) {
      expect((await infer({ 'grpc-timeout': timeout })).reason).toBe('DEADLINE_EXCEEDED');
    }
  });
});
