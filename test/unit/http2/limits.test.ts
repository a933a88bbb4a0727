/** Every limit of `limits.ts` at n and at n + 1, and the counter-proof: with the limit raised the same attack goes on. */
import { describe, expect, test } from 'vitest';
import { ErrorCode } from '../../../src/http2/error-code.ts';
import { Flag, FrameType } from '../../../src/http2/frame.ts';
import { MAX_LIST_EXCESS } from '../../../src/http2/hpack-decoder.ts';
import { type ConnectionLimits, defaultLimits, type Rate, type RateName } from '../../../src/http2/limits.ts';
import { eventually, REQUEST } from './loopback.ts';
import { encode, frame, PING, RawPeer, SETTINGS, word } from './raw-peer.ts';

const rate = (burst: number): Rate => ({ burst, perSecond: 0, perUsefulFrame: 0 });

/** Streams 1, 3, 5, … so that each attack can open as many as it wants. */
const id = (index: number): number => 2 * index + 1;

interface Attack {
  readonly limit: RateName;
  /** What opens the attack and is not counted. */
  readonly opening?: (peer: RawPeer) => Buffer[];
  /** The nth frame, or frames, that count one. */
  readonly strike: (peer: RawPeer, index: number) => Buffer[];
}

const attacks: readonly Attack[] = [
  {
    limit: 'youngResets',
    strike: (peer, index) => [
      peer.headers(id(index), REQUEST, true),
      frame(FrameType.RST_STREAM, 0, id(index), word(ErrorCode.CANCEL)),
    ],
  },
  {
    limit: 'provokedResets',
    strike: (peer, index) => [
      peer.headers(id(index), REQUEST, false),
      frame(FrameType.WINDOW_UPDATE, 0, id(index), word(0)),
    ],
  },
  {
    limit: 'provokedResets',
    strike: (peer, index) => [
      peer.headers(id(index), [...REQUEST, 'content-length', '5'], false),
      frame(FrameType.DATA, Flag.END_STREAM, id(index), Buffer.from('four')),
    ],
  },
  {
    limit: 'provokedResets',
    strike: (peer, index) => [
      peer.headers(id(index), REQUEST, false),
      frame(FrameType.PRIORITY, 0, id(index), Buffer.alloc(4)),
    ],
  },
  {
    limit: 'provokedResets',
    strike: (peer, index) => [peer.headers(id(index), REQUEST, true), peer.headers(id(index), ['a', 'b'], true)],
  },
  { limit: 'provokedResets', strike: (peer, index) => [peer.headers(id(index), ['A', 'b'], true)] },
  { limit: 'pings', strike: () => [PING] },
  { limit: 'windowUpdates', strike: () => [frame(FrameType.WINDOW_UPDATE, 0, 0, word(1))] },
  { limit: 'priorities', strike: (_peer, index) => [frame(FrameType.PRIORITY, 0, id(index), Buffer.alloc(5))] },
  {
    limit: 'emptyData',
    opening: (peer) => [peer.headers(1, REQUEST, false)],
    strike: () => [frame(FrameType.DATA, 0, 1)],
  },
  {
    limit: 'emptyData',
    opening: (peer) => [peer.headers(1, REQUEST, false)],
    strike: () => [frame(FrameType.DATA, Flag.PADDED, 1, Buffer.from([3, 0, 0, 0]))],
  },
  {
    limit: 'goaways',
    opening: (peer) => [peer.headers(1, REQUEST, false)],
    strike: () => [frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(8))],
  },
  { limit: 'unknownFrames', strike: () => [frame(0xbe, 0xff, 0, Buffer.from('?'))] },
  {
    limit: 'lateFrames',
    opening: (peer) => [peer.headers(1, REQUEST, false), frame(FrameType.WINDOW_UPDATE, 0, 1, word(0))],
    strike: () => [frame(FrameType.DATA, 0, 1, Buffer.from('late'))],
  },
  {
    limit: 'lateFrames',
    opening: (peer) => [peer.headers(1, REQUEST, false), frame(FrameType.WINDOW_UPDATE, 0, 1, word(0))],
    strike: (peer) => [peer.headers(1, ['late', 'trailer'], true)],
  },
];

