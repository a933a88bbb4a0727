/**
 * Where other HTTP/2 state machines judge a generated sequence of frames otherwise than the engine, and who is right: by what must be in
 * it for the difference to show. Clauses are RFC 9113's.
 */
import { Flag, FrameType, uint31 } from '../../../src/http2/frame.ts';
import type { FrameSeen, JudgeName, Role } from './http2-judge.ts';

/** Why generated sequences differ. */
export interface SequenceDifference {
  readonly judge: JudgeName;
  readonly why: string;
  /** It can show in these frames, which follow SETTINGS and their acknowledgement. */
  readonly shows: (frames: readonly FrameSeen[], role: Role) => boolean;
}

const ALTSVC = 0xa;
/** `:status 204` as an indexed field. */
const STATUS_204 = 0x89;
const { DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY, WINDOW_UPDATE, PUSH_PROMISE } = FrameType;

/** HEADERS opened it, or a client asked on it. */
function isOpened(id: number, before: readonly FrameSeen[], role: Role): boolean {
  if (role === 'client') return [1, 3, 5].includes(id);
  return before.some((frame) => frame.type === HEADERS && frame.id === id);
}

function isSkipped(id: number, before: readonly FrameSeen[], role: Role): boolean {
  const opened = before.filter(({ type }) => type === HEADERS).map((frame) => frame.id);
  return role === 'server' && id > 0 && !opened.includes(id) && opened.some((other) => other > id);
}

/** Its sender has ended or reset it, or has said that it would not look at it. */
function isOver(id: number, before: readonly FrameSeen[]): boolean {
  const ends = ({ type, flags }: FrameSeen): boolean =>
    type === RST_STREAM || ((type === HEADERS || type === DATA) && (flags & Flag.END_STREAM) !== 0);
  const disowns = ({ type, payload }: FrameSeen): boolean =>
    type === GOAWAY && payload.length >= 8 && uint31(payload, 0) < id;
  return before.some((frame) => (frame.id === id && ends(frame)) || disowns(frame));
}

const any =
  (shows: (frame: FrameSeen, before: readonly FrameSeen[], role: Role) => boolean): SequenceDifference['shows'] =>
  (frames, role) =>
    frames.some((frame, at) => shows(frame, frames.slice(0, at), role));

export const sequenceDifferences: readonly SequenceDifference[] = [
  {
    judge: 'nghttp2',
    why: 'what comes on a stream that was skipped, ended or reset by its sender is an error (§5.1, §5.1.1); nghttp2 ignores it',
    shows: any(
      ({ type, id }, before, role) =>
        (type === HEADERS || type === DATA) && (isSkipped(id, before, role) || isOver(id, before)),
    ),
  },
  {
    judge: 'nghttp2',
    why: 'DATA before the response is malformed (§8.1), empty or not; nghttp2 looks at its octets only',
    shows: any(({ type, payload }, _, role) => role === 'client' && type === DATA && payload.length === 0),
  },
  {
    judge: 'nghttp2',
    why: 'a frame and a header block are judged when they are whole; nghttp2 judges a frame by its header, a block field by field',
    shows: (frames) =>
      frames.some(({ whole }) => !whole) ||
      frames.some(({ type, flags }) => type === HEADERS && (flags & Flag.END_HEADERS) === 0),
  },
  {
    judge: 'nghttp2',
    why: 'GOAWAY may only narrow what it said (§6.8), and the least counts; nghttp2 takes anything else for an error',
    shows: any(
      ({ type, payload }, before, role) =>
        type === GOAWAY &&
        payload.length >= 8 &&
        (uint31(payload, 0) % 2 === (role === 'server' ? 1 : 0) ||
          before.some(
            (one) => one.type === GOAWAY && one.payload.length >= 8 && uint31(one.payload, 0) < uint31(payload, 0),
          )),
    ),
  },
  {
    judge: 'python3-h2',
    why: 'RST_STREAM on an idle stream is a connection error (§6.4); python3-h2 lets it pass',
    shows: any(({ type, id }, before, role) => type === RST_STREAM && !isOpened(id, before, role)),
  },
  {
    judge: 'python3-h2',
    why: 'a stream that was skipped is closed, not idle (§5.1.1), and WINDOW_UPDATE on it is late; python3-h2 takes it for an error',
    shows: any(({ type, id }, before, role) => type === WINDOW_UPDATE && isSkipped(id, before, role)),
  },
  {
    judge: 'python3-h2',
    why: 'a WINDOW_UPDATE of nothing on a stream that is over has no stream to end (§5.1); python3-h2 ends the connection',
    shows: any(
      ({ type, id, payload }, before) =>
        type === WINDOW_UPDATE && isOver(id, before) && payload.every((octet) => octet === 0),
    ),
  },
  {
    judge: 'python3-h2',
    why: 'a 204 has no content (RFC 9110 §6.4.1), and DATA after it is more than it has; python3-h2 takes any',
    shows: any(
      ({ type, id }, before) =>
        type === DATA &&
        before.some((one) => one.type === HEADERS && one.id === id && one.payload.includes(STATUS_204)),
    ),
  },
  {
    judge: 'python3-h2',
    why: 'the reserved bit of an increment is ignored (§6.9); python3-h2 takes it for a part of it',
    shows: any(({ type, payload }) => type === WINDOW_UPDATE && payload.length === 4 && (payload[0] ?? 0) >= 0x80),
  },
  {
    judge: 'python3-h2',
    why: 'padding may be all that is in HEADERS (§6.2), and CONTINUATION has the block; python3-h2 takes it for too much',
    shows: any(
      ({ type, flags, payload }) =>
        type === HEADERS && (flags & Flag.PADDED) !== 0 && (payload[0] ?? 0) === payload.length - 1,
    ),
  },
  {
    judge: 'python3-h2',
    why: 'ALTSVC is unknown to us, and skipped (§5.5); python3-h2 knows it and judges its payload',
    shows: any(({ type }) => type === ALTSVC),
  },
  {
    judge: 'python3-h2',
    why: 'who has said GOAWAY may go on with what runs (§6.8); python3-h2 ends at the next frame',
    shows: any(({ type }, before) => before.some((one) => one.type === GOAWAY) && type !== undefined),
  },
  {
    judge: 'python3-h2',
    why: 'we have sent SETTINGS once, and a second acknowledgement is of nothing; python3-h2 ignores it',
    shows: any(({ type, flags }, before) => type === SETTINGS && (flags & Flag.ACK) !== 0 && before.length > 1),
  },
  {
    judge: 'python3-h2',
    why: 'PUSH_PROMISE is an error at once (§8.4); python3-h2 gathers its block first',
    shows: any(({ type }) => type === PUSH_PROMISE),
  },
  {
    judge: 'python3-h2',
    why: 'a content-length without DATA is malformed (§8.1.1); python3-h2 holds it against DATA only',
    shows: any(({ type, flags }, _, role) => role === 'client' && type === HEADERS && (flags & Flag.END_STREAM) !== 0),
  },
  {
    judge: 'python3-h2',
    why: 'a frame is judged by its length at once, and by the rest when it is whole; python3-h2 does the reverse',
    shows: any(({ whole }) => !whole),
  },
];
