/** What a client must not send, and what it then gets: GOAWAY, RST_STREAM, or nothing because it came late (RFC 9113 §5, §6). */
import { describe, expect, test } from 'vitest';
import { ErrorCode } from '../../../src/http2/error-code.ts';
import { Flag, FrameType } from '../../../src/http2/frame.ts';
import { eventually, REQUEST } from './loopback.ts';
import { encode, frame, PING, RawPeer, word } from './raw-peer.ts';

const data = (streamId: number, text: string, flags = 0): Buffer =>
  frame(FrameType.DATA, flags, streamId, Buffer.from(text, 'latin1'));

describe('the connection ends with', () => {
  const open = (peer: RawPeer) => peer.headers(1, REQUEST, false);
  const ended = (peer: RawPeer) => peer.headers(1, REQUEST, true);
  const breaches: [string, number, (peer: RawPeer) => Buffer[]][] = [
    ['PROTOCOL_ERROR at DATA on stream 0', 1, () => [data(0, 'x')]],
    ['PROTOCOL_ERROR at DATA on an idle stream', 1, () => [data(1, 'x')]],
    ['PROTOCOL_ERROR at HEADERS on stream 0', 1, (peer) => [peer.headers(0, REQUEST, true)]],
    ['PROTOCOL_ERROR at HEADERS on an even stream', 1, (peer) => [peer.headers(2, REQUEST, true)]],
    [
      'PROTOCOL_ERROR at a lower stream id',
      1,
      (peer) => [peer.headers(5, REQUEST, true), peer.headers(3, REQUEST, true)],
    ],
    ['PROTOCOL_ERROR at RST_STREAM on an idle stream', 1, () => [frame(FrameType.RST_STREAM, 0, 1, word(8))]],
    ['PROTOCOL_ERROR at RST_STREAM on stream 0', 1, () => [frame(FrameType.RST_STREAM, 0, 0, word(8))]],
    [
      'FRAME_SIZE_ERROR at RST_STREAM of five',
      6,
      (peer) => [open(peer), frame(FrameType.RST_STREAM, 0, 1, Buffer.alloc(5))],
    ],
    ['PROTOCOL_ERROR at SETTINGS on a stream', 1, () => [frame(FrameType.SETTINGS, 0, 1)]],
    ['FRAME_SIZE_ERROR at SETTINGS of five', 6, () => [frame(FrameType.SETTINGS, 0, 0, Buffer.alloc(5))]],
    [
      'FRAME_SIZE_ERROR at an acknowledgement with content',
      6,
      () => [frame(FrameType.SETTINGS, 1, 0, Buffer.alloc(6))],
    ],
    ['PROTOCOL_ERROR at an acknowledgement too many', 1, () => [frame(FrameType.SETTINGS, 1, 0)]],
    ['PROTOCOL_ERROR at ENABLE_PUSH 2', 1, () => [frame(FrameType.SETTINGS, 0, 0, Buffer.from([0, 2, 0, 0, 0, 2]))]],
    [
      'FLOW_CONTROL_ERROR at a window of 2^31',
      3,
      () => [frame(FrameType.SETTINGS, 0, 0, Buffer.from([0, 4, 128, 0, 0, 0]))],
    ],
    [
      'PROTOCOL_ERROR at frames of 16383',
      1,
      () => [frame(FrameType.SETTINGS, 0, 0, Buffer.from([0, 5, 0, 0, 0x3f, 0xff]))],
    ],
    ['PROTOCOL_ERROR at frames of 2^24', 1, () => [frame(FrameType.SETTINGS, 0, 0, Buffer.from([0, 5, 1, 0, 0, 0]))]],
    ['PROTOCOL_ERROR at PUSH_PROMISE', 1, () => [frame(FrameType.PUSH_PROMISE, 4, 1, Buffer.alloc(4))]],
    ['PROTOCOL_ERROR at PING on a stream', 1, () => [frame(FrameType.PING, 0, 1, Buffer.alloc(8))]],
    ['FRAME_SIZE_ERROR at PING of seven', 6, () => [frame(FrameType.PING, 0, 0, Buffer.alloc(7))]],
    ['PROTOCOL_ERROR at GOAWAY on a stream', 1, () => [frame(FrameType.GOAWAY, 0, 1, Buffer.alloc(8))]],
    ['FRAME_SIZE_ERROR at GOAWAY of seven', 6, () => [frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(7))]],
    ['FRAME_SIZE_ERROR at WINDOW_UPDATE of three', 6, () => [frame(FrameType.WINDOW_UPDATE, 0, 0, Buffer.alloc(3))]],
    ['PROTOCOL_ERROR at a WINDOW_UPDATE of nothing', 1, () => [frame(FrameType.WINDOW_UPDATE, 0, 0, word(0))]],
    ['PROTOCOL_ERROR at WINDOW_UPDATE on an idle stream', 1, () => [frame(FrameType.WINDOW_UPDATE, 0, 1, word(1))]],
    ['FLOW_CONTROL_ERROR at a window above 2^31-1', 3, () => [frame(FrameType.WINDOW_UPDATE, 0, 0, word(0x7fff_ffff))]],
    ['PROTOCOL_ERROR at CONTINUATION of nothing', 1, () => [frame(FrameType.CONTINUATION, 4, 1)]],
    [
      'PROTOCOL_ERROR at CONTINUATION of another stream',
      1,
      () => [frame(FrameType.HEADERS, 1, 1, encode(REQUEST)), frame(FrameType.CONTINUATION, 4, 3)],
    ],
    ['PROTOCOL_ERROR at a frame amid a header block', 1, () => [frame(FrameType.HEADERS, 1, 1, encode(REQUEST)), PING]],
    [
      'PROTOCOL_ERROR at DATA amid a header block',
      1,
      () => [frame(FrameType.HEADERS, 0, 1, encode(REQUEST)), data(1, 'x')],
    ],
    [
      'COMPRESSION_ERROR at a block of nonsense',
      9,
      () => [frame(FrameType.HEADERS, 5, 1, Buffer.from([0xff, 0xff, 0xff]))],
    ],
    ['COMPRESSION_ERROR at an index of no field', 9, () => [frame(FrameType.HEADERS, 5, 1, Buffer.from([0xbe]))]],
    ['COMPRESSION_ERROR at an index of zero', 9, () => [frame(FrameType.HEADERS, 5, 1, Buffer.from([0x80]))]],
    [
      'COMPRESSION_ERROR at a table size above ours',
      9,
      () => [frame(FrameType.HEADERS, 5, 1, Buffer.from([0x3f, 0xe2, 0x1f]))],
    ],
    [
      'COMPRESSION_ERROR at a table size amid a block',
      9,
      () => [frame(FrameType.HEADERS, 5, 1, Buffer.from([0x82, 0x20]))],
    ],
    [
      'FRAME_SIZE_ERROR at a frame of 16385',
      6,
      (peer) => [open(peer), frame(FrameType.DATA, 0, 1, Buffer.alloc(16_385))],
    ],
    [
      'PROTOCOL_ERROR at padding that is more than the frame',
      1,
      (peer) => [open(peer), data(1, '\x05abcd', Flag.PADDED)],
    ],
    ['PROTOCOL_ERROR at padding without its length', 1, (peer) => [open(peer), frame(FrameType.DATA, Flag.PADDED, 1)]],
    [
      'PROTOCOL_ERROR at HEADERS that are less than their padding',
      1,
      () => [frame(FrameType.HEADERS, 0xd, 1, Buffer.from([9, 0x82]))],
    ],
    [
      'FRAME_SIZE_ERROR at HEADERS without their priority',
      6,
      () => [frame(FrameType.HEADERS, 0x25, 1, Buffer.alloc(4))],
    ],
    [
      'STREAM_CLOSED at HEADERS on a stream that has ended',
      5,
      (peer) => {
        peer.owner.answer = (stream) => stream.sendHeaders([':status', '200'], true);
        return [ended(peer), ended(peer)];
      },
    ],
  ];
  test.each(breaches)('%s', async (_breach, code, frames) => {
    const peer = RawPeer.server();
    await peer.settle();
    peer.say(...frames(peer));
    await eventually(() => peer.closed);
    expect(peer.goawayCode).toBe(code);
    expect(peer.owner.ends).toMatchObject([{ kind: 'protocol', code, limit: undefined }]);
  });

  test('PROTOCOL_ERROR when the first frame is not SETTINGS', async () => {
    const peer = new RawPeer('server');
    peer.say(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), PING);
    await eventually(() => peer.closed);
    expect(peer.goawayCode).toBe(ErrorCode.PROTOCOL_ERROR);
  });

  test('PROTOCOL_ERROR when the preface is another protocol', async () => {
    const peer = new RawPeer('server');
    peer.say(Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'));
    await eventually(() => peer.closed);
    expect(peer.goawayCode).toBe(ErrorCode.PROTOCOL_ERROR);
  });
});

