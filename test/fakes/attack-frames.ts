/**
 * Attacks as frames: what a client sends again and again. The tests try each of them in their own process; the bench measures what a
 * neighbour feels of it from processes of their own.
 */
import { ErrorCode } from '../../src/http2/error-code.ts';
import { Flag, FrameType } from '../../src/http2/frame.ts';
import { HpackEncoder } from '../../src/http2/hpack-encoder.ts';
import { dataFrame, frameBytes, headerFrame } from './frame-client.ts';
import { INFER, inferRequest } from './hostile-ground.ts';

/** Headers of a call that the attacker is allowed to make. */
export const CALL: readonly string[] = [
  ...[':method', 'POST', ':scheme', 'https', ':path', INFER, ':authority', 'acme.test'],
  ...['content-type', 'application/grpc', 'te', 'trailers'],
];

/** A whole call: its headers, its message and its end. Reaches the model server. */
export function wholeCall(id: number): Buffer {
  return Buffer.concat([headerFrame(id, CALL, false), dataFrame(id, inferRequest(), true)]);
}

/** The id of the attack's nth stream. */
export function nth(index: number): number {
  return 2 * index + 1;
}

/** Four octets, big-endian. */
export const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

const EMPTY = Buffer.alloc(0);
const ONE = Buffer.of(0, 0, 0, 1);

/** A frame that costs its sender nothing. */
export interface Flood {
  readonly name: string;
  readonly reason: string | RegExp;
  readonly opening?: readonly Buffer[];
  /** Sent a hundred times in each turn. */
  readonly frame: (index: number) => Buffer;
}

export const floods: readonly Flood[] = [
  { name: 'SETTINGS', reason: 'HTTP2_LIMIT_settings', frame: () => frameBytes(FrameType.SETTINGS, 0, 0, EMPTY) },
  {
    name: 'SETTINGS with many entries',
    reason: 'HTTP2_LIMIT_maxSettingsEntries',
    frame: () => frameBytes(FrameType.SETTINGS, 0, 0, Buffer.alloc(6 * 2_000, Buffer.of(0x0f, 0xff, 0, 0, 0, 1))),
  },
  {
    name: 'SETTINGS that change the table size',
    reason: 'HTTP2_LIMIT_settings',
    frame: (index) => frameBytes(FrameType.SETTINGS, 0, 0, Buffer.of(0, 1, 0, 0, index % 16, 0)),
  },
  {
    name: 'PING',
    reason: /^HTTP2_LIMIT_(pings|maxPingStrikes)$/,
    frame: () => frameBytes(FrameType.PING, 0, 0, Buffer.alloc(8)),
  },
  {
    name: 'PING acknowledgements',
    reason: 'HTTP2_LIMIT_pings',
    frame: () => frameBytes(FrameType.PING, Flag.ACK, 0, Buffer.alloc(8)),
  },
  {
    name: 'PRIORITY',
    reason: 'HTTP2_LIMIT_priorities',
    frame: (index) => frameBytes(FrameType.PRIORITY, 0, nth(index), Buffer.alloc(5)),
  },
  {
    name: 'WINDOW_UPDATE of the connection',
    reason: 'HTTP2_LIMIT_windowUpdates',
    frame: () => frameBytes(FrameType.WINDOW_UPDATE, 0, 0, ONE),
  },
  {
    name: 'WINDOW_UPDATE of a stream',
    reason: 'HTTP2_LIMIT_windowUpdates',
    opening: [headerFrame(1, CALL, false)],
    frame: () => frameBytes(FrameType.WINDOW_UPDATE, 0, 1, ONE),
  },
  { name: 'unknown frames', reason: 'HTTP2_LIMIT_unknownFrames', frame: () => frameBytes(0xbe, 0xff, 0, EMPTY) },
  {
    name: 'empty DATA',
    reason: 'HTTP2_LIMIT_emptyData',
    opening: [headerFrame(1, CALL, false)],
    frame: () => dataFrame(1, EMPTY),
  },
  {
    name: 'DATA of nothing but padding',
    reason: 'HTTP2_LIMIT_emptyData',
    opening: [headerFrame(1, CALL, false)],
    frame: () => frameBytes(FrameType.DATA, Flag.PADDED, 1, Buffer.concat([Buffer.of(255), Buffer.alloc(255)])),
  },
  {
    name: 'CONTINUATION without octets',
    reason: 'HTTP2_LIMIT_maxContinuationFrames',
    opening: [frameBytes(FrameType.HEADERS, 0, 1, EMPTY)],
    frame: () => frameBytes(FrameType.CONTINUATION, 0, 1, EMPTY),
  },
  {
    name: 'CONTINUATION at full length',
    reason: 'HTTP2_LIMIT_maxHeaderBlockBytes',
    opening: [frameBytes(FrameType.HEADERS, 0, 1, EMPTY)],
    frame: () => frameBytes(FrameType.CONTINUATION, 0, 1, Buffer.alloc(16_384)),
  },
  {
    name: 'GOAWAY',
    reason: 'HTTP2_LIMIT_goaways',
    opening: [headerFrame(1, CALL, false)],
    frame: () => frameBytes(FrameType.GOAWAY, 0, 0, Buffer.alloc(8)),
  },
  {
    name: 'requests that are malformed',
    reason: 'HTTP2_LIMIT_provokedResets',
    frame: (index) => headerFrame(nth(index), [...CALL, 'connection', 'close'], true),
  },
];

