/** What a peer may say that means nothing to us, or little: it is taken, and nothing else changes (RFC 9113 §4.1, §5.5, §6, §7). */
import { describe, expect, test } from 'vitest';
import { Flag, FrameType } from '../../../src/http2/frame.ts';
import { REQUEST } from './loopback.ts';
import { encode, frame, RawPeer, word } from './raw-peer.ts';
import { RecordingStreamOwner } from './recording-owner.ts';

const UNKNOWN_TYPE = 0x42;
const RESERVED_BIT = 0x8000_0000;

function setting(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.from([id >> 8, id & 0xff]), word(value)]);
}

describe('what is not known is ignored', () => {
  test('a frame of an unknown type, on any stream', async () => {
    const peer = RawPeer.server();
    peer.say(frame(UNKNOWN_TYPE, 0xff, 0, Buffer.alloc(9)), frame(UNKNOWN_TYPE, 0, 99, Buffer.alloc(16_384)));
    peer.say(peer.headers(1, REQUEST, false), frame(UNKNOWN_TYPE, 0, 1), frame(FrameType.DATA, Flag.END_STREAM, 1));
    await peer.settle();
    expect(peer.owner.streams[0]?.owner.ended).toBe(true);
    expect(peer.owner.ends).toEqual([]);
  });

  test('a flag that its frame does not have', async () => {
    const peer = RawPeer.server();
    peer.say(frame(FrameType.HEADERS, Flag.END_HEADERS | 0xd2, 1, encode(REQUEST)));
    peer.say(frame(FrameType.DATA, 0xf6, 1, Buffer.from('body')), frame(FrameType.SETTINGS, 0xfe, 0));
    peer.say(frame(FrameType.WINDOW_UPDATE, 0xff, 1, word(1)), frame(FrameType.PING, 0xfe, 0, Buffer.from('unflagge')));
    await peer.settle();
    expect(peer.owner.streams[0]?.owner.body.toString()).toBe('body');
    expect(peer.owner.streams[0]?.owner.ended).toBe(false);
    expect(peer.of(FrameType.SETTINGS).filter(({ flags }) => flags === Flag.ACK)).toHaveLength(2);
    expect(peer.of(FrameType.PING).map(({ payload }) => payload.toString())).toContain('unflagge');
    expect(peer.owner.ends).toEqual([]);
  });

  test('the reserved bit of a stream id, of a dependency, of an increment and of a last stream id', async () => {
    const peer = RawPeer.server({ streamWindowBytes: 65_535 });
    const priority = Buffer.concat([word(RESERVED_BIT + 3), Buffer.from([1])]);
    const flags = Flag.END_HEADERS | Flag.PRIORITY;
    peer.say(frame(FrameType.HEADERS, flags, RESERVED_BIT + 1, Buffer.concat([priority, encode(REQUEST)])));
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, RESERVED_BIT, word(RESERVED_BIT + 7)));
    peer.say(frame(FrameType.DATA, Flag.END_STREAM, RESERVED_BIT + 1, Buffer.from('body')));
    await peer.settle();
    expect(peer.owner.streams.map(({ stream, owner }) => [stream.id, owner.ended])).toEqual([[1, true]]);
    peer.say(frame(FrameType.GOAWAY, 0, RESERVED_BIT, Buffer.concat([word(RESERVED_BIT), word(0)])));
    await peer.settle();
    expect(peer.owner.goaways).toEqual([{ lastStreamId: 0, code: 0 }]);
  });

  test('a setting, among others', async () => {
    const peer = RawPeer.server();
    const settings = [setting(0x4242, 7), setting(4, 10), setting(0x8, 1), setting(4, 20)];
    peer.owner.answer = (stream) => {
      stream.sendHeaders([':status', '200'], false);
      stream.sendData(Buffer.alloc(100), true);
    };
    peer.say(frame(FrameType.SETTINGS, 0, 0, Buffer.concat(settings)), peer.headers(1, REQUEST, true));
    await peer.settle();
    // Of two values the last one counts (§6.5.3).
    expect(peer.of(FrameType.DATA).map(({ payload }) => payload.length)).toEqual([20]);
  });

  test('an error code: it is told as it is, and means no more than the others', async () => {
    const peer = RawPeer.server();
    peer.say(peer.headers(1, REQUEST, false), frame(FrameType.RST_STREAM, 0, 1, word(0xfeed)));
    peer.say(peer.headers(3, REQUEST, false));
    peer.say(frame(FrameType.GOAWAY, 0, 0, Buffer.concat([word(0), word(0xbeef), Buffer.from('why')])));
    await peer.settle();
    expect(peer.owner.streams[0]?.owner.resets).toEqual([{ by: 'peer', code: 0xfeed }]);
    expect(peer.owner.goaways).toEqual([{ lastStreamId: 0, code: 0xbeef }]);
    expect(peer.connection.openStreams).toBe(1);
    expect(peer.owner.ends).toEqual([]);
  });
});

