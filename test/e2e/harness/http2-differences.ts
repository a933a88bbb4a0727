/**
 * Where other HTTP/2 state machines judge otherwise than the engine, and who is right: by the name of a hand-written case, or by what
 * must be in a generated sequence for the difference to show.
 */
import { Flag, FrameType, uint31 } from '../../../src/http2/frame.ts';
import type { FrameSeen, JudgeName, Role } from './http2-judge.ts';

/** Why hand-written cases differ. */
export interface CaseDifference {
  readonly judge: JudgeName;
  readonly why: string;
  readonly server?: readonly string[];
  readonly client?: readonly string[];
}

/** Why generated sequences differ. */
export interface SequenceDifference {
  readonly judge: JudgeName;
  readonly why: string;
  /** It can show in these frames, which follow SETTINGS and their acknowledgement. */
  readonly shows: (frames: readonly FrameSeen[], role: Role) => boolean;
}

/** What python3-h2 lets through of what any block may have wrong. */
const UNCHECKED_BY_PYTHON = [
  'a name with a space',
  'a name with a colon',
  'a name above ASCII',
  'a name with NUL',
  'a value with NUL',
  'a value with CR',
  'a value with LF',
  'a value with a control character',
  'a value with DEL',
  'a negative content-length',
  'a content-length with a plus',
  'a content-length without end',
  'the same content-length twice',
  'two content-lengths',
  'a content-length and no DATA',
  'trailers before content-length is reached',
];

export const caseDifferences: readonly CaseDifference[] = [
  {
    judge: 'nghttp2',
    why: 'RFC 9113 §8.3.1 asks for :authority only of who turns a Host into one; nghttp2 wants it, or a host',
    server: ['no :authority'],
  },
  {
    judge: 'nghttp2',
    why: 'RFC 9113 §8.3.1 forbids userinfo, and lets a server refuse two authorities in one request; nghttp2 does not look',
    server: ['an :authority with userinfo', 'a host that differs'],
  },
  {
    judge: 'nghttp2',
    why: 'an id that was skipped is closed, and HEADERS on it a connection error (RFC 9113 §5.1.1); nghttp2 ignores them',
    server: ['HEADERS on a stream that was skipped'],
  },
  {
    judge: 'nghttp2',
    why: 'what a peer still says on a stream that it ended or reset is STREAM_CLOSED (RFC 9113 §5.1); nghttp2 ignores it',
    client: ['DATA after the end', 'HEADERS after the end', 'DATA after RST_STREAM', 'HEADERS after RST_STREAM'],
  },
  {
    judge: 'nghttp2',
    why: 'a status is 100 to 599 (RFC 9110 §15); nghttp2 takes any three digits',
    client: ['a :status of 99', 'a :status of 600'],
  },
  {
    judge: 'nghttp2',
    why: 'RFC 9113 §8.1.1 allows a content-length where there never is content; nghttp2 holds servers to RFC 9110 §8.6',
    client: ['100 with a content-length', '204 with a content-length'],
  },
  {
    judge: 'nghttp2',
    why: 'no stream depends on itself (RFC 7540 §5.3.1, h2spec); nghttp2 ignores priorities in a client',
    client: ['HEADERS that depend on themselves'],
  },
  {
    judge: 'nghttp2',
    why: 'GOAWAY may only narrow what it said (RFC 9113 §6.8), and the least counts; nghttp2 takes anything else for an error',
    server: ['GOAWAY that names a stream of the wrong side', 'GOAWAY that names more than before'],
    client: ['GOAWAY that names a stream of the wrong side', 'GOAWAY that names more than before'],
  },
  {
    judge: 'nghttp2',
    why: 'these are errors of a stream (RFC 9113 §5.1, §6.3, §6.9, §8.1.1), and end that alone; nghttp2 ends the connection',
    server: [
      'DATA after the end',
      'HEADERS after the end',
      'DATA after RST_STREAM',
      'PRIORITY of four octets',
      'HEADERS that depend on themselves',
      'a stream that depends on itself',
      'WINDOW_UPDATE of nothing on a stream',
    ],
    client: [
      'DATA before a response',
      'PRIORITY of four octets',
      'a stream that depends on itself',
      'WINDOW_UPDATE of nothing on a stream',
    ],
  },
  {
    judge: 'python3-h2',
    why: 'RFC 9113 §8.3.1 asks for :authority only of who turns a Host into one; python3-h2 wants it, or a host',
    server: ['no :authority'],
  },
  {
    judge: 'python3-h2',
    why: 'names, values and content-length have a grammar (RFC 9113 §8.1.1, §8.2.1); python3-h2 4.1 looks at capitals and blanks only',
    server: UNCHECKED_BY_PYTHON,
    client: [...UNCHECKED_BY_PYTHON, '204 with DATA', '304 with DATA'],
  },
  {
    judge: 'python3-h2',
    why: 'pseudo-fields have a grammar (RFC 9113 §8.3); python3-h2 only asks whether :path is empty',
    server: [
      'POST *',
      'a relative :path',
      'a :path with a space',
      'a :method with a space',
      'an empty :method',
      'a :scheme that is none',
      'an empty :scheme',
      'an empty :authority',
      'an :authority with userinfo',
      'an :authority with a space',
      'an :authority with a slash',
      'a host that comes twice',
    ],
    client: [
      '101',
      'a :status of two digits',
      'a :status of four digits',
      'a :status of letters',
      'an empty :status',
      'a :status of 99',
      'a :status of 600',
    ],
  },
  {
    judge: 'python3-h2',
    why: 'CONNECT has neither :scheme nor :path (RFC 9113 §8.5); python3-h2 wants both, and knows RFC 8441, which we do not offer',
    server: ['CONNECT', 'extended CONNECT'],
  },
  {
    judge: 'python3-h2',
    why: 'SETTINGS were sent once, and a second acknowledgement is of nothing; python3-h2 ignores it',
    server: ['a second acknowledgement'],
    client: ['a second acknowledgement'],
  },
  {
    judge: 'python3-h2',
    why: 'who has said GOAWAY may go on with what runs (RFC 9113 §6.8); python3-h2 ends at the next frame',
    server: ['GOAWAY and a stream that goes on'],
    client: ['GOAWAY and a stream that goes on'],
  },
  {
    judge: 'python3-h2',
    why: 'a server must not say ENABLE_PUSH 1 (RFC 9113 §6.5.2); python3-h2 lets it pass',
    client: ['ENABLE_PUSH of a server'],
  },
  {
    judge: 'python3-h2',
    why: 'RST_STREAM on an idle stream is a connection error (RFC 9113 §6.4); python3-h2 lets it pass in a client',
    client: ['RST_STREAM on an idle stream'],
  },
];

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

/** Its sender has ended or reset it. */
function isOver(id: number, before: readonly FrameSeen[]): boolean {
  const ends = ({ type, flags }: FrameSeen): boolean =>
    type === RST_STREAM || ((type === HEADERS || type === DATA) && (flags & Flag.END_STREAM) !== 0);
  return before.some((frame) => frame.id === id && ends(frame));
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
