/**
 * What RFC 9113 §8 has to say about one field, found once when the field is first decoded and kept with it in the dynamic
 * table: a field that a peer merely refers to again is not looked at again.
 */

/** Bits; a block's traits are the union of its fields'. */
export const Trait = {
  REGULAR: 1 << 0,
  METHOD: 1 << 1,
  SCHEME: 1 << 2,
  PATH: 1 << 3,
  AUTHORITY: 1 << 4,
  STATUS: 1 << 5,
  CONTENT_LENGTH: 1 << 6,
  HOST: 1 << 7,
  /** `:method` is CONNECT, which has neither scheme nor path (RFC 9113 §8.5). */
  CONNECT: 1 << 8,
  /** `:method` is HEAD: the response says how long its content would be, and has none. */
  HEAD: 1 << 9,
  /** `:status` is 1xx. */
  INFORMATIONAL: 1 << 10,
  /** `:status` is 204 or 304: never has content. */
  NO_CONTENT: 1 << 11,
  /** The field, or its place in the block, breaks a rule. */
  MALFORMED: 1 << 12,
  /** `:path` is `*`, which only OPTIONS may ask for. */
  ASTERISK: 1 << 13,
  /** `:method` is OPTIONS. */
  OPTIONS: 1 << 14,
} as const;

const PSEUDO = Trait.METHOD | Trait.SCHEME | Trait.PATH | Trait.AUTHORITY | Trait.STATUS;
const UNIQUE = PSEUDO | Trait.CONTENT_LENGTH | Trait.HOST;

/**
 * Adds a field to those before it in its block: pseudo-fields come once each and before all others (RFC 9113 §8.3), and
 * content-length and host come once.
 */
export function joinTraits(before: number, field: number): number {
  const forbidden = (field & UNIQUE) | ((field & PSEUDO) !== 0 ? Trait.REGULAR : 0);
  return (before & forbidden) === 0 ? before | field : before | field | Trait.MALFORMED;
}

/** The traits of one field. */
export function classify(name: string, value: string): number {
  const malformed = isFieldValue(value) ? 0 : Trait.MALFORMED;
  if (name.charCodeAt(0) === COLON) return classifyPseudo(name, value) | malformed;
  return Trait.REGULAR | malformed | classifyRegular(name, value);
}

const COLON = 0x3a;
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+\-.]*$/;
const PATH = /^\/[^ \t]*$/;
/** RFC 3986 §3.2.2 and §3.2.3: no userinfo, which RFC 9113 §8.3.1 forbids, and none of what ends an authority. */
const AUTHORITY = /^[A-Za-z0-9\-._~%!$&'()*+,;=:[\]]+$/;
const SPECIAL_METHODS: ReadonlyMap<string, number> = new Map([
  ['CONNECT', Trait.CONNECT],
  ['HEAD', Trait.HEAD],
  ['OPTIONS', Trait.OPTIONS],
]);
const STATUS = /^[1-5]\d\d$/;
const CONTENT_LENGTH = /^\d{1,15}$/;

function classifyPseudo(name: string, value: string): number {
  switch (name) {
    case ':method':
      if (!METHOD.test(value)) return Trait.METHOD | Trait.MALFORMED;
      return Trait.METHOD | (SPECIAL_METHODS.get(value) ?? 0);
    case ':scheme':
      return Trait.SCHEME | (SCHEME.test(value) ? 0 : Trait.MALFORMED);
    case ':path':
      return Trait.PATH | (value === '*' ? Trait.ASTERISK : PATH.test(value) ? 0 : Trait.MALFORMED);
    case ':authority':
      return Trait.AUTHORITY | (AUTHORITY.test(value) ? 0 : Trait.MALFORMED);
    case ':status':
      return Trait.STATUS | classifyStatus(value);
    default:
      return Trait.MALFORMED;
  }
}

function classifyStatus(value: string): number {
  // 101 does not exist in HTTP/2 (RFC 9113 §8.6).
  if (!STATUS.test(value) || value === '101') return Trait.MALFORMED;
  if (value.startsWith('1')) return Trait.INFORMATIONAL;
  return value === '204' || value === '304' ? Trait.NO_CONTENT : 0;
}

function classifyRegular(name: string, value: string): number {
  switch (name) {
    // Fields of an HTTP/1 connection have no meaning here and are how requests are smuggled (RFC 9113 §8.2.2).
    case 'connection':
    case 'proxy-connection':
    case 'keep-alive':
    case 'transfer-encoding':
    case 'upgrade':
      return Trait.MALFORMED;
    case 'te':
      return value === 'trailers' || value.toLowerCase() === 'trailers' ? 0 : Trait.MALFORMED;
    case 'content-length':
      return Trait.CONTENT_LENGTH | (CONTENT_LENGTH.test(value) ? 0 : Trait.MALFORMED);
    case 'host':
      return Trait.HOST | (value === '' || AUTHORITY.test(value) ? 0 : Trait.MALFORMED);
    default:
      return isFieldName(name) ? 0 : Trait.MALFORMED;
  }
}

/** Lower-case token characters (RFC 9113 §8.2.1, RFC 9110 §5.6.2). */
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

function isFieldName(name: string): boolean {
  return FIELD_NAME.test(name);
}

/** No control character but tab, and no whitespace at either end (RFC 9113 §8.2.1, RFC 9110 §5.5). */
function isFieldValue(value: string): boolean {
  const last = value.length - 1;
  if (last < 0) return true;
  for (let at = 0; at <= last; at++) {
    const char = value.charCodeAt(at);
    if ((char < 0x20 && char !== 0x09) || char === 0x7f) return false;
  }
  return !isBlank(value.charCodeAt(0)) && !isBlank(value.charCodeAt(last));
}

function isBlank(char: number): boolean {
  return char === 0x20 || char === 0x09;
}
