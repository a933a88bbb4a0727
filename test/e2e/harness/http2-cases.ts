/**
 * Hand-written things that a peer may say, right and wrong, one rule each: header blocks (RFC 9113 §8) and frames (§4 to §6).
 */
import type { HeaderBlock } from '../../../src/http2/contract.ts';
import { Flag, FrameType, PREFACE } from '../../../src/http2/frame.ts';
import { encode, frame, SETTINGS, SETTINGS_ACK, word } from '../../unit/http2/raw-peer.ts';
import type { Role } from './http2-judge.ts';

/** What follows the preface and SETTINGS, by name. */
export type Cases = Readonly<Record<string, readonly Buffer[]>>;

/** The whole input: what every connection begins with, and the case. */
export function inputOf(role: Role, frames: readonly Buffer[]): Buffer {
  return Buffer.concat([...(role === 'server' ? [PREFACE] : []), SETTINGS, SETTINGS_ACK, ...frames]);
}

const METHOD = [':method', 'POST'];
const SCHEME = [':scheme', 'http'];
const PATH = [':path', '/a/b'];
const AUTHORITY = [':authority', 'localhost'];
const REQUEST = [...METHOD, ...SCHEME, ...PATH, ...AUTHORITY];
const OK = [':status', '200'];

const block = (flags: number, fields: HeaderBlock, id = 1): Buffer =>
  frame(FrameType.HEADERS, flags, id, encode(fields));
const open = (fields: HeaderBlock): Buffer => block(Flag.END_HEADERS, fields);
const whole = (fields: HeaderBlock): Buffer => block(Flag.END_HEADERS | Flag.END_STREAM, fields);
const data = (octets: number, flags: number = Flag.END_STREAM, id = 1): Buffer =>
  frame(FrameType.DATA, flags, id, Buffer.alloc(octets));

const blocks = (of: Readonly<Record<string, HeaderBlock>>): Cases =>
  Object.fromEntries(Object.entries(of).map(([name, fields]) => [name, [open(fields)]]));

/** Fields that are right or wrong in any block. */
const fields = (base: HeaderBlock): Cases =>
  blocks({
    'a name in capitals': [...base, 'X', 'y'],
    'a name with a space': [...base, 'x y', 'z'],
    'a name with a colon': [...base, 'x:y', 'z'],
    'an empty name': [...base, '', 'z'],
    'a name above ASCII': [...base, '\xe9', 'z'],
    'a name with NUL': [...base, 'a\0', 'z'],
    'a value with NUL': [...base, 'x', 'a\0b'],
    'a value with CR': [...base, 'x', 'a\rb'],
    'a value with LF': [...base, 'x', 'a\nb'],
    'a value with a control character': [...base, 'x', 'a\x01b'],
    'a value with DEL': [...base, 'x', 'a\x7fb'],
    'a value with a tab': [...base, 'x', 'a\tb'],
    'a value above ASCII': [...base, 'x', 'a\xe9b'],
    'a value that begins with a space': [...base, 'x', ' a'],
    'a value that ends with a space': [...base, 'x', 'a '],
    'a value that begins with a tab': [...base, 'x', '\ta'],
    'an empty value': [...base, 'x', ''],
    connection: [...base, 'connection', 'close'],
    'keep-alive': [...base, 'keep-alive', '1'],
    'proxy-connection': [...base, 'proxy-connection', '1'],
    'transfer-encoding': [...base, 'transfer-encoding', 'chunked'],
    upgrade: [...base, 'upgrade', 'h2c'],
    'a te of gzip': [...base, 'te', 'gzip'],
    'a te of trailers': [...base, 'te', 'trailers'],
    'a te of trailers and more': [...base, 'te', 'trailers, deflate'],
    'a te of trailers in capitals': [...base, 'te', 'Trailers'],
    'a content-length of letters': [...base, 'content-length', 'x'],
    'a negative content-length': [...base, 'content-length', '-1'],
    'a content-length with a plus': [...base, 'content-length', '+1'],
    'an empty content-length': [...base, 'content-length', ''],
    'a content-length without end': [...base, 'content-length', '99999999999999999999'],
    'the same content-length twice': [...base, 'content-length', '0', 'content-length', '0'],
    'two content-lengths': [...base, 'content-length', '0', 'content-length', '1'],
    'a content-length that is a list': [...base, 'content-length', '0, 0'],
    'a pseudo-field after a regular one': [base[0] ?? '', base[1] ?? '', 'a', 'b', ...base.slice(2), ':x', 'y'],
    'an unknown pseudo-field': [...base, ':x', 'y'],
  });