async function attack({ limit, opening, strike }: Attack, strikes: number, burst: number): Promise<RawPeer> {
  const peer = RawPeer.server({ limits: { [limit]: rate(burst) } });
  await eventually(() => peer.heard.length > 2);
  peer.say(...(opening?.(peer) ?? []));
  for (let index = 0; index < strikes; index++) peer.say(...strike(peer, index));
  // A probe that counts against nothing that is under attack.
  peer.say(limit === 'pings' ? frame(0xbe, 0, 0) : PING);
  await new Promise((resolve) => setTimeout(resolve, 15));
  return peer;
}

describe.each(attacks)('a flood against $limit', (flood) => {
  test('is let through up to the limit', async () => {
    const peer = await attack(flood, 5, 5);
    expect(peer.goawayCode).toBe(undefined);
    expect(peer.owner.ends).toEqual([]);
    peer.socket.destroy();
  });

  test('ends the connection at one more, and says which limit', async () => {
    const peer = await attack(flood, 6, 5);
    expect(peer.goawayCode).toBe(ErrorCode.ENHANCE_YOUR_CALM);
    expect(peer.owner.ends).toEqual([
      {
        kind: 'protocol',
        code: ErrorCode.ENHANCE_YOUR_CALM,
        why: `${flood.limit} exceeded`,
        limit: flood.limit,
      },
    ]);
    for (const { owner } of peer.owner.streams) expect(owner.resets.length).toBeLessThanOrEqual(1);
    peer.socket.destroy();
  });

  test('goes on when the limit is higher', async () => {
    const peer = await attack(flood, 6, 6);
    expect(peer.owner.ends).toEqual([]);
    peer.socket.destroy();
  });
});

describe('a rapid reset', () => {
  test('dispatches no more than a hundred streams before it is over, by default', async () => {
    const peer = RawPeer.server({ maxConcurrentStreams: 1000 });
    const pieces: Buffer[] = [];
    for (let index = 0; index < 5_000; index++) {
      pieces.push(peer.headers(id(index), REQUEST, true), frame(FrameType.RST_STREAM, 0, id(index), word(8)));
    }
    peer.say(...pieces);
    await eventually(() => peer.owner.ends.length > 0);
    expect(peer.owner.streams.length).toBeLessThanOrEqual(101);
    expect(peer.goawayCode ?? (await eventually(() => peer.closed), peer.goawayCode)).toBe(ErrorCode.ENHANCE_YOUR_CALM);
  });
});

describe('a client that hedges', () => {
  test('may cancel a young call for each that ends regularly', async () => {
    const youngResets: Rate = { ...rate(2), perFinishedStream: 1 };
    const peer = RawPeer.server({ limits: { youngResets } });
    for (let index = 0; index < 60; index += 2) {
      peer.say(peer.headers(id(index), REQUEST, true), peer.headers(id(index + 1), REQUEST, true));
      await peer.settle();
      peer.owner.streams[index]?.stream.sendHeaders([':status', '200'], true);
      peer.say(frame(FrameType.RST_STREAM, 0, id(index + 1), word(8)));
      await peer.settle();
    }
    expect(peer.owner.ends).toEqual([]);
  });
});

describe('control frames that come with real work', () => {
  test('are paid for by it', async () => {
    const pings: Rate = { burst: 2, perSecond: 0, perUsefulFrame: 2 };
    const peer = RawPeer.server({ limits: { pings }, maxConcurrentStreams: 100 });
    for (let index = 0; index < 50; index++) peer.say(peer.headers(id(index), REQUEST, true), PING, PING);
    await eventually(() => peer.of(FrameType.PING).length === 100);
    expect(peer.owner.ends).toEqual([]);
  });
});

async function ended(peer: RawPeer): Promise<string | undefined> {
  const end = await peer.owner.ended;
  return end.kind === 'protocol' ? end.limit : undefined;
}

