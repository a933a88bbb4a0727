/** Windows in both directions, to the byte, and the graceful end (RFC 9113 §5.2, §6.8, §6.9). */
import { describe, expect, test } from 'vitest';
import { ErrorCode } from '../../../src/http2/error-code.ts';
import { Flag, FrameType, uint31 } from '../../../src/http2/frame.ts';
import { eventually, REQUEST } from './loopback.ts';
import { frame, RawPeer, SETTINGS, word } from './raw-peer.ts';

const data = (streamId: number, text: string, flags = 0): Buffer =>
  frame(FrameType.DATA, flags, streamId, Buffer.from(text, 'latin1'));

describe('receive windows', () => {
  test('are given back for padding by the engine itself', async () => {
    const peer = RawPeer.server({ streamWindowBytes: 1_000, connectionWindowBytes: 65_535 });
    peer.owner.answer = (_stream, _block, _end, owner) => {
      owner.credits = false;
    };
    peer.say(peer.headers(1, REQUEST, false));
    const padded = frame(FrameType.DATA, Flag.PADDED, 1, Buffer.concat([Buffer.from([255]), Buffer.alloc(256)]));
    for (let index = 0; index < 20; index++) {
      peer.say(padded);
      await peer.settle();
    }
    expect(peer.resetCodes(1)).toEqual([]);
    expect(peer.owner.streams[0]?.owner.body).toHaveLength(20);
    expect(peer.windowUpdates(1).reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThan(4_500);
  });

  test('end at the byte', async () => {
    const peer = RawPeer.server({ streamWindowBytes: 1_000 });
    peer.owner.answer = (_stream, _block, _end, owner) => {
      owner.credits = false;
    };
    peer.say(peer.headers(1, REQUEST, false), data(1, 'x'.repeat(1_000)), peer.headers(3, REQUEST, false));
    peer.say(data(3, 'x'.repeat(1_001)));
    await peer.settle();
    expect(peer.resetCodes(1)).toEqual([]);
    expect(peer.resetCodes(3)).toEqual([ErrorCode.FLOW_CONTROL_ERROR]);
  });

  test('of the connection end at the byte, whatever the streams may still take', async () => {
    const peer = RawPeer.server({ streamWindowBytes: 100_000, connectionWindowBytes: 65_535 });
    peer.owner.answer = (_stream, _block, _end, owner) => {
      owner.credits = false;
    };
    peer.say(peer.headers(1, REQUEST, false));
    for (let index = 0; index < 65; index++) peer.say(data(1, 'x'.repeat(1_000)));
    peer.say(data(1, 'x'.repeat(535)));
    await peer.settle();
    expect(peer.goawayCode).toBe(undefined);
    peer.say(data(1, 'x'));
    await peer.settle();
    expect(peer.goawayCode).toBe(ErrorCode.FLOW_CONTROL_ERROR);
  });

  test('below the default hold only from the acknowledgement on', async () => {
    const peer = new RawPeer('server', { streamWindowBytes: 1_000 });
    peer.owner.answer = (_stream, _block, _end, owner) => {
      owner.credits = false;
    };
    peer.say(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), SETTINGS, peer.headers(1, REQUEST, false));
    peer.say(data(1, 'x'.repeat(5_000)), frame(FrameType.SETTINGS, Flag.ACK, 0));
    await peer.settle();
    expect(peer.resetCodes(1)).toEqual([]);
    peer.say(data(1, 'x'));
    await peer.settle();
    expect(peer.resetCodes(1), 'the window is now 4,000 below zero').toEqual([ErrorCode.FLOW_CONTROL_ERROR]);
  });

  test('of the connection come back when streams are lost with bytes that nobody credited', async () => {
    const peer = RawPeer.server({ connectionWindowBytes: 65_535 });
    peer.owner.answer = (_stream, _block, _end, owner) => {
      owner.credits = false;
    };
    for (let id = 1; id <= 21; id += 2) {
      peer.say(
        peer.headers(id, REQUEST, false),
        data(id, 'x'.repeat(10_000)),
        frame(FrameType.RST_STREAM, 0, id, word(8)),
      );
      await peer.settle();
    }
    expect(peer.owner.ends).toEqual([]);
    expect(peer.windowUpdates(0).reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThan(70_000);
  });

  test('are given back by the engine for what comes after refuseRest', async () => {
    const peer = RawPeer.server({ streamWindowBytes: 20_000, connectionWindowBytes: 65_535 });
    peer.owner.answer = (stream) => {
      stream.sendHeaders([':status', '200'], false);
      stream.refuseRest();
    };
    peer.say(peer.headers(1, REQUEST, false));
    for (let index = 0; index < 12; index++) {
      peer.say(data(1, 'x'.repeat(10_000)));
      await peer.settle();
    }
    expect(peer.owner.streams[0]?.owner.chunks).toEqual([]);
    expect(peer.resetCodes(1)).toEqual([]);
    peer.owner.streams[0]?.stream.sendHeaders(['grpc-status', '8'], true);
    await peer.settle();
    expect(peer.resetCodes(1)).toEqual([ErrorCode.NO_ERROR]);
    expect(peer.owner.ends).toEqual([]);
  });

  test('cannot be credited more than was received', async () => {
    const peer = RawPeer.server({ connectionWindowBytes: 65_535 });
    peer.say(peer.headers(1, REQUEST, false), data(1, 'x'));
    await peer.settle();
    peer.owner.streams[0]?.stream.credit(1_000_000);
    await peer.settle();
    expect([...peer.windowUpdates(0), ...peer.windowUpdates(1)]).toEqual([]);
  });

  test('of a stream whose end was seen are not announced any more', async () => {
    const peer = RawPeer.server({ connectionWindowBytes: 65_535 });
    peer.owner.answer = (_stream, _block, _end, owner) => {
      owner.credits = false;
    };
    const full = Buffer.alloc(16_384);
    peer.say(peer.headers(1, REQUEST, false), frame(0, 0, 1, full), frame(0, 0, 1, full), frame(0, 1, 1, full));
    await peer.settle();
    peer.owner.streams[0]?.stream.credit(49_152);
    await peer.settle();
    expect(peer.windowUpdates(1)).toEqual([]);
    expect(peer.windowUpdates(0)).toEqual([49_152]);
  });
});

describe('send windows', () => {
  const answerWith = (bytes: number) => (peer: RawPeer) => {
    peer.owner.answer = (stream) => {
      stream.sendHeaders([':status', '200'], false);
      stream.sendData(Buffer.alloc(bytes), true);
    };
  };
  const sent = (peer: RawPeer, id: number) =>
    peer.of(FrameType.DATA).reduce((sum, { streamId, payload }) => sum + (streamId === id ? payload.length : 0), 0);
  const initialWindow = (bytes: number) =>
    frame(FrameType.SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, 4]), word(bytes)]));

  test('hold DATA back to the byte, and may become negative by SETTINGS', async () => {
    const peer = RawPeer.server();
    answerWith(200)(peer);
    peer.say(initialWindow(100), peer.headers(1, REQUEST, true));
    await peer.settle();
    expect(sent(peer, 1)).toBe(100);
    peer.say(initialWindow(40), frame(FrameType.WINDOW_UPDATE, 0, 1, word(60)));
    await peer.settle();
    expect(sent(peer, 1), 'minus sixty and sixty is nothing').toBe(100);
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, 1, word(1)));
    await peer.settle();
    expect(sent(peer, 1)).toBe(101);
    peer.say(initialWindow(1_000));
    await peer.settle();
    expect(sent(peer, 1)).toBe(200);
    expect(peer.owner.streams[0]?.owner.localEnds).toBe(1);
    expect(peer.owner.streams[0]?.owner.written).toBe(200);
  });

  test('that SETTINGS widen are used after their acknowledgement: until then the peer has the old ones (RFC 9113 §6.5.3)', async () => {
    const peer = RawPeer.server();
    answerWith(200)(peer);
    peer.say(initialWindow(0), peer.headers(1, REQUEST, true));
    await peer.settle();
    expect(sent(peer, 1)).toBe(0);
    peer.say(initialWindow(1_000));
    await peer.settle();
    const told = peer.heard.filter(({ type }) => type === FrameType.SETTINGS || type === FrameType.DATA).slice(-2);
    expect(told).toMatchObject([
      { type: FrameType.SETTINGS, flags: Flag.ACK },
      { type: FrameType.DATA, flags: Flag.END_STREAM },
    ]);
  });

  test('of the connection are shared, a frame each in turn', async () => {
    const peer = RawPeer.server();
    answerWith(40_000)(peer);
    peer.say(peer.headers(1, REQUEST, true), peer.headers(3, REQUEST, true), peer.headers(5, REQUEST, true));
    await peer.settle();
    expect([1, 3, 5].map((id) => sent(peer, id)).reduce((sum, bytes) => sum + bytes)).toBe(65_535);
    const before = peer.of(FrameType.DATA).length;
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, 0, word(54_465)));
    await eventually(() => sent(peer, 1) + sent(peer, 3) + sent(peer, 5) === 120_000);
    const order = peer
      .of(FrameType.DATA)
      .slice(before)
      .map(({ streamId }) => streamId);
    expect(order.slice(0, 2)).toEqual([3, 5]);
    expect([1, 3, 5].map((id) => sent(peer, id))).toEqual([40_000, 40_000, 40_000]);
  });

  test('do not hold back headers, and END_STREAM comes after the DATA before it', async () => {
    const peer = RawPeer.server();
    peer.owner.answer = (stream, _block, _end, owner) => {
      stream.sendHeaders([':status', '200'], false);
      stream.sendData(Buffer.alloc(10), false);
      stream.sendHeaders(['grpc-status', '0'], true);
      stream.sendHeaders(['ignored', 'after the end'], true);
      expect(owner.localEnds).toBe(0);
    };
    peer.say(initialWindow(4), peer.headers(1, REQUEST, true));
    await peer.settle();
    expect(peer.of(FrameType.HEADERS)).toHaveLength(1);
    expect(peer.owner.streams[0]?.owner.localEnds).toBe(0);
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, 1, word(6)));
    await peer.settle();
    expect(peer.of(FrameType.HEADERS).map(({ flags }) => flags & Flag.END_STREAM)).toEqual([0, 1]);
    expect(peer.owner.streams[0]?.owner.localEnds).toBe(1);
  });

  test('above 2^31-1 by SETTINGS end the connection', async () => {
    const peer = RawPeer.server();
    peer.say(
      peer.headers(1, REQUEST, true),
      frame(FrameType.WINDOW_UPDATE, 0, 1, word(0x7fff_0000)),
      initialWindow(65_536),
    );
    expect(await peer.owner.ended).toMatchObject({ code: ErrorCode.FLOW_CONTROL_ERROR });
  });

  test('are left alone by an empty DATA frame with END_STREAM', async () => {
    const peer = RawPeer.server();
    peer.owner.answer = (stream) => {
      stream.sendHeaders([':status', '200'], false);
      stream.sendData(Buffer.alloc(0), true);
    };
    peer.say(initialWindow(0), peer.headers(1, REQUEST, true));
    await peer.settle();
    expect(peer.of(FrameType.DATA)).toMatchObject([{ flags: Flag.END_STREAM, streamId: 1 }]);
  });
});

