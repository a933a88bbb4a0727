/** What is queued can be taken back, so that something else may be said. */
import { describe, expect, test } from 'vitest';
import type { Stream } from '../../../src/http2/contract.ts';
import { Flag, FrameType } from '../../../src/http2/frame.ts';
import { REQUEST } from './loopback.ts';
import { frame, RawPeer, word } from './raw-peer.ts';

const HEAD = [':status', '200'];
const DATA = 65_535;

/** A peer with the default window, which it never opens, and the stream that answers it. */
async function ground(): Promise<{ readonly peer: RawPeer; readonly stream: Stream }> {
  const peer = RawPeer.server();
  peer.owner.answer = () => undefined;
  peer.say(peer.headers(1, REQUEST, true));
  await peer.settle();
  const stream = peer.owner.streams[0]?.stream;
  if (stream === undefined) throw new Error('no stream');
  return { peer, stream };
}

const bytesOf = (peer: RawPeer): number =>
  peer.of(FrameType.DATA).reduce((sum, { payload }) => sum + payload.length, 0);

describe('a reply that waits for window', () => {
  test('can be taken back, and another end follows what has left', async () => {
    const { peer, stream } = await ground();
    stream.sendHeaders(HEAD, false);
    stream.sendData(Buffer.alloc(DATA + 1_000), false);
    stream.sendHeaders(['grpc-status', '0'], true);
    await peer.settle();
    expect([bytesOf(peer), peer.of(FrameType.HEADERS).length]).toEqual([DATA, 1]);
    expect(stream.retract()).toBe(1_000);
    stream.sendHeaders(['grpc-status', '8'], true);
    await peer.settle();
    expect(bytesOf(peer)).toBe(DATA);
    expect(peer.of(FrameType.HEADERS).map(({ flags }) => flags & Flag.END_STREAM)).toEqual([0, Flag.END_STREAM]);
    expect(peer.owner.streams[0]?.owner.localEnds).toBe(1);
    // The window comes too late, and nothing that was taken back comes after the end.
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, 0, word(10_000)), frame(FrameType.WINDOW_UPDATE, 0, 1, word(10_000)));
    await peer.settle();
    expect([bytesOf(peer), peer.resetCodes(1)]).toEqual([DATA, []]);
  });

  test('counts as queued no more, and what has left is still reported', async () => {
    const { peer, stream } = await ground();
    stream.sendHeaders(HEAD, false);
    stream.sendData(Buffer.alloc(DATA), false);
    stream.sendData(Buffer.alloc(5_000), false);
    stream.sendData(Buffer.alloc(1), false);
    await peer.settle();
    expect(stream.queuedBytes).toBe(5_001);
    expect(stream.retract()).toBe(5_001);
    expect([stream.queuedBytes, stream.retract()]).toEqual([0, 0]);
  });

  test('goes on with other DATA', async () => {
    const { peer, stream } = await ground();
    stream.sendHeaders(HEAD, false);
    stream.sendData(Buffer.alloc(DATA + 10, 'a'), true);
    await peer.settle();
    expect(stream.retract()).toBe(10);
    stream.sendData(Buffer.from('bc'), true);
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, 0, word(10)), frame(FrameType.WINDOW_UPDATE, 0, 1, word(10)));
    await peer.settle();
    expect(peer.of(FrameType.DATA).at(-1)).toMatchObject({ flags: Flag.END_STREAM, payload: Buffer.from('bc') });
  });
});

describe('a reply', () => {
  test('that has left cannot be taken back', async () => {
    const { peer, stream } = await ground();
    stream.sendHeaders(HEAD, true);
    expect(stream.retract()).toBeUndefined();
    await peer.settle();
    expect(peer.of(FrameType.HEADERS)).toHaveLength(1);
  });

  test('of which nothing waits has nothing to take back', async () => {
    const { peer, stream } = await ground();
    expect(stream.retract()).toBe(0);
    stream.sendHeaders(HEAD, false);
    stream.sendData(Buffer.alloc(10), false);
    expect(stream.retract()).toBe(0);
    await peer.settle();
    expect(bytesOf(peer)).toBe(10);
  });
});