/** Messages whose length is said, and those that go on after their block. */
const messages = (base: HeaderBlock): Cases => ({
  'a content-length and no DATA': [whole([...base, 'content-length', '5'])],
  'a content-length of zero and no DATA': [whole([...base, 'content-length', '0'])],
  'less DATA than content-length': [open([...base, 'content-length', '5']), data(4)],
  'more DATA than content-length': [open([...base, 'content-length', '5']), data(6, 0)],
  'as much DATA as content-length': [open([...base, 'content-length', '5']), data(5)],
  'trailers before content-length is reached': [open([...base, 'content-length', '5']), whole(['a', 'b'])],
  trailers: [open(base), data(1, 0), whole(['a', 'b'])],
  'trailers that do not end the stream': [open(base), open(['a', 'b'])],
  'trailers with a pseudo-field': [open(base), whole(base.slice(0, 2))],
  'trailers with connection': [open(base), whole(['connection', 'x'])],
  'trailers of nothing': [open(base), frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1)],
});

const requests: Cases = {
  ...blocks({
    'a request': REQUEST,
    'no :method': [...SCHEME, ...PATH, ...AUTHORITY],
    'no :scheme': [...METHOD, ...PATH, ...AUTHORITY],
    'no :path': [...METHOD, ...SCHEME, ...AUTHORITY],
    'no :authority': [...METHOD, ...SCHEME, ...PATH],
    'a host and no :authority': [...METHOD, ...SCHEME, ...PATH, 'host', 'localhost'],
    'an empty :path': [...METHOD, ...SCHEME, ':path', '', ...AUTHORITY],
    'POST *': [...METHOD, ...SCHEME, ':path', '*', ...AUTHORITY],
    'OPTIONS *': [':method', 'OPTIONS', ...SCHEME, ':path', '*', ...AUTHORITY],
    'a relative :path': [...METHOD, ...SCHEME, ':path', 'a', ...AUTHORITY],
    'a :path with a space': [...METHOD, ...SCHEME, ':path', '/a b', ...AUTHORITY],
    'a :path above ASCII': [...METHOD, ...SCHEME, ':path', '/\xe9', ...AUTHORITY],
    ':method twice': [...METHOD, ...REQUEST],
    ':path twice': [...PATH, ...REQUEST],
    ':status in a request': [...REQUEST, ...OK],
    'extended CONNECT': [':method', 'CONNECT', ...SCHEME, ...PATH, ...AUTHORITY, ':protocol', 'websocket'],
    CONNECT: [':method', 'CONNECT', ...AUTHORITY],
    'CONNECT with :path': [':method', 'CONNECT', ...AUTHORITY, ...PATH],
    'CONNECT without :authority': [':method', 'CONNECT'],
    'a :method with a space': [':method', 'PO ST', ...SCHEME, ...PATH, ...AUTHORITY],
    'an empty :method': [':method', '', ...SCHEME, ...PATH, ...AUTHORITY],
    'a :scheme that is none': [...METHOD, ':scheme', '1x', ...PATH, ...AUTHORITY],
    'an empty :scheme': [...METHOD, ':scheme', '', ...PATH, ...AUTHORITY],
    'another :scheme': [...METHOD, ':scheme', 'ftp', ...PATH, ...AUTHORITY],
    'an empty :authority': [...METHOD, ...SCHEME, ...PATH, ':authority', ''],
    'an :authority with userinfo': [...METHOD, ...SCHEME, ...PATH, ':authority', 'u@h'],
    'an :authority with a space': [...METHOD, ...SCHEME, ...PATH, ':authority', 'a b'],
    'an :authority with a slash': [...METHOD, ...SCHEME, ...PATH, ':authority', 'h/x'],
    'an :authority with a port': [...METHOD, ...SCHEME, ...PATH, ':authority', 'h:1'],
    'a host that differs': [...REQUEST, 'host', 'other'],
    'a host that is the same': [...REQUEST, 'host', 'localhost'],
    'a host that comes twice': [...REQUEST, 'host', 'localhost', 'host', 'localhost'],
  }),
};