describe('draining', () => {
  test('lets streams in until the round trip is over, and ignores those that come behind', async () => {
    const peer = RawPeer.server();
    peer.say(peer.headers(1, REQUEST, false));
    await peer.settle();
    peer.connection.drain();
    await eventually(() => peer.of(FrameType.GOAWAY).length === 1);
    const ping = peer.of(FrameType.PING).at(-1);
    peer.say(peer.headers(3, REQUEST, true), frame(FrameType.PING, Flag.ACK, 0, ping?.payload ?? Buffer.alloc(8)));
    await eventually(() => peer.of(FrameType.GOAWAY).length === 2);
    expect(peer.of(FrameType.GOAWAY).map(({ payload }) => uint31(payload, 0))).toEqual([0x7fff_ffff, 3]);
    peer.say(peer.headers(5, REQUEST, false), data(5, 'x'), frame(FrameType.RST_STREAM, 0, 5, word(8)));
    peer.say(frame(FrameType.PING, Flag.ACK, 0, ping?.payload ?? Buffer.alloc(8)), peer.headers(7, REQUEST, true));
    await peer.settle();
    expect(peer.of(FrameType.GOAWAY), 'the second answer to one PING means nothing').toHaveLength(2);
    expect(peer.owner.streams.map(({ stream }) => stream.id)).toEqual([1, 3]);
    expect(peer.owner.ends).toEqual([]);
    for (const { stream } of peer.owner.streams) stream.sendHeaders([':status', '200'], true);
    peer.say(data(1, '', Flag.END_STREAM));
    await eventually(() => peer.closed);
    expect(peer.owner.ends).toEqual([{ kind: 'closed' }]);
  });

  test('does not wait for a round trip without end', async () => {
    const peer = RawPeer.server({ limits: { drainRoundTripMs: 20 } });
    await peer.settle();
    peer.connection.drain();
    await eventually(() => peer.closed);
    expect(peer.of(FrameType.GOAWAY).length).toBeGreaterThanOrEqual(2);
  });
});