/** Header blocks that grow: what is sent in each turn of an attack. */
export interface Bomb {
  readonly name: string;
  readonly reason: string | RegExp;
  /** A new attack: some keep a state. */
  begin(): (round: number) => readonly Buffer[];
}

export const bombs: readonly Bomb[] = [
  {
    name: 'by naming one field ten thousand times (HPACK bomb)',
    reason: 'HTTP2_LIMIT_maxHeaderListBytes',
    begin: () => (round) => Array.from({ length: 10 }, (_, index) => indexedBomb(10 * round + index)),
  },
  {
    name: 'by sending many large fields',
    reason: /^HTTP2_LIMIT_/,
    begin: () => {
      const encoder = new HpackEncoder(4_096);
      return (round) => largeFields(round, encoder);
    },
  },
];

/**
 * A call whose one small field is named again and again (CVE-2026-49975, the HTTP/2 bomb): a byte each time on the wire, and for each a
 * record in whoever keeps one. A cookie, which may come in crumbs.
 */
export function crumbs(index: number, count: number): Buffer {
  const call = Buffer.concat(
    CALL.map((text, at) => Buffer.concat([at % 2 === 0 ? Buffer.of(0) : EMPTY, literal(text)])),
  );
  // The stream before has left it in the table.
  const first =
    index === 0 ? Buffer.concat([Buffer.of(0x40), literal('cookie'), literal('a=b')]) : Buffer.of(0x80 | 62);
  const block = Buffer.concat([call, first, Buffer.alloc(count - 1, 0x80 | 62)]);
  return Buffer.concat([
    frameBytes(FrameType.HEADERS, Flag.END_HEADERS, nth(index), block),
    dataFrame(nth(index), inferRequest(), true),
  ]);
}

/** A header block out of a state that the attacker keeps, unlike `headerFrame`. */
function largeFields(index: number, encoder: HpackEncoder): Buffer[] {
  // 4,000 octets once, and then one octet each time that they are named: 128 fields make 512 KB of a block of 140 bytes.
  const field = ['x-bomb', 'b'.repeat(3_900)];
  const block = [...CALL, ...Array.from({ length: 110 }, () => field).flat()];
  const into = Buffer.alloc(encoder.bound(block));
  const payload = into.subarray(0, encoder.encode(block, into, 0));
  const frames: Buffer[] = [];
  for (let from = 0; from < payload.length; from += 16_000) {
    const last = from + 16_000 >= payload.length;
    const type = from === 0 ? FrameType.HEADERS : FrameType.CONTINUATION;
    const flags = (last ? Flag.END_HEADERS : 0) | (from === 0 ? Flag.END_STREAM : 0);
    frames.push(frameBytes(type, flags, nth(index), payload.subarray(from, from + 16_000)));
  }
  return frames;
}

