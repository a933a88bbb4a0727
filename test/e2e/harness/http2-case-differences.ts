/**
 * Where other HTTP/2 state machines judge a hand-written case otherwise than the engine, and who is right.
 */
import type { JudgeName } from './http2-judge.ts';

/** Why hand-written cases differ. */
export interface CaseDifference {
  readonly judge: JudgeName;
  readonly why: string;
  readonly server?: readonly string[];
  readonly client?: readonly string[];
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
    why: 'the reserved bit of an increment is ignored (RFC 9113 §6.9); python3-h2 takes it for a part of it',
    server: ['the reserved bit of an increment'],
    client: ['the reserved bit of an increment'],
  },
  {
    judge: 'python3-h2',
    why: 'padding may be all that is in HEADERS (RFC 9113 §6.2), and CONTINUATION has the block; python3-h2 takes it for too much',
    server: ['HEADERS of padding only, and CONTINUATION'],
    client: ['HEADERS of padding only, and CONTINUATION'],
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
