/**
 * The outside of a JWT, checked before any key is looked up: RFC 7515 §7.1 with nothing that RFC 8725 warns of.
 *
 * jose would accept more: any base64 alphabet, padding, members that stand twice, extensions. A token has one spelling here.
 */
import { type Denial, type Denied, deny } from '../kernel/denial.ts';
import { ok, type Result } from '../kernel/result.ts';
import { type JsonObject, parseStrictJsonObject } from './strict-json.ts';

/** A token that has the right shape. Nothing in it is verified. */
export interface UnverifiedJws {
  readonly token: string;
  readonly algorithm: string;
  readonly keyId: string | undefined;
  /** It says that it is an access token by RFC 9068, and not just a JWT. */
  readonly saysAccessToken: boolean;
  readonly payload: Buffer;
}

/** Parses a compact JWS; its payload is not looked into. */
export function parseCompactJws(token: string, maxBytes: number): Result<UnverifiedJws, Denial> {
  if (token.length > maxBytes) return invalid('longer than the limit');
  const parts = token.split('.', 4);
  const [encodedHeader, encodedPayload, signature] = parts;
  if (parts.length !== 3 || encodedHeader === undefined || encodedPayload === undefined || signature === undefined) {
    return invalid('not three parts');
  }
  const headerBytes = decodeCanonical(encodedHeader);
  const payload = decodeCanonical(encodedPayload);
  if (headerBytes === undefined || payload === undefined || decodeCanonical(signature) === undefined) {
    return invalid('not canonical base64url');
  }
  const header = parseStrictJsonObject(headerBytes);
  if (!header.ok) return invalid(`header: ${header.error}`);
  const problem = headerProblem(header.value);
  if (problem !== undefined) return invalid(`header: ${problem}`);
  const { alg, kid, typ } = header.value;
  return ok({
    token,
    algorithm: String(alg),
    keyId: typeof kid === 'string' ? kid : undefined,
    saysAccessToken: typeof typ === 'string' && /^(application\/)?at\+jwt$/i.test(typ),
    payload,
  });
}

/** The claims of a JWS that is a JWT. */
export function parseClaims(jws: UnverifiedJws): Result<JsonObject, Denial> {
  const claims = parseStrictJsonObject(jws.payload);
  return claims.ok ? claims : invalid(`claims: ${claims.error}`);
}

const BASE64URL = /^[A-Za-z0-9_-]+$/;

/** Decodes unpadded base64url whose unused bits are zero; undefined for every other spelling, and for nothing. */
function decodeCanonical(text: string): Buffer | undefined {
  if (!BASE64URL.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}

/**
 * Members that would let the token say how it is to be verified (RFC 8725 §3.10), extensions that must be understood
 * (RFC 7515 §4.1.11), unencoded payloads (RFC 7797), and a token inside the token.
 */
const FORBIDDEN = ['crit', 'jku', 'jwk', 'x5u', 'b64', 'cty', 'zip'];

/** RFC 9068 §4 and RFC 7519 §5.1; RFC 8725 §3.11: a token that says it is something else is something else. */
const ACCESS_TOKEN_TYPES: ReadonlySet<string> = new Set(['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt']);

const MAX_KEY_ID_LENGTH = 256;

function headerProblem(header: JsonObject): string | undefined {
  const forbidden = FORBIDDEN.find((member) => Object.hasOwn(header, member));
  if (forbidden !== undefined) return `has ${forbidden}`;
  const { alg, kid, typ } = header;
  if (typeof alg !== 'string') return 'no alg';
  if (kid !== undefined && (typeof kid !== 'string' || kid.length > MAX_KEY_ID_LENGTH)) return 'bad kid';
  if (typ !== undefined && (typeof typ !== 'string' || !ACCESS_TOKEN_TYPES.has(typ.toLowerCase()))) {
    return 'typ is not that of an access token';
  }
  return undefined;
}

function invalid(why: string): Denied {
  return deny({ kind: 'token_invalid', why });
}
