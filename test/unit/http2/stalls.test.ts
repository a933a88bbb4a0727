/** What a peer begins and does not go on with: frames, header blocks, bodies, and reading. */
import { describe, expect, test } from 'vitest';
import { ErrorCode } from '../../../src/http2/error-code.ts';
import { Flag, FrameType, PREFACE } from '../../../src/http2/frame.ts';
import type { ConnectionLimits } from '../../../src/http2/limits.ts';
import { REQUEST } from './loopback.ts';
import { OwnClock } from './own-clock.ts';
import { encode, frame, RawPeer, SETTINGS, SETTINGS_ACK, word } from './raw-peer.ts';

const clock = OwnClock.install();
const quick: Partial<ConnectionLimits> = { frameTimeoutMs: 50, streamStallMs: 60, streamStallBytes: 100 };

const limitOf = (peer: RawPeer): string | undefined => {
  const [end] = peer.owner.ends;
  return end?.kind === 'protocol' ? end.limit : end?.kind;
};
const server = (limits: Partial<ConnectionLimits>): RawPeer => RawPeer.server({ limits }, clock.turn());

describe('the time for a frame and a header block', () => {
  const begun: readonly (readonly [string, Buffer])[] = [
    ['half a frame header', frame(FrameType.PING, 0, 0, Buffer.alloc(8)).subarray(0, 5)],
    ['a frame without its last octet', frame(FrameType.PING, 0, 0, Buffer.alloc(8)).subarray(0, 16)],
    ['HEADERS without CONTINUATION', frame(FrameType.HEADERS, Flag.END_STREAM, 1, encode(REQUEST))],
  ];
  test.each(begun)('ends the connection after %s', async (_what, bytes) => {
    const peer = server(quick);
    peer.say(bytes);
    await clock.pass(49);
    expect(limitOf(peer)).toBe(undefined);
    await clock.pass(1);
    expect(limitOf(peer)).toBe('frameTimeoutMs');
    expect(peer.owner.streams).toEqual([]);
  });

  test('is over at last when the octets are dribbled', async () => {
    const peer = server(quick);
    const bytes = peer.headers(1, REQUEST, true);
    for (const octet of bytes.subarray(0, 5)) {
      expect(limitOf(peer)).toBe(undefined);
      peer.say(Uint8Array.of(octet));
      await clock.pass(10);
    }
    expect(limitOf(peer)).toBe('frameTimeoutMs');
  });

  test('begins anew with each frame, and does not count for DATA', async () => {
    const peer = server(quick);
    const ping = frame(FrameType.PING, 0, 0, Buffer.alloc(8));
    peer.say(peer.headers(1, REQUEST, false), ping.subarray(0, 10));
    for (let index = 0; index < 4; index++) {
      await clock.pass(49);
      peer.say(ping.subarray(10), ping.subarray(0, 10));
    }
    peer.say(ping.subarray(10), frame(FrameType.DATA, 0, 1, Buffer.alloc(100)).subarray(0, 50));
    await clock.pass(120);
    expect(peer.owner.ends).toEqual([]);
    peer.socket.destroy();
  });
});