describe('the limits on header blocks', () => {
  const limits = { maxContinuationFrames: 3, maxHeaderBlockBytes: 400, maxHeaderFields: 10 };
  const over = { limits, maxHeaderListBytes: 1_000 };

  function split(streamId: number, block: Buffer, continuations: number): Buffer[] {
    const frames = [frame(FrameType.HEADERS, Flag.END_STREAM, streamId, block)];
    for (let index = 1; index <= continuations; index++) {
      frames.push(frame(FrameType.CONTINUATION, index === continuations ? Flag.END_HEADERS : 0, streamId));
    }
    return frames;
  }

  test.each([
    [limits, 3, undefined],
    [limits, 4, 'maxContinuationFrames'],
    [{ ...limits, maxContinuationFrames: 4 }, 4, undefined],
  ])('let as many CONTINUATION frames through as they say, and not one more: %j, %i', async (held, count, limit) => {
    const peer = RawPeer.server({ ...over, limits: held });
    peer.say(...split(1, encode(REQUEST), count));
    await peer.settle();
    const [end] = peer.owner.ends;
    expect(end?.kind === 'protocol' ? end.limit : undefined).toBe(limit);
    expect(peer.owner.streams).toHaveLength(limit === undefined ? 1 : 0);
  });

  test.each([
    [400, undefined],
    [401, 'maxHeaderBlockBytes'],
  ])('a split block of %i bytes ends in %s', async (bytes, limit) => {
    const peer = RawPeer.server(over);
    const block = encode(REQUEST);
    const filler = Buffer.alloc(bytes - block.length, 0);
    // Literals `: ` of four octets each, and size updates of one, fill up the rest: whatever it means, it is counted first.
    peer.say(frame(FrameType.HEADERS, 0, 1, block), frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, filler));
    const end = await peer.owner.ended.then((value) => (value.kind === 'protocol' ? value : undefined));
    expect(end?.limit).toBe(limit);
    if (limit === undefined) expect(end?.code).toBe(ErrorCode.COMPRESSION_ERROR);
  });

  test('refuse a stream with one field more, and keep the tables in step', async () => {
    const peer = RawPeer.server(over);
    const fields = (count: number) => Array.from({ length: count - 6 }, (_, index) => [`x-${index}`, 'v']).flat();
    peer.say(peer.headers(1, [...REQUEST, ...fields(10)], true));
    peer.say(peer.headers(3, [...REQUEST, ...fields(11)], true));
    peer.say(peer.headers(5, REQUEST, true));
    await peer.settle();
    expect(peer.owner.streams.map(({ stream }) => stream.id)).toEqual([1, 5]);
    expect(peer.resetCodes(3)).toEqual([ErrorCode.ENHANCE_YOUR_CALM]);
  });

  test('refuse a stream whose list is one byte longer, and keep the tables in step', async () => {
    const peer = RawPeer.server({ ...over, limits: { ...limits, maxHeaderFields: 100 } });
    const size = (block: readonly string[]) => block.join('').length + (block.length / 2) * 32;
    const padded = (bytes: number) => [...REQUEST, 'x', 'v'.repeat(bytes - size([...REQUEST, 'x', '']))];
    peer.say(
      peer.headers(1, padded(1_000), true),
      peer.headers(3, padded(1_001), true),
      peer.headers(5, REQUEST, true),
    );
    await peer.settle();
    expect(peer.owner.streams.map(({ stream }) => stream.id)).toEqual([1, 5]);
    expect(peer.resetCodes(3)).toEqual([ErrorCode.ENHANCE_YOUR_CALM]);
  });

  test('hold for trailers too', async () => {
    const peer = RawPeer.server(over);
    const trailers = Array.from({ length: 11 }, (_, index) => [`x-${index}`, 'v']).flat();
    peer.say(peer.headers(1, REQUEST, false), peer.headers(1, trailers, true), peer.headers(3, REQUEST, true));
    await peer.settle();
    expect(peer.owner.streams[0]?.owner.resets).toEqual([
      { by: 'us', code: ErrorCode.ENHANCE_YOUR_CALM, why: 'maxHeaderFields exceeded' },
    ]);
    expect(peer.owner.streams.map(({ stream }) => stream.id)).toEqual([1, 3]);
  });

  test('stop an HPACK bomb at what a list may hold', async () => {
    const peer = RawPeer.server({ maxHeaderListBytes: 16_384 });
    // One entry of 4,001 octets in the table, and references of one octet to it: 48 MB.
    peer.say(frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, bomb(12_000)));
    expect(await ended(peer)).toBe('maxHeaderListBytes');
    expect(peer.owner.streams).toEqual([]);
  });

  test('refuse a list up to so many times its limit, keep the tables in step, and end the connection beyond', async () => {
    // As it was decoded: the entry itself, and each time that it is named.
    const entry = 4_001;
    const maxHeaderListBytes = entry;
    for (const [lists, limit] of [
      [MAX_LIST_EXCESS, undefined],
      [MAX_LIST_EXCESS + 1, 'maxHeaderListBytes'],
    ] as const) {
      const peer = RawPeer.server({ maxHeaderListBytes });
      const block = bomb(lists - 1);
      peer.say(frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, block), peer.headers(3, REQUEST, true));
      await peer.settle();
      const [end] = peer.owner.ends;
      expect(end?.kind === 'protocol' ? end.limit : undefined).toBe(limit);
      expect(peer.owner.streams.map(({ stream }) => stream.id)).toEqual(limit === undefined ? [3] : []);
    }
  });
});