/** Names the same field of the dynamic table again and again (RFC 7541 §6.1), which no encoder would index at that length. */
function indexedBomb(index: number): Buffer {
  const call = Buffer.concat(
    CALL.map((text, at) => Buffer.concat([at % 2 === 0 ? Buffer.of(0) : EMPTY, literal(text)])),
  );
  const large = Buffer.concat([Buffer.of(0x40), literal('x'), literal('b'.repeat(3_900))]);
  const fields = Buffer.concat([call, large, Buffer.alloc(10_000, 0x80 | 62)]);
  return frameBytes(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, nth(index), fields);
}

function literal(text: string): Buffer {
  const length =
    text.length < 127 ? Buffer.of(text.length) : Buffer.concat([Buffer.of(127), varint(text.length - 127)]);
  return Buffer.concat([length, Buffer.from(text)]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.of(...bytes, rest);
}

/** A call whose message is whole, so that it is dispatched, and whose end is not there yet. */
const openCall = (id: number): Buffer =>
  Buffer.concat([headerFrame(id, CALL, false), dataFrame(id, inferRequest(), false)]);
const dependsOn = (id: number): Buffer => Buffer.concat([word(id), Buffer.of(15)]);

const youngResets = /^HTTP2_LIMIT_youngResets$/;
const provokedResets = /^HTTP2_LIMIT_provokedResets$/;

/** A call that reaches the model server, and what ends it. */
export const throwaways: readonly (readonly [name: string, reason: RegExp, call: (id: number) => Buffer])[] = [
  [
    'rapid reset',
    youngResets,
    (id) => Buffer.concat([wholeCall(id), frameBytes(FrameType.RST_STREAM, 0, id, word(ErrorCode.CANCEL))]),
  ],
  [
    'MadeYouReset: a WINDOW_UPDATE of nothing',
    provokedResets,
    (id) => Buffer.concat([wholeCall(id), frameBytes(FrameType.WINDOW_UPDATE, 0, id, word(0))]),
  ],
  [
    'MadeYouReset: a window above 2^31-1',
    provokedResets,
    (id) => Buffer.concat([wholeCall(id), frameBytes(FrameType.WINDOW_UPDATE, 0, id, word(0x7fffffff))]),
  ],
  [
    'MadeYouReset: a PRIORITY frame of the wrong length',
    provokedResets,
    (id) => Buffer.concat([wholeCall(id), frameBytes(FrameType.PRIORITY, 0, id, Buffer.alloc(4))]),
  ],
  [
    'MadeYouReset: a stream that depends on itself',
    provokedResets,
    (id) => Buffer.concat([wholeCall(id), frameBytes(FrameType.PRIORITY, 0, id, dependsOn(id))]),
  ],
  [
    'MadeYouReset: HEADERS after END_STREAM',
    provokedResets,
    (id) => Buffer.concat([wholeCall(id), headerFrame(id, ['late', 'trailer'], true)]),
  ],
  [
    'MadeYouReset: DATA after END_STREAM',
    provokedResets,
    (id) => Buffer.concat([wholeCall(id), dataFrame(id, Buffer.from('late'), true)]),
  ],
  [
    'content-length that is less than DATA',
    provokedResets,
    (id) =>
      Buffer.concat([
        headerFrame(id, [...CALL, 'content-length', String(inferRequest().length)], false),
        dataFrame(id, inferRequest()),
        dataFrame(id, Buffer.from('more'), true),
      ]),
  ],
  [
    'content-length that is more than DATA',
    provokedResets,
    (id) =>
      Buffer.concat([
        headerFrame(id, [...CALL, 'content-length', '1000'], false),
        dataFrame(id, inferRequest()),
        dataFrame(id, Buffer.from('end'), true),
      ]),
  ],
  [
    'trailers with a pseudo-header',
    provokedResets,
    (id) => Buffer.concat([openCall(id), headerFrame(id, [':path', '/'], true)]),
  ],
];
