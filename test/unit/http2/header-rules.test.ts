/** Which header blocks a server takes, and which not (RFC 9113 §8). */
import { describe, expect, test } from 'vitest';
import type { HeaderBlock } from '../../../src/http2/contract.ts';
import { ErrorCode } from '../../../src/http2/error-code.ts';
import { Flag, FrameType } from '../../../src/http2/frame.ts';
import { REQUEST } from './loopback.ts';
import { frame, RawPeer } from './raw-peer.ts';

const data = (streamId: number, text: string, flags = 0): Buffer =>
  frame(FrameType.DATA, flags, streamId, Buffer.from(text, 'latin1'));
const without = (name: string): HeaderBlock => {
  const at = REQUEST.indexOf(name);
  return REQUEST.filter((_, index) => index !== at && index !== at + 1);
};
const replaced = (name: string, value: string): HeaderBlock =>
  REQUEST.map((text, index) => (REQUEST[index - 1] === name && index % 2 === 1 ? value : text));

describe('a request is malformed, and its stream reset with PROTOCOL_ERROR, when', () => {
  const malformed: [string, HeaderBlock][] = [
    ['it has no :method', without(':method')],
    ['it has no :scheme', without(':scheme')],
    ['it has no :path', without(':path')],
    ['its :path is empty', replaced(':path', '')],
    ['its :path is relative', replaced(':path', 'a/b')],
    ['its :path has a space', replaced(':path', '/a b')],
    ['its :path is * and its :method is not OPTIONS', replaced(':path', '*')],
    ['it has :method twice', [':method', 'POST', ...REQUEST]],
    ['it has a pseudo-field after a regular one', ['x', 'y', ...REQUEST]],
    ['it has an unknown pseudo-field', [':protocol', 'x', ...REQUEST]],
    ['it has :status', [':status', '200', ...REQUEST]],
    ['a name has an upper-case letter', [...REQUEST, 'X-a', 'b']],
    ['a name has a space', [...REQUEST, 'x a', 'b']],
    ['a name has a colon', [...REQUEST, 'x:a', 'b']],
    ['a name is empty', [...REQUEST, '', 'b']],
    ['a name is not ASCII', [...REQUEST, 'x\xe9', 'b']],
    ['a value has a line feed', [...REQUEST, 'x', 'a\nb: c']],
    ['a value has a carriage return', [...REQUEST, 'x', 'a\rb']],
    ['a value has a NUL', [...REQUEST, 'x', 'a\0b']],
    ['a value ends with a control character', [...REQUEST, 'x', 'a\x01']],
    ['a value is a delete', [...REQUEST, 'x', '\x7f']],
    ['a value begins with a space', [...REQUEST, 'x', ' a']],
    ['a value ends with a tab', [...REQUEST, 'x', 'a\t']],
    ['it has connection', [...REQUEST, 'connection', 'close']],
    ['it has keep-alive', [...REQUEST, 'keep-alive', '1']],
    ['it has proxy-connection', [...REQUEST, 'proxy-connection', 'x']],
    ['it has transfer-encoding', [...REQUEST, 'transfer-encoding', 'chunked']],
    ['it has upgrade', [...REQUEST, 'upgrade', 'h2c']],
    ['its te is not trailers', replaced('te', 'gzip')],
    ['its content-length is no number', [...REQUEST, 'content-length', '1e3']],
    ['it has two content-lengths', [...REQUEST, 'content-length', '1', 'content-length', '1']],
    ['its host differs from its :authority', [...REQUEST, 'host', 'other']],
    ['it has two hosts that differ', [...without(':authority'), 'host', 'a', 'host', 'b']],
    ['it has the same host twice', [...without(':authority'), 'host', 'a', 'host', 'a']],
    ['its host is no authority', [...without(':authority'), 'host', 'a/b']],
    ['its :authority has userinfo', replaced(':authority', 'me@localhost')],
    ['its :authority is empty', replaced(':authority', '')],
    ['its :authority goes on with a path', replaced(':authority', 'localhost/a')],
    ['its :authority has a space', replaced(':authority', 'local host')],
    ['its :scheme is no scheme', replaced(':scheme', '1:')],
    ['its :method is no token', replaced(':method', 'PO ST')],
    ['it is CONNECT with a path', replaced(':method', 'CONNECT')],
    ['it is CONNECT without an authority', [':method', 'CONNECT']],
  ];
  test.each(malformed)('%s', async (_why, block) => {
    const peer = RawPeer.server();
    peer.say(peer.headers(1, block, true), peer.headers(3, REQUEST, true));
    await peer.settle();
    expect(peer.resetCodes(1)).toEqual([ErrorCode.PROTOCOL_ERROR]);
    expect(peer.owner.streams.map(({ stream }) => stream.id)).toEqual([3]);
  });
});