describe('a stream that stands still', () => {
  /** A server whose peer opens no window, with a response of 1,000 bytes queued on each of the streams. */
  async function unread(limits: Partial<ConnectionLimits>): Promise<RawPeer> {
    const peer = new RawPeer('server', { limits }, clock.turn());
    const noWindow = frame(FrameType.SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, 4]), word(0)]));
    peer.say(PREFACE, noWindow, SETTINGS_ACK, peer.headers(1, REQUEST, true));
    await clock.quiet();
    peer.owner.streams[0]?.stream.sendHeaders([':status', '200'], false);
    peer.owner.streams[0]?.stream.sendData(Buffer.alloc(1_000), true);
    // The first look only remembers; the second one judges.
    await clock.pass(60);
    return peer;
  }

  test('is reset when its reader opens no window', async () => {
    const peer = await unread(quick);
    await clock.pass(59);
    expect(peer.resetCodes(1)).toEqual([]);
    await clock.pass(1);
    expect(peer.resetCodes(1)).toEqual([ErrorCode.ENHANCE_YOUR_CALM]);
    expect(peer.owner.streams[0]?.owner.resets).toMatchObject([
      { by: 'us', why: 'streamStallMs exceeded: the peer does not read' },
    ]);
    expect(peer.owner.ends).toEqual([]);
    peer.socket.destroy();
  });

  test('goes on for as long as the limit is far', async () => {
    const peer = await unread({ ...quick, streamStallMs: 60_000 });
    await clock.pass(50_000);
    expect(peer.resetCodes(1)).toEqual([]);
    peer.socket.destroy();
  });

  test.each([
    [99, [ErrorCode.ENHANCE_YOUR_CALM]],
    [100, []],
  ])('stands still below the limit in bytes, and moves at it: %i', async (bytes, codes) => {
    const peer = await unread(quick);
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, 1, word(bytes)));
    await clock.pass(60);
    expect(peer.resetCodes(1)).toEqual(codes);
    peer.socket.destroy();
  });

  test('is not one whose reader has taken everything in between', async () => {
    const peer = await unread(quick);
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, 1, word(1_000)));
    await clock.pass(60);
    await clock.pass(60);
    expect(peer.resetCodes(1)).toEqual([]);
    expect(peer.owner.streams[0]?.owner.localEnds).toBe(1);
    peer.socket.destroy();
  });

  async function unfinished(message: () => number | undefined, credits = true): Promise<RawPeer> {
    const peer = server(quick);
    peer.owner.answer = (_stream, _block, _end, owner) => {
      owner.credits = credits;
      Object.assign(owner, { unfinishedMessage: message });
    };
    peer.say(peer.headers(1, REQUEST, false), frame(FrameType.DATA, 0, 1, Buffer.alloc(10)));
    await clock.pass(60);
    return peer;
  }

  test('is reset when its writer does not go on with a message', async () => {
    const peer = await unfinished(() => 0);
    expect(peer.resetCodes(1)).toEqual([]);
    await clock.pass(60);
    expect(peer.resetCodes(1)).toEqual([ErrorCode.ENHANCE_YOUR_CALM]);
    expect(peer.owner.streams[0]?.owner.resets).toMatchObject([
      { by: 'us', why: 'streamStallMs exceeded: the peer does not go on with its message' },
    ]);
    peer.socket.destroy();
  });

  test('may be silent between messages, be it for long', async () => {
    const peer = await unfinished(() => undefined);
    for (let look = 0; look < 3; look++) await clock.pass(60);
    expect(peer.resetCodes(1)).toEqual([]);
    peer.socket.destroy();
  });

  test('may be at another message at each look', async () => {
    let message = 0;
    const peer = await unfinished(() => message++);
    for (let look = 0; look < 3; look++) await clock.pass(60);
    expect(peer.resetCodes(1)).toEqual([]);
    peer.socket.destroy();
  });

  test('is not the fault of a writer that waits for our window', async () => {
    const peer = await unfinished(() => 0, false);
    for (let look = 0; look < 3; look++) await clock.pass(60);
    expect(peer.resetCodes(1)).toEqual([]);
    peer.socket.destroy();
  });

  test('counts as provoked: many of them end the connection', async () => {
    const provokedResets = { burst: 2, perSecond: 0, perUsefulFrame: 0 };
    const peer = server({ ...quick, provokedResets });
    peer.owner.answer = (_stream, _block, _end, owner) => void Object.assign(owner, { unfinishedMessage: () => 0 });
    peer.say(
      SETTINGS,
      peer.headers(1, REQUEST, false),
      peer.headers(3, REQUEST, false),
      peer.headers(5, REQUEST, false),
    );
    await clock.pass(60);
    await clock.pass(60);
    expect(limitOf(peer)).toBe('provokedResets');
  });
});