describe('a stream is reset, and the connection goes on, with', () => {
  const open = (peer: RawPeer) => peer.headers(1, REQUEST, false);
  const breaches: [string, number, (peer: RawPeer) => Buffer[]][] = [
    ['STREAM_CLOSED at DATA after END_STREAM', 5, (peer) => [peer.headers(1, REQUEST, true), data(1, 'x')]],
    [
      'STREAM_CLOSED at HEADERS after END_STREAM',
      5,
      (peer) => [peer.headers(1, REQUEST, true), peer.headers(1, ['a', 'b'], true)],
    ],
    [
      'FLOW_CONTROL_ERROR at DATA beyond its window',
      3,
      (peer) => [open(peer), ...Array.from({ length: 5 }, () => frame(FrameType.DATA, 0, 1, Buffer.alloc(16_384)))],
    ],
    [
      'FLOW_CONTROL_ERROR at a window above 2^31-1',
      3,
      (peer) => [open(peer), frame(FrameType.WINDOW_UPDATE, 0, 1, word(0x7fff_ffff))],
    ],
    [
      'PROTOCOL_ERROR at a WINDOW_UPDATE of nothing',
      1,
      (peer) => [open(peer), frame(FrameType.WINDOW_UPDATE, 0, 1, word(0))],
    ],
    [
      'FRAME_SIZE_ERROR at PRIORITY of four',
      6,
      (peer) => [open(peer), frame(FrameType.PRIORITY, 0, 1, Buffer.alloc(4))],
    ],
    [
      'PROTOCOL_ERROR at a stream that depends on itself',
      1,
      (peer) => [open(peer), frame(FrameType.PRIORITY, 0, 1, Buffer.from([0, 0, 0, 1, 0]))],
    ],
    [
      'PROTOCOL_ERROR at HEADERS that depend on themselves',
      1,
      () => [frame(FrameType.HEADERS, 0x25, 1, Buffer.concat([Buffer.from([0, 0, 0, 1, 0]), encode(REQUEST)]))],
    ],
  ];
  test.each(breaches)('%s', async (_breach, code, frames) => {
    const peer = RawPeer.server();
    peer.owner.answer = (_stream, _block, _end, owner) => {
      owner.credits = false;
    };
    peer.say(...frames(peer), peer.headers(3, REQUEST, true));
    await peer.settle();
    expect(peer.resetCodes(1)).toEqual([code]);
    expect(
      peer.owner.streams.find(({ stream }) => stream.id === 1)?.owner.resets ?? [{ by: 'us', code }],
    ).toMatchObject([{ by: 'us', code }]);
    expect(peer.owner.streams.some(({ stream }) => stream.id === 3)).toBe(true);
    expect(peer.connection.openStreams).toBe(1);
  });
});

