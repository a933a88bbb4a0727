/** Every limit of time of a connection, on a clock of the test's own: not a millisecond before it, and then. */
import { describe, expect, test } from 'vitest';
import { ErrorCode } from '../../../src/http2/error-code.ts';
import { Flag, FrameType, PREFACE } from '../../../src/http2/frame.ts';
import type { ConnectionLimits } from '../../../src/http2/limits.ts';
import { eventually, REQUEST } from './loopback.ts';
import { OwnClock } from './own-clock.ts';
import { frame, PING, RawPeer, SETTINGS, SETTINGS_ACK, word } from './raw-peer.ts';
import { RecordingStreamOwner } from './recording-owner.ts';

const LIMIT_MS = 500;
const clock = OwnClock.install();

const limitOf = (peer: RawPeer): string | undefined => {
  const [end] = peer.owner.ends;
  return end?.kind === 'protocol' ? end.limit : end?.kind;
};

interface Case {
  readonly what: string;
  readonly limits: Partial<ConnectionLimits>;
  /** Brings the peer to where the time begins to count. */
  begin(limits: Partial<ConnectionLimits>): Promise<RawPeer>;
  /** What has happened when it is over. */
  over(peer: RawPeer): unknown;
  readonly expected: unknown;
}

const server = (limits: Partial<ConnectionLimits>): RawPeer => RawPeer.server({ limits }, clock.turn());

/** A stream is open, and the first look at the silence, which only remembers, is over. */
async function silent(peer: RawPeer): Promise<RawPeer> {
  await clock.pass(LIMIT_MS);
  return peer;
}

async function withClientStream(limits: Partial<ConnectionLimits>): Promise<RawPeer> {
  const peer = RawPeer.client({ limits }, clock.turn());
  await clock.quiet();
  peer.connection.open(REQUEST, true, new RecordingStreamOwner());
  return silent(peer);
}

async function withServerStream(limits: Partial<ConnectionLimits>): Promise<RawPeer> {
  const peer = server(limits);
  peer.say(peer.headers(1, REQUEST, false));
  await clock.quiet();
  return peer;
}

async function probed(peer: RawPeer): Promise<RawPeer> {
  await clock.pass(LIMIT_MS);
  expect(peer.of(FrameType.PING)).toHaveLength(1);
  return peer;
}

const far = { serverKeepaliveMs: 1e9, clientKeepaliveMs: 1e9 };

const cases: readonly Case[] = [
  {
    what: 'the answer to our SETTINGS',
    limits: { settingsAckTimeoutMs: LIMIT_MS },
    begin: async (limits) => {
      const peer = new RawPeer('server', { limits }, clock.turn());
      peer.say(PREFACE, SETTINGS);
      return peer;
    },
    over: limitOf,
    expected: 'settingsAckTimeoutMs',
  },
  {
    what: 'the word of a silent client',
    limits: { serverKeepaliveMs: LIMIT_MS },
    begin: async (limits) => silent(await withServerStream(limits)),
    over: (peer) => peer.of(FrameType.PING).length,
    expected: 1,
  },
  {
    what: 'the word of a silent model server',
    limits: { clientKeepaliveMs: LIMIT_MS, serverKeepaliveMs: 1 },
    begin: withClientStream,
    over: (peer) => peer.of(FrameType.PING).length,
    expected: 1,
  },
  {
    what: 'a client’s answer to a PING',
    limits: { serverKeepaliveMs: LIMIT_MS, keepaliveTimeoutMs: LIMIT_MS },
    begin: async (limits) => probed(await silent(await withServerStream(limits))),
    over: limitOf,
    expected: 'keepaliveTimeoutMs',
  },
  {
    what: 'a model server’s answer to a PING',
    limits: { clientKeepaliveMs: LIMIT_MS, keepaliveTimeoutMs: LIMIT_MS },
    begin: async (limits) => probed(await withClientStream(limits)),
    over: limitOf,
    expected: 'keepaliveTimeoutMs',
  },
  {
    what: 'the socket to take one write',
    limits: { ...far, writeStallTimeoutMs: LIMIT_MS },
    begin: async (limits) => {
      const peer = await withServerStream(limits);
      peer.socket.pause();
      peer.say(frame(FrameType.WINDOW_UPDATE, 0, 0, word(1_000_000)), frame(FrameType.WINDOW_UPDATE, 0, 1, word(1e6)));
      await clock.quiet();
      const { stream } = peer.owner.streams[0] ?? {};
      stream?.sendHeaders([':status', '200'], false);
      stream?.sendData(Buffer.alloc(1_000_000), true);
      return peer;
    },
    over: limitOf,
    expected: 'writeStallTimeoutMs',
  },
  {
    what: 'the rest of a frame',
    limits: { frameTimeoutMs: LIMIT_MS },
    begin: async (limits) => {
      const peer = server(limits);
      peer.say(PING.subarray(0, 16));
      return peer;
    },
    over: limitOf,
    expected: 'frameTimeoutMs',
  },
  {
    what: 'the rest of a header block',
    limits: { frameTimeoutMs: LIMIT_MS },
    begin: async (limits) => {
      const peer = server(limits);
      peer.say(frame(FrameType.HEADERS, Flag.END_STREAM, 1));
      return peer;
    },
    over: limitOf,
    expected: 'frameTimeoutMs',
  },
  {
    what: 'a reader to read on',
    limits: { ...far, streamStallMs: LIMIT_MS },
    begin: async (limits) => {
      const peer = new RawPeer('server', { limits }, clock.turn());
      const noWindow = frame(FrameType.SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, 4]), word(0)]));
      peer.say(PREFACE, noWindow, SETTINGS_ACK, peer.headers(1, REQUEST, true));
      await clock.quiet();
      peer.owner.streams[0]?.stream.sendHeaders([':status', '200'], false);
      peer.owner.streams[0]?.stream.sendData(Buffer.alloc(1_000), true);
      return silent(peer);
    },
    over: (peer) => peer.resetCodes(1)[0],
    expected: ErrorCode.ENHANCE_YOUR_CALM,
  },
  {
    what: 'a writer to go on',
    limits: { ...far, streamStallMs: LIMIT_MS },
    begin: async (limits) => {
      const peer = RawPeer.server({ limits }, clock.turn());
      peer.owner.answer = (_stream, _block, _end, owner) => void Object.assign(owner, { unfinishedMessage: () => 0 });
      peer.say(peer.headers(1, REQUEST, false));
      return silent(peer);
    },
    over: (peer) => peer.resetCodes(1)[0],
    expected: ErrorCode.ENHANCE_YOUR_CALM,
  },
  {
    what: 'the end’s round trip',
    limits: { ...far, drainRoundTripMs: LIMIT_MS },
    begin: async (limits) => {
      const peer = await withServerStream(limits);
      peer.connection.drain();
      return peer;
    },
    over: (peer) => (peer.of(FrameType.GOAWAY).length === 1 ? undefined : peer.of(FrameType.GOAWAY).length),
    expected: 2,
  },
  {
    what: 'the peer to close after GOAWAY',
    limits: { lingerMs: LIMIT_MS },
    begin: async (limits) => {
      const peer = server(limits);
      await clock.quiet();
      peer.connection.destroy(ErrorCode.INTERNAL_ERROR, 'because');
      return peer;
    },
    over: (peer) => (peer.engineSocket.destroyed ? 'destroyed' : undefined),
    expected: 'destroyed',
  },
];

