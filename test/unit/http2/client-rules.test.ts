/** What a client must do with what a server sends (RFC 9113 §5, §6.8, §8). */
import { describe, expect, test } from 'vitest';
import type { ConnectionOptions, HeaderBlock } from '../../../src/http2/contract.ts';
import { ErrorCode } from '../../../src/http2/error-code.ts';
import { Flag, FrameType, PREFACE, uint16, uint32 } from '../../../src/http2/frame.ts';
import { eventually, REQUEST } from './loopback.ts';
import { frame, RawPeer, SETTINGS, SETTINGS_ACK, word } from './raw-peer.ts';
import { RecordingStreamOwner } from './recording-owner.ts';

const data = (streamId: number, text: string, flags = 0): Buffer =>
  frame(FrameType.DATA, flags, streamId, Buffer.from(text, 'latin1'));
const OK: HeaderBlock = [':status', '200'];

function open(peer: RawPeer, block: HeaderBlock = REQUEST, endStream = true) {
  const owner = new RecordingStreamOwner();
  return { owner, stream: peer.connection.open(block, endStream, owner) };
}

async function client(over: Partial<ConnectionOptions> = {}): Promise<RawPeer> {
  const peer = RawPeer.client(over);
  await eventually(() => peer.owner.capacityCalls > 0);
  return peer;
}

function setting(id: number, value: number): Buffer {
  return frame(FrameType.SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, id]), word(value)]));
}