const responses: Cases = {
  ...blocks({
    'a response': OK,
    'no :status': ['a', 'b'],
    'a :status of two digits': [':status', '20'],
    'a :status of four digits': [':status', '2000'],
    'a :status of letters': [':status', 'abc'],
    'an empty :status': [':status', ''],
    'a :status of 99': [':status', '099'],
    'a :status of 600': [':status', '600'],
    ':status twice': [...OK, ...OK],
    '101': [':status', '101'],
    '100': [':status', '100'],
    '100 with a content-length': [':status', '100', 'content-length', '5'],
    ':path in a response': [...OK, ...PATH],
  }),
  '100 that ends the stream': [whole([':status', '100'])],
  '100, then 200': [open([':status', '100']), whole(OK)],
  '100, then DATA': [open([':status', '100']), data(4)],
  '200, then 100': [open(OK), open([':status', '100'])],
  'a second response': [open(OK), open(OK)],
  'DATA before a response': [data(4)],
  '204 with a content-length': [whole([':status', '204', 'content-length', '5'])],
  '304 with a content-length': [whole([':status', '304', 'content-length', '5'])],
  '204 with DATA': [open([':status', '204']), data(4)],
  '304 with DATA': [open([':status', '304']), data(4)],
  PUSH_PROMISE: [frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, 1, Buffer.concat([word(2), encode(REQUEST)]))],
  'ENABLE_PUSH of a server': [frame(FrameType.SETTINGS, 0, 0, setting(2, 1))],
  'a response to what was not asked': [block(Flag.END_HEADERS, OK, 7)],
  'a response on an even stream': [block(Flag.END_HEADERS, OK, 2)],
};

function setting(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.from([0, id]), word(value)]);
}