describe('frames that come late', () => {
  test('are ignored on a stream that we reset, and their window given back', async () => {
    const peer = RawPeer.server({ connectionWindowBytes: 65_535 });
    peer.say(peer.headers(1, REQUEST, false));
    await peer.settle();
    peer.owner.streams[0]?.stream.reset(ErrorCode.CANCEL);
    for (let index = 0; index < 10; index++) peer.say(frame(FrameType.DATA, 0, 1, Buffer.alloc(10_000)));
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, 1, word(5)), frame(FrameType.RST_STREAM, 0, 1, word(8)));
    peer.say(peer.headers(1, ['late', 'trailer'], true), peer.headers(3, REQUEST, true));
    await peer.settle();
    expect(peer.owner.ends).toEqual([]);
    expect(peer.windowUpdates(0).reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThanOrEqual(80_000);
    expect(peer.owner.streams.map(({ stream }) => stream.id)).toEqual([1, 3]);
  });

  test('get STREAM_CLOSED on a stream that the peer ended itself', async () => {
    const peer = RawPeer.server();
    peer.owner.answer = (stream) => stream.sendHeaders([':status', '200'], true);
    peer.say(peer.headers(1, REQUEST, true), data(1, 'x'));
    await peer.settle();
    expect(peer.resetCodes(1)).toEqual([ErrorCode.STREAM_CLOSED]);
  });
});
