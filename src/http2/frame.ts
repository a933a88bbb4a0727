/** The frame layer's numbers and its pure reading and writing (RFC 9113 §4, §6). */

export const FrameType = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
} as const;

export const Flag = {
  END_STREAM: 0x1,
  ACK: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

export const FRAME_HEADER_BYTES = 9;
/** What every peer takes until it says more (RFC 9113 §6.5.2). It is also what we take, always. */
export const DEFAULT_MAX_FRAME_BYTES = 16_384;
export const LARGEST_MAX_FRAME_BYTES = 16_777_215;
/** Every flow-control window before SETTINGS and WINDOW_UPDATE say otherwise (RFC 9113 §6.9.2). */
export const DEFAULT_WINDOW_BYTES = 65_535;
/** The largest window, the largest stream id and the largest last-stream-id. */
export const MAX_31_BITS = 0x7fff_ffff;

/** What a client says first (RFC 9113 §3.4). */
export const PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/** The octet at `at`, which the caller knows to be there. */
export function uint8(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

export function uint16(bytes: Uint8Array, at: number): number {
  return (uint8(bytes, at) << 8) | uint8(bytes, at + 1);
}

export function uint24(bytes: Uint8Array, at: number): number {
  return (uint8(bytes, at) << 16) | (uint8(bytes, at + 1) << 8) | uint8(bytes, at + 2);
}

/** Four octets without the reserved bit: a stream id, a window increment. */
export function uint31(bytes: Uint8Array, at: number): number {
  return ((uint8(bytes, at) & 0x7f) << 24) | uint24(bytes, at + 1);
}

export function uint32(bytes: Uint8Array, at: number): number {
  return uint8(bytes, at) * 0x100_0000 + uint24(bytes, at + 1);
}

/** Writes four octets and returns the offset behind them. */
export function putUint32(into: Uint8Array, at: number, value: number): number {
  into[at] = value >>> 24;
  into[at + 1] = value >>> 16;
  into[at + 2] = value >>> 8;
  into[at + 3] = value;
  return at + 4;
}

/** Writes a frame's header and returns the offset of its payload. */
export function putFrameHeader(
  into: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  into[at] = length >>> 16;
  into[at + 1] = length >>> 8;
  into[at + 2] = length;
  into[at + 3] = type;
  into[at + 4] = flags;
  return putUint32(into, at + 5, streamId);
}

/** Writes a frame that consists of one 32-bit number: RST_STREAM, WINDOW_UPDATE. */
export function putWordFrame(into: Uint8Array, at: number, type: number, streamId: number, word: number): number {
  return putUint32(into, putFrameHeader(into, at, 4, type, 0, streamId), word);
}

/** Writes a GOAWAY without debug data: reasons stay with us. */
export function putGoaway(into: Uint8Array, at: number, lastStreamId: number, code: number, debug: Uint8Array): number {
  const payload = putFrameHeader(into, at, 8 + debug.length, FrameType.GOAWAY, 0, 0);
  const end = putUint32(into, putUint32(into, payload, lastStreamId), code);
  into.set(debug, end);
  return end + debug.length;
}

/** Writes a PING with `payload[from, from + 8)`. */
export function putPing(into: Uint8Array, at: number, flags: number, payload: Uint8Array, from: number): number {
  const start = putFrameHeader(into, at, 8, FrameType.PING, flags, 0);
  for (let index = 0; index < 8; index++) into[start + index] = uint8(payload, from + index);
  return start + 8;
}