/** Frames that are the same in either direction, on a connection where stream 1 is open and 99 idle. */
const frames = (base: HeaderBlock): Cases => {
  const { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS: SET, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION } = FrameType;
  const half = encode(base);
  const split = [half.subarray(0, 1), half.subarray(1)] as const;
  const begun = frame(HEADERS, 0, 1, split[0]);
  const ofServer = base[0] === ':status';
  const goaway = (last: number): Buffer => frame(GOAWAY, 0, 0, Buffer.concat([word(last), word(0)]));
  return {
    'a block in two frames': [begun, frame(CONTINUATION, Flag.END_HEADERS, 1, split[1])],
    'a frame amid a block': [
      begun,
      frame(PING, 0, 0, Buffer.alloc(8)),
      frame(CONTINUATION, Flag.END_HEADERS, 1, split[1]),
    ],
    'an unknown frame amid a block': [begun, frame(0x42, 0, 0), frame(CONTINUATION, Flag.END_HEADERS, 1, split[1])],
    'CONTINUATION of another stream': [begun, frame(CONTINUATION, Flag.END_HEADERS, 3, split[1])],
    'CONTINUATION of nothing': [open(base), frame(CONTINUATION, Flag.END_HEADERS, 1, encode(['a', 'b']))],
    'a block of nonsense': [frame(HEADERS, Flag.END_HEADERS, 1, Buffer.from([0xff, 0xff, 0xff]))],
    'an index of no field': [frame(HEADERS, Flag.END_HEADERS, 1, Buffer.from([0xbe]))],
    'an index of zero': [frame(HEADERS, Flag.END_HEADERS, 1, Buffer.from([0x80]))],
    'a table size above ours': [frame(HEADERS, Flag.END_HEADERS, 1, Buffer.from([0x3f, 0xe2, 0x1f]))],
    'a table size at the end of a block': [
      frame(HEADERS, Flag.END_HEADERS, 1, Buffer.concat([half, Buffer.from([0x20])])),
    ],
    'HEADERS on stream 0': [frame(HEADERS, Flag.END_HEADERS, 0, half)],
    'HEADERS with less than their padding': [frame(HEADERS, Flag.END_HEADERS | Flag.PADDED, 1, Buffer.from([9, 0x88]))],
    'HEADERS of padding only, and CONTINUATION': [
      frame(HEADERS, Flag.PADDED, 1, Buffer.from([2, 0, 0])),
      frame(CONTINUATION, Flag.END_HEADERS, 1, half),
    ],
    'HEADERS without their priority': [frame(HEADERS, Flag.END_HEADERS | Flag.PRIORITY, 1, Buffer.alloc(4))],
    'HEADERS with padding and priority': [
      frame(
        HEADERS,
        Flag.END_HEADERS | Flag.PADDED | Flag.PRIORITY,
        1,
        Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 5]), half, Buffer.alloc(2)]),
      ),
    ],
    'HEADERS that depend on themselves': [
      frame(HEADERS, Flag.END_HEADERS | Flag.PRIORITY, 1, Buffer.concat([word(1), Buffer.from([5]), half])),
    ],
    'DATA on stream 0': [data(1, 0, 0)],
    'DATA on an idle stream': [data(1, 0, 99)],
    'DATA with padding': [open(base), frame(DATA, Flag.PADDED, 1, Buffer.from([2, 1, 0, 0]))],
    'DATA of padding only': [open(base), frame(DATA, Flag.PADDED, 1, Buffer.from([2, 0, 0]))],
    'DATA with more padding than payload': [open(base), frame(DATA, Flag.PADDED, 1, Buffer.from([4, 1, 0, 0]))],
    'DATA without its pad length': [open(base), frame(DATA, Flag.PADDED, 1)],
    'DATA after the end': [whole(base), data(1, 0)],
    'HEADERS after the end': [whole(base), whole(['a', 'b'])],
    'DATA to the last octet of the window': [
      open(base),
      ...[16_384, 16_384, 16_384, 16_383].map((octets) => data(octets, 0)),
    ],
    'DATA beyond the window': [open(base), ...[16_384, 16_384, 16_384, 16_384].map((octets) => data(octets, 0))],
    'a frame of 16385 octets': [open(base), data(16_385, 0)],
    'DATA after RST_STREAM': [open(base), frame(RST_STREAM, 0, 1, word(8)), data(1, 0)],
    'HEADERS after RST_STREAM': [open(base), frame(RST_STREAM, 0, 1, word(8)), whole(['a', 'b'])],
    'WINDOW_UPDATE after RST_STREAM': [
      open(base),
      frame(RST_STREAM, 0, 1, word(8)),
      frame(WINDOW_UPDATE, 0, 1, word(1)),
    ],
    'RST_STREAM twice': [open(base), frame(RST_STREAM, 0, 1, word(8)), frame(RST_STREAM, 0, 1, word(8))],
    'RST_STREAM on stream 0': [frame(RST_STREAM, 0, 0, word(8))],
    'RST_STREAM on an idle stream': [frame(RST_STREAM, 0, 99, word(8))],
    'RST_STREAM of five octets': [open(base), frame(RST_STREAM, 0, 1, Buffer.alloc(5))],
    'RST_STREAM with an unknown code': [open(base), frame(RST_STREAM, 0, 1, word(0xff00))],
    'PRIORITY on an idle stream': [frame(PRIORITY, 0, 99, Buffer.alloc(5))],
    'PRIORITY on stream 0': [frame(PRIORITY, 0, 0, Buffer.alloc(5))],
    'PRIORITY of four octets': [open(base), frame(PRIORITY, 0, 1, Buffer.alloc(4))],
    'a stream that depends on itself': [open(base), frame(PRIORITY, 0, 1, Buffer.concat([word(1), Buffer.from([5])]))],
    'SETTINGS on a stream': [frame(SET, 0, 1)],
    'SETTINGS of five octets': [frame(SET, 0, 0, Buffer.alloc(5))],
    'an unknown setting': [frame(SET, 0, 0, setting(0x42, 7))],
    'an acknowledgement with a payload': [frame(SET, Flag.ACK, 0, setting(3, 1))],
    'a second acknowledgement': [frame(SET, Flag.ACK, 0)],
    'ENABLE_PUSH of two': [frame(SET, 0, 0, setting(2, 2))],
    'a window of 2^31': [frame(SET, 0, 0, setting(4, 2 ** 31))],
    'a window of 2^31-1': [frame(SET, 0, 0, setting(4, 2 ** 31 - 1))],
    'frames of 16383 octets': [frame(SET, 0, 0, setting(5, 16_383))],
    'frames of 2^24 octets': [frame(SET, 0, 0, setting(5, 2 ** 24))],
    'frames of 2^24-1 octets': [frame(SET, 0, 0, setting(5, 2 ** 24 - 1))],
    'PING on a stream': [frame(PING, 0, 1, Buffer.alloc(8))],
    'PING of seven octets': [frame(PING, 0, 0, Buffer.alloc(7))],
    'an answer to no PING': [frame(PING, Flag.ACK, 0, Buffer.alloc(8))],
    'GOAWAY on a stream': [frame(GOAWAY, 0, 1, Buffer.alloc(8))],
    'GOAWAY of seven octets': [frame(GOAWAY, 0, 0, Buffer.alloc(7))],
    'GOAWAY and a stream that goes on': [open(base), goaway(ofServer ? 1 : 0), data(1)],
    'GOAWAY that names a stream of the wrong side': [open(base), goaway(ofServer ? 2 : 1)],
    'GOAWAY that names more than before': [open(base), goaway(ofServer ? 1 : 0), goaway(ofServer ? 3 : 2)],
    'WINDOW_UPDATE of three octets': [frame(WINDOW_UPDATE, 0, 0, Buffer.alloc(3))],
    'WINDOW_UPDATE of nothing': [frame(WINDOW_UPDATE, 0, 0, word(0))],
    'WINDOW_UPDATE of nothing on a stream': [open(base), frame(WINDOW_UPDATE, 0, 1, word(0))],
    'WINDOW_UPDATE on an idle stream': [frame(WINDOW_UPDATE, 0, 99, word(1))],
    'a window of the connection above 2^31-1': [frame(WINDOW_UPDATE, 0, 0, word(2 ** 31 - 1))],
    'a window of a stream above 2^31-1': [open(base), frame(WINDOW_UPDATE, 0, 1, word(2 ** 31 - 1))],
    'an unknown frame': [open(base), frame(0x42, 0xff, 1, Buffer.alloc(9)), data(1)],
    'unknown flags': [open(base), frame(DATA, 0xf6 & ~Flag.PADDED, 1, Buffer.alloc(1)), data(1)],
    'the reserved bit of an increment': [frame(WINDOW_UPDATE, 0, 0, word(0x8000_0001))],
    'the reserved bit of a stream id': [frame(HEADERS, Flag.END_HEADERS, 0x8000_0001, half), data(1)],
  };
};

/** What either role hears. */
export const cases: Readonly<Record<Role, Cases>> = {
  server: {
    ...requests,
    ...fields(REQUEST),
    ...messages(REQUEST),
    ...frames(REQUEST),
    'HEADERS on an even stream': [block(Flag.END_HEADERS, REQUEST, 2)],
    'HEADERS on a stream that was skipped': [block(Flag.END_HEADERS, REQUEST, 5), block(Flag.END_HEADERS, REQUEST, 3)],
    'PUSH_PROMISE of a client': [
      frame(FrameType.PUSH_PROMISE, Flag.END_HEADERS, 1, Buffer.concat([word(2), encode(REQUEST)])),
    ],
  },
  client: { ...responses, ...fields(OK), ...messages(OK), ...frames(OK) },
};
