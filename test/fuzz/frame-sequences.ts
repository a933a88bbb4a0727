/** Generators of frames: any at all, and those that make sense more often than not. */
import fc from 'fast-check';
import { Flag, FrameType, putFrameHeader } from '../../src/http2/frame.ts';
import { REQUEST } from '../unit/http2/loopback.ts';
import { encode, frame, SETTINGS, word } from '../unit/http2/raw-peer.ts';

/** Any frame, well formed or not. */
export const someFrame = fc
  .record({
    type: fc.nat(11),
    flags: fc.constantFrom(0, 1, 4, 5, 8, 9, 0x20, 0x2c),
    streamId: fc.nat(5),
    payload: fc.uint8Array({ maxLength: 40 }),
    /** Now and then the length lies. */
    lie: fc.oneof({ weight: 20, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(70_000) }),
  })
  .map(({ type, flags, streamId, payload, lie }) => {
    const bytes = frame(type, flags, streamId, payload);
    if (lie > 0) putFrameHeader(bytes, 0, lie, type, flags, streamId);
    return bytes;
  });

/** Frames of a client that make sense more often than not, in an order that may not. */
export const plausible = fc.oneof(
  someFrame,
  fc
    .record({ id: fc.constantFrom(1, 3, 5, 7, 9), end: fc.boolean() })
    .map(({ id, end }) => frame(FrameType.HEADERS, Flag.END_HEADERS | (end ? 1 : 0), id, encode(REQUEST))),
  fc
    .record({ id: fc.constantFrom(1, 3, 5, 7), end: fc.boolean(), bytes: fc.nat(2_000) })
    .map(({ id, end, bytes }) => frame(FrameType.DATA, end ? 1 : 0, id, Buffer.alloc(bytes))),
  fc.constantFrom(1, 3, 5, 7).map((id) => frame(FrameType.RST_STREAM, 0, id, word(8))),
  fc
    .record({ id: fc.constantFrom(0, 1, 3, 5), by: fc.constantFrom(0, 1, 100, 0x7fff_ffff) })
    .map(({ id, by }) => frame(FrameType.WINDOW_UPDATE, 0, id, word(by))),
  fc.constant(SETTINGS),
  fc.constant(frame(FrameType.SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0, 10]))),
  fc.constant(frame(FrameType.SETTINGS, 0, 0, Buffer.from([0, 1, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0]))),
);

const ANSWERS = [
  [':status', '200', 'content-type', 'application/grpc'],
  [':status', '200', 'content-length', '100'],
  [':status', '103', 'link', 'x'],
  [':status', '204'],
  ['grpc-status', '0'],
] as const;

/** Frames of a server whose client has asked on streams 1, 3 and 5, as above. */
export const plausibleAnswer = fc.oneof(
  someFrame,
  fc
    .record({ id: fc.constantFrom(1, 3, 5, 7, 2), end: fc.boolean(), block: fc.constantFrom(...ANSWERS) })
    .map(({ id, end, block }) => frame(FrameType.HEADERS, Flag.END_HEADERS | (end ? 1 : 0), id, encode(block))),
  fc
    .record({ id: fc.constantFrom(1, 3, 5), end: fc.boolean() })
    .map(({ id, end }) => frame(FrameType.HEADERS, Flag.END_HEADERS | (end ? 1 : 0), id, encode(ANSWERS[0]))),
  fc
    .record({ id: fc.constantFrom(1, 3, 5), end: fc.boolean(), bytes: fc.constantFrom(0, 40, 100, 2_000) })
    .map(({ id, end, bytes }) => frame(FrameType.DATA, end ? 1 : 0, id, Buffer.alloc(bytes))),
  fc
    .record({ id: fc.constantFrom(1, 3, 5, 7), code: fc.constantFrom(0, 7, 8) })
    .map(({ id, code }) => frame(FrameType.RST_STREAM, 0, id, word(code))),
  fc
    .record({ id: fc.constantFrom(0, 1, 3, 5), by: fc.constantFrom(0, 1, 100, 0x7fff_ffff) })
    .map(({ id, by }) => frame(FrameType.WINDOW_UPDATE, 0, id, word(by))),
  fc.constant(SETTINGS),
  fc.constant(frame(FrameType.SETTINGS, 0, 0, Buffer.from([0, 3, 0, 0, 0, 10]))),
  fc.constant(frame(FrameType.PING, 0, 0, Buffer.alloc(8))),
  fc
    .record({ last: fc.constantFrom(0, 1, 3, 0x7fff_ffff), code: fc.constantFrom(0, 2) })
    .map(({ last, code }) => frame(FrameType.GOAWAY, 0, 0, Buffer.concat([word(last), word(code)]))),
);