describe('what is asked is answered', () => {
  test('each SETTINGS with one acknowledgement, and an acknowledgement with nothing', async () => {
    const peer = RawPeer.server();
    await peer.settle();
    const before = peer.of(FrameType.SETTINGS).length;
    for (let index = 0; index < 3; index++) peer.say(frame(FrameType.SETTINGS, 0, 0, setting(4, 1_000 + index)));
    await peer.settle();
    const answers = peer.of(FrameType.SETTINGS).slice(before);
    expect(answers.map(({ flags, payload }) => [flags, payload.length])).toEqual([
      [Flag.ACK, 0],
      [Flag.ACK, 0],
      [Flag.ACK, 0],
    ]);
  });

  test('a PING with its payload, and an answer to none with nothing', async () => {
    const peer = RawPeer.server();
    peer.say(
      frame(FrameType.PING, Flag.ACK, 0, Buffer.from('unasked!')),
      frame(FrameType.PING, 0, 0, Buffer.from('payload!')),
    );
    await peer.settle();
    const answers = peer.of(FrameType.PING).map(({ flags, payload }) => [flags, payload.toString()]);
    expect(answers[0]).toEqual([Flag.ACK, 'payload!']);
    expect(answers).toHaveLength(2);
  });
});

describe('a stream', () => {
  test('that nobody has opened may have a priority (§5.1)', async () => {
    const peer = RawPeer.server();
    peer.say(frame(FrameType.PRIORITY, 0, 99, Buffer.alloc(5)), peer.headers(1, REQUEST, true));
    await peer.settle();
    expect(peer.owner.streams.map(({ stream }) => stream.id)).toEqual([1]);
  });

  test('whose id was left out is closed: late frames do it no good and no harm (§5.1.1)', async () => {
    const peer = RawPeer.server();
    peer.say(peer.headers(5, REQUEST, false));
    peer.say(frame(FrameType.RST_STREAM, 0, 1, word(8)), frame(FrameType.WINDOW_UPDATE, 0, 3, word(1)));
    await peer.settle();
    expect(peer.owner.ends).toEqual([]);
    expect(peer.connection.openStreams).toBe(1);
  });

  test('that we have ended hears the rest of what the peer says (half-closed, §5.1)', async () => {
    const peer = RawPeer.client();
    const owner = new RecordingStreamOwner();
    await peer.settle();
    peer.connection.open(REQUEST, true, owner);
    await peer.settle();
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, 1, word(9)), frame(FrameType.PRIORITY, 0, 1, Buffer.alloc(5)));
    peer.say(
      peer.headers(1, [':status', '200'], false),
      frame(FrameType.DATA, Flag.END_STREAM, 1, Buffer.from('body')),
    );
    await owner.whenEnded();
    expect([owner.body.toString(), owner.resets]).toEqual(['body', []]);
  });
});