/** An entry of 4,001 octets for the table, named so many times more. */
function bomb(references: number): Buffer {
  const entry = Buffer.from([0x40, 1, 0x78, 0x7f, 0x81, 0x1e]);
  return Buffer.concat([entry, Buffer.alloc(3_968, 'v'), Buffer.alloc(references, 0xbe)]);
}

describe('the limit on concurrent streams', () => {
  test('refuses one more, and lets the next in when one has ended', async () => {
    const peer = RawPeer.server({ maxConcurrentStreams: 2 });
    peer.say(peer.headers(1, REQUEST, true), peer.headers(3, REQUEST, true), peer.headers(5, REQUEST, true));
    await peer.settle();
    expect(peer.resetCodes(5)).toEqual([ErrorCode.REFUSED_STREAM]);
    peer.owner.streams[0]?.stream.sendHeaders([':status', '200'], true);
    peer.say(peer.headers(7, REQUEST, true));
    await peer.settle();
    expect(peer.owner.streams.map(({ stream }) => stream.id)).toEqual([1, 3, 7]);
  });
});

/** What was said is read, and what that led to is in the output. */
async function turns(): Promise<void> {
  for (let round = 0; round < 3; round++) await new Promise((resolve) => setImmediate(resolve));
}

describe('the limits on a peer that does not do its part', () => {
  const quick: Partial<ConnectionLimits> = {
    settingsAckTimeoutMs: 40,
    writeStallTimeoutMs: 40,
    serverKeepaliveMs: 30,
    keepaliveTimeoutMs: 30,
    lingerMs: 20,
  };

  test('end the connection when SETTINGS are not acknowledged', async () => {
    const peer = new RawPeer('server', { limits: { settingsAckTimeoutMs: 40 } });
    peer.say(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), SETTINGS);
    const end = await peer.owner.ended;
    expect(end).toMatchObject({ code: ErrorCode.SETTINGS_TIMEOUT, limit: 'settingsAckTimeoutMs' });
  });

  test('end the connection when it never reads', async () => {
    const peer = RawPeer.server({ limits: quick, connectionWindowBytes: 65_535 });
    await peer.settle();
    peer.socket.pause();
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, 0, word(1_000_000)), peer.headers(1, REQUEST, true));
    await eventually(() => peer.owner.streams.length === 1);
    const { stream, owner } = peer.owner.streams[0] ?? {};
    stream?.sendHeaders([':status', '200'], false);
    stream?.sendData(Buffer.alloc(1_000_000), true);
    expect(await ended(peer)).toBe('writeStallTimeoutMs');
    expect(owner?.resets).toHaveLength(1);
    await eventually(() => peer.engineSocket.destroyed);
  });

  test.each([
    [20, 20, undefined],
    [20, 21, 'maxQueuedControlFrames'],
    [21, 21, undefined],
  ])('let %i answers wait for it, and end the connection at one more: %i', async (limit, answers, exceeded) => {
    const peer = RawPeer.server({ limits: { maxQueuedControlFrames: limit, pings: rate(1_000) } });
    await peer.settle();
    peer.socket.pause();
    // A duplex pair takes some before it pushes back: the engine must have something to wait with.
    const wide = [frame(FrameType.WINDOW_UPDATE, 0, 0, word(1e6)), frame(FrameType.WINDOW_UPDATE, 0, 1, word(1e6))];
    peer.say(peer.headers(1, REQUEST, true), ...wide);
    await eventually(() => peer.owner.streams.length === 1);
    await turns();
    peer.owner.streams[0]?.stream.sendHeaders([':status', '200'], false);
    peer.owner.streams[0]?.stream.sendData(Buffer.alloc(500_000), true);
    await turns();
    for (let index = 0; index < answers; index++) {
      peer.say(PING);
      await turns();
    }
    const [end] = peer.owner.ends;
    expect(end?.kind === 'protocol' ? end.limit : undefined).toBe(exceeded);
    peer.socket.destroy();
  });

  test('probe a silent peer, and end the connection when it does not answer', async () => {
    const peer = RawPeer.server({ limits: quick });
    peer.say(peer.headers(1, REQUEST, false));
    expect(await ended(peer)).toBe('keepaliveTimeoutMs');
    expect(peer.of(FrameType.PING)).toHaveLength(1);
  });

  test('leave a silent peer that answers alone', async () => {
    const peer = RawPeer.server({ limits: quick });
    peer.say(peer.headers(1, REQUEST, false));
    let answered = 0;
    await eventually(() => {
      for (const ping of peer.of(FrameType.PING).slice(answered)) {
        answered++;
        peer.say(frame(FrameType.PING, Flag.ACK, 0, ping.payload));
      }
      return answered >= 3;
    });
    expect(peer.owner.ends).toEqual([]);
    peer.socket.destroy();
  });

  test('close the socket when the peer does not, after GOAWAY', async () => {
    const peer = RawPeer.server({ limits: quick });
    await peer.settle();
    peer.connection.destroy(ErrorCode.INTERNAL_ERROR, 'because');
    await eventually(() => peer.engineSocket.destroyed);
  });
});