describe('the time for', () => {
  test.each(cases)('$what is as long as its limit, and not a millisecond longer', async (one) => {
    const peer = await one.begin(one.limits);
    const before = (): unknown => one.over(peer) || undefined;
    await clock.pass(LIMIT_MS - 1);
    expect(before()).toBe(undefined);
    await clock.pass(1);
    expect(one.over(peer)).toBe(one.expected);
    peer.socket.destroy();
  });

  test.each(cases)('$what is longer when the limit is', async (one) => {
    const longer = Object.fromEntries(
      Object.entries(one.limits).map(([name, value]) => [name, value === LIMIT_MS ? 10 * LIMIT_MS : value]),
    );
    // Where getting there takes the limit's own time, it is not got to.
    const peer = await one.begin(longer).catch(() => undefined);
    await clock.pass(2 * LIMIT_MS);
    if (peer === undefined) return;
    expect(one.over(peer) || undefined).toBe(undefined);
    peer.socket.destroy();
  });

  test('doing nothing is as long as its limit, and not a millisecond longer', async () => {
    const peer = RawPeer.server({ idleTimeoutMs: LIMIT_MS }, clock.turn());
    await clock.pass(LIMIT_MS - 1);
    expect(peer.owner.ends).toEqual([]);
    await clock.pass(1);
    expect(peer.owner.ends).toEqual([{ kind: 'idle' }]);
    await eventually(() => peer.goawayCode === ErrorCode.NO_ERROR);
    peer.socket.destroy();
  });
});

describe('idleness', () => {
  test('counts from the end of the last stream', async () => {
    const peer = RawPeer.server({ idleTimeoutMs: LIMIT_MS }, clock.turn());
    peer.say(peer.headers(1, REQUEST, true));
    await clock.pass(3 * LIMIT_MS);
    peer.owner.streams[0]?.stream.sendHeaders([':status', '200'], true);
    await clock.pass(LIMIT_MS - 1);
    expect(peer.owner.ends).toEqual([]);
    await clock.pass(1);
    expect(peer.owner.ends).toEqual([{ kind: 'idle' }]);
    peer.socket.destroy();
  });
});

describe('a stream is young', () => {
  test.each([
    ['just below the limit, and its reset counts', LIMIT_MS - 0.001, 'youngResets'],
    ['no more at the limit, and its reset is a cancellation', LIMIT_MS, undefined],
  ])('%s', async (_what, ageMs, limit) => {
    const youngResets = { burst: 0, perSecond: 0, perUsefulFrame: 0 };
    const peer = await withServerStream({ ...far, youngStreamMs: LIMIT_MS, youngResets });
    clock.micros += ageMs * 1_000;
    peer.say(frame(FrameType.RST_STREAM, 0, 1, word(ErrorCode.CANCEL)));
    await clock.quiet();
    expect(limitOf(peer)).toBe(limit);
    peer.socket.destroy();
  });
});