describe('a request is taken when', () => {
  const fine: [string, HeaderBlock][] = [
    ['it has no :authority', without(':authority')],
    ['it has an empty host and no :authority', [...without(':authority'), 'host', '']],
    ['its :authority is an IPv6 address with a port', replaced(':authority', '[fe80::1%25eth0]:8443')],
    ['its :path has octets above ASCII', replaced(':path', '/\xe9?a=%20')],
    ['its te is trailers in capitals', replaced('te', 'Trailers')],
    ['its host is its :authority', [...REQUEST, 'host', 'localhost']],
    ['a value is empty, or has inner spaces, tabs and octets above ASCII', [...REQUEST, 'x', '', 'y', 'a \t\xff b']],
    ['its pseudo-fields come in another order', [':path', '/', ':method', 'GET', ':scheme', 'https', 'a', 'b']],
    ['it is OPTIONS *', [':path', '*', ':method', 'OPTIONS', ':scheme', 'https']],
    ['it is CONNECT', [':method', 'CONNECT', ':authority', 'localhost:1']],
    ['it has several cookies', [...REQUEST, 'cookie', 'a', 'cookie', 'b']],
  ];
  test.each(fine)('%s', async (_why, block) => {
    const peer = RawPeer.server();
    peer.say(peer.headers(1, block, true));
    await peer.settle();
    expect(peer.owner.streams[0]?.block).toEqual(block);
  });
});

describe('a field that the peer indexed', () => {
  test('is the same string each time, and a repeated block the same frozen array', async () => {
    const peer = RawPeer.server();
    const literal = Buffer.from([0x40, 1, 0x78, 3, 0x61, 0x62, 0x63]);
    const pseudo = Buffer.from([0x83, 0x86, 0x84]);
    const first = Buffer.concat([pseudo, literal]);
    const again = Buffer.concat([pseudo, Buffer.from([0xbe])]);
    const headers = (id: number, block: Buffer) => frame(FrameType.HEADERS, 5, id, block);
    peer.say(headers(1, first), headers(3, again), headers(5, again));
    await peer.settle();
    const [one, two, three] = peer.owner.streams.map(({ block }) => block);
    expect(one).toEqual([':method', 'POST', ':scheme', 'http', ':path', '/', 'x', 'abc']);
    expect(two).toEqual(one);
    expect(three).toBe(two);
    expect(Object.isFrozen(three)).toBe(true);
  });

  test('that is malformed is malformed each time', async () => {
    const peer = RawPeer.server();
    const headers = (id: number, rest: number[]) =>
      frame(FrameType.HEADERS, 5, id, Buffer.from([0x83, 0x86, 0x84, ...rest]));
    peer.say(headers(1, [0x40, 1, 0x58, 1, 0x61]), headers(3, [0xbe]), headers(5, [0xbe]), headers(7, []));
    await peer.settle();
    expect([1, 3, 5].map((id) => peer.resetCodes(id))).toEqual([[1], [1], [1]]);
    expect(peer.owner.streams.map(({ stream }) => stream.id)).toEqual([7]);
  });
});

describe('content-length', () => {
  test.each([
    ['4', ['four'], true],
    ['4', ['fo', 'ur'], true],
    ['0', [''], true],
    ['4', ['thr'], false],
    ['4', ['fo', 'urs'], false],
    ['0', ['x'], false],
  ])('%s and DATA %j agree: %s', async (length, pieces, agree) => {
    const peer = RawPeer.server();
    peer.say(peer.headers(1, [...REQUEST, 'content-length', length], false));
    peer.say(...pieces.map((piece, index) => data(1, piece, index === pieces.length - 1 ? Flag.END_STREAM : 0)));
    await peer.settle();
    const { owner } = peer.owner.streams[0] ?? {};
    expect(owner?.ended).toBe(agree);
    expect(peer.resetCodes(1)).toEqual(agree ? [] : [ErrorCode.PROTOCOL_ERROR]);
    expect(owner?.resets.length).toBe(agree ? 0 : 1);
  });

  test('above zero with END_STREAM on the request is malformed', async () => {
    const peer = RawPeer.server();
    peer.say(peer.headers(1, [...REQUEST, 'content-length', '1'], true));
    await peer.settle();
    expect(peer.resetCodes(1)).toEqual([ErrorCode.PROTOCOL_ERROR]);
    expect(peer.owner.streams).toEqual([]);
  });

  test('counts before trailers too', async () => {
    const peer = RawPeer.server();
    peer.say(
      peer.headers(1, [...REQUEST, 'content-length', '2'], false),
      data(1, 'x'),
      peer.headers(1, ['a', 'b'], true),
    );
    await peer.settle();
    expect(peer.resetCodes(1)).toEqual([ErrorCode.PROTOCOL_ERROR]);
  });
});

describe('trailers', () => {
  test.each([
    ['end the stream', ['x', 'y'], true, []],
    ['must end the stream', ['x', 'y'], false, [ErrorCode.PROTOCOL_ERROR]],
    ['have no pseudo-fields', [':path', '/'], true, [ErrorCode.PROTOCOL_ERROR]],
    ['have no connection fields', ['connection', 'x'], true, [ErrorCode.PROTOCOL_ERROR]],
  ])('%s', async (_rule, block, endStream, resets) => {
    const peer = RawPeer.server();
    peer.say(peer.headers(1, REQUEST, false), data(1, 'x'), peer.headers(1, block, endStream));
    await peer.settle();
    expect(peer.resetCodes(1)).toEqual(resets);
    expect(peer.owner.streams[0]?.owner.ended).toBe(resets.length === 0);
  });
});