test('every rate has a flood that tries it', () => {
  const rates = Object.entries(defaultLimits).filter(([, value]) => typeof value === 'object');
  const tried = new Set<string>([...attacks.map(({ limit }) => limit), 'settings']);
  expect(rates.map(([name]) => name).sort()).toEqual([...tried].sort());
});

describe('a flood of SETTINGS', () => {
  test.each([
    [3, undefined],
    [4, ErrorCode.ENHANCE_YOUR_CALM],
  ])('ends the connection by its entries, at one more than there may be: %i', async (entries, code) => {
    const peer = RawPeer.server({ limits: { maxSettingsEntries: 3 } });
    peer.say(frame(FrameType.SETTINGS, 0, 0, Buffer.alloc(6 * entries, Buffer.from([0x0f, 0xff, 0, 0, 0, 1]))), PING);
    await new Promise((resolve) => setTimeout(resolve, 15));
    expect(peer.goawayCode).toBe(code);
    peer.socket.destroy();
  });

  test.each([
    [5, undefined],
    [6, 'settings'],
  ])('%i more than the first two ends in %s', async (count, limit) => {
    const peer = RawPeer.server({ limits: { settings: rate(7) } });
    for (let index = 0; index < count; index++) peer.say(SETTINGS);
    await peer.settle();
    const end = peer.owner.ends[0];
    expect(end?.kind === 'protocol' ? end.limit : undefined).toBe(limit);
  });
});