describe('a client', () => {
  test('says the preface, forbids push, and gives the windows of its options', async () => {
    const raw: Buffer[] = [];
    const peer = new RawPeer('client', { streamWindowBytes: 100_000, connectionWindowBytes: 1_000_000 });
    peer.socket.on('data', (chunk: Buffer) => raw.push(chunk));
    await eventually(() => raw.length > 0);
    const bytes = Buffer.concat(raw);
    expect(bytes.subarray(0, PREFACE.length).equals(PREFACE)).toBe(true);
    const settings = peer.of(FrameType.SETTINGS)[0]?.payload ?? Buffer.alloc(0);
    const said = new Map<number, number>();
    for (let at = 0; at < settings.length; at += 6) said.set(uint16(settings, at), uint32(settings, at + 2));
    expect(said).toEqual(
      new Map([
        [2, 0],
        [4, 100_000],
        [6, 16_384],
      ]),
    );
    expect(peer.windowUpdates(0)).toEqual([1_000_000 - 65_535]);
  });

  test('reads informational responses, the response and its trailers', async () => {
    const peer = await client();
    const { owner } = open(peer);
    peer.say(
      peer.headers(1, [':status', '103', 'link', 'x'], false),
      peer.headers(1, OK, false),
      data(1, 'body'),
      peer.headers(1, ['grpc-status', '0'], true),
    );
    await owner.whenEnded();
    expect(owner.headers.map(({ block }) => block[1])).toEqual(['103', '200', '0']);
    expect(owner.body.toString()).toBe('body');
    expect(owner.resets).toEqual([]);
    expect(peer.connection.openStreams).toBe(0);
  });

  const malformed: [string, HeaderBlock, boolean][] = [
    ['has no :status', ['a', 'b'], false],
    ['has a :path', [...OK, ':path', '/'], false],
    ['has a :status of two digits', [':status', '20'], false],
    ['is 101', [':status', '101'], false],
    ['is informational and ends the stream', [':status', '100'], true],
    ['has a connection field', [...OK, 'connection', 'close'], false],
    ['has a content-length above zero and no DATA', [...OK, 'content-length', '1'], true],
  ];
  test.each(malformed)('resets a stream whose response %s', async (_why, block, endStream) => {
    const peer = await client();
    const { owner } = open(peer);
    peer.say(peer.headers(1, block, endStream));
    await owner.whenEnded();
    expect(owner.resets).toMatchObject([{ by: 'us', code: ErrorCode.PROTOCOL_ERROR }]);
    expect(owner.headers).toEqual([]);
  });

  test('resets a stream whose DATA comes before its response, or whose trailers do not end it', async () => {
    const peer = await client();
    const early = open(peer);
    const unending = open(peer);
    peer.say(data(1, 'x'), peer.headers(3, OK, false), peer.headers(3, ['a', 'b'], false));
    await Promise.all([early.owner.whenEnded(), unending.owner.whenEnded()]);
    expect([early, unending].map(({ owner }) => owner.resets[0])).toMatchObject([{ by: 'us' }, { by: 'us' }]);
  });

  test('takes the content-length of an answer to HEAD, and of 304, as no promise', async () => {
    const peer = await client();
    const head = open(peer, [':method', 'HEAD', ...REQUEST.slice(2)]);
    const cached = open(peer);
    const block = [':status', '304', 'content-length', '100'];
    peer.say(peer.headers(1, [...OK, 'content-length', '100'], true), peer.headers(3, block, true));
    await Promise.all([head.owner.whenEnded(), cached.owner.whenEnded()]);
    expect([...head.owner.resets, ...cached.owner.resets]).toEqual([]);
  });

  test('opens no more streams than the server allows, and assumes a hundred until it says', async () => {
    const peer = new RawPeer('client');
    expect(peer.connection.availableStreams).toBe(100);
    peer.say(setting(3, 2), SETTINGS_ACK);
    await eventually(() => peer.connection.availableStreams === 2);
    open(peer);
    const { stream } = open(peer);
    expect(() => open(peer)).toThrow(RangeError);
    stream.reset(ErrorCode.CANCEL);
    expect(peer.connection.availableStreams).toBe(1);
    peer.say(setting(3, 0));
    await eventually(() => peer.connection.availableStreams === 0);
    expect(peer.connection.acceptsStreams).toBe(true);
  });

  test('says nothing on the wire of a stream that is reset before its headers left', async () => {
    const peer = await client();
    await peer.settle();
    peer.socket.pause();
    const first = open(peer, REQUEST, false);
    first.stream.sendData(Buffer.alloc(65_535), false);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const filler = open(peer, REQUEST, false);
    filler.stream.sendData(Buffer.alloc(100_000), false);
    peer.say(frame(FrameType.WINDOW_UPDATE, 0, 0, word(1_000_000)));
    await new Promise((resolve) => setTimeout(resolve, 5));
    const unsent = open(peer);
    const last = open(peer);
    unsent.stream.reset(ErrorCode.CANCEL);
    peer.socket.resume();
    await eventually(() => peer.of(FrameType.HEADERS).some(({ streamId }) => streamId === last.stream.id));
    const ids = peer.of(FrameType.HEADERS).map(({ streamId }) => streamId);
    if (!ids.includes(unsent.stream.id)) expect(peer.resetCodes(unsent.stream.id)).toEqual([]);
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
  });

  test('learns from GOAWAY which streams were never looked at', async () => {
    const peer = await client();
    const [one, two, three] = [open(peer), open(peer), open(peer)];
    await peer.settle();
    peer.say(frame(FrameType.GOAWAY, 0, 0, Buffer.concat([word(3), word(0)])));
    await three.owner.whenEnded();
    expect(three.owner.resets).toEqual([{ by: 'connection', end: { kind: 'closed' }, unprocessed: true }]);
    expect([...one.owner.resets, ...two.owner.resets]).toEqual([]);
    expect(peer.owner.goaways).toEqual([{ lastStreamId: 3, code: 0 }]);
    expect(peer.connection.acceptsStreams).toBe(false);
    peer.say(peer.headers(1, OK, true), peer.headers(3, OK, true));
    expect(await peer.owner.ended).toEqual({ kind: 'closed' });
    expect([...one.owner.resets, ...two.owner.resets]).toEqual([]);
  });

  test('says what was never looked at when the connection ends after GOAWAY', async () => {
    const peer = await client();
    const one = open(peer);
    await peer.settle();
    peer.say(frame(FrameType.GOAWAY, 0, 0, Buffer.concat([word(2 ** 31 - 1), word(0)])));
    peer.say(frame(FrameType.GOAWAY, 0, 0, Buffer.concat([word(0), word(0)])));
    await one.owner.whenEnded();
    expect(one.owner.resets).toMatchObject([{ unprocessed: true }]);
  });

  test('refuses push, in both of its forms', async () => {
    const enabling = RawPeer.client();
    enabling.say(setting(2, 1));
    const pushing = await client();
    open(pushing);
    await pushing.settle();
    pushing.say(frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, 1, Buffer.from([0, 0, 0, 2, 0x82])));
    for (const peer of [enabling, pushing]) {
      expect(await peer.owner.ended).toMatchObject({ kind: 'protocol', code: ErrorCode.PROTOCOL_ERROR });
    }
  });

  test('ends the connection at a response to a stream that it never opened', async () => {
    for (const id of [2, 5]) {
      const peer = await client();
      open(peer);
      await peer.settle();
      peer.say(peer.headers(id, OK, true));
      expect(await peer.owner.ended).toMatchObject({ code: ErrorCode.PROTOCOL_ERROR });
    }
  });

  test('ignores the response to a stream that it has reset', async () => {
    const peer = await client();
    const { stream, owner } = open(peer);
    await peer.settle();
    stream.reset(ErrorCode.CANCEL);
    peer.say(peer.headers(1, OK, false), data(1, 'x'), peer.headers(1, ['a', 'b'], true), SETTINGS);
    await peer.settle();
    expect(peer.owner.ends).toEqual([]);
    expect(owner.headers).toEqual([]);
  });

  test('drains: opens nothing more, finishes what runs, and closes', async () => {
    const peer = await client();
    const { owner } = open(peer);
    peer.connection.drain();
    expect(peer.connection.availableStreams).toBe(0);
    peer.say(peer.headers(1, OK, true));
    await owner.whenEnded();
    expect(await peer.owner.ended).toEqual({ kind: 'closed' });
    expect(owner.resets).toEqual([]);
  });

  test('tells the owner of a block that the server would not take, and sends none of it', async () => {
    const peer = RawPeer.client();
    peer.say(setting(6, 200));
    await eventually(() => peer.owner.capacityCalls >= 2);
    const { owner } = open(peer, [...REQUEST, 'x', 'y'.repeat(200)]);
    await owner.whenEnded();
    expect(owner.resets).toMatchObject([{ by: 'us', code: ErrorCode.INTERNAL_ERROR }]);
    await peer.settle();
    expect([...peer.of(FrameType.HEADERS), ...peer.of(FrameType.RST_STREAM)]).toEqual([]);
  });

  test('splits a block that is larger than a frame', async () => {
    const peer = RawPeer.client();
    await eventually(() => peer.owner.capacityCalls >= 1);
    open(peer, [...REQUEST, ...Array.from({ length: 30 }, (_, index) => [`x-${index}`, '\x01'.repeat(3_000)]).flat()]);
    await peer.settle();
    const kinds = peer.heard.filter(({ streamId }) => streamId === 1);
    expect(kinds.map(({ type }) => type)).toEqual([1, 9, 9, 9, 9, 9]);
    expect(kinds.map(({ flags }) => flags)).toEqual([Flag.END_STREAM, 0, 0, 0, 0, Flag.END_HEADERS]);
    expect(Math.max(...kinds.map(({ payload }) => payload.length))).toBe(16_384);
  });
});
