/**
 * Whether a bearer token is one that we can read (a JWT) or one that only its issuer can (RFC 6750 §2.1).
 *
 * What looks like a JWT in the slightest is one: it names its issuer, and must not be shown to another.
 */
export type TokenShape = 'jwt' | 'opaque' | 'neither';

/** RFC 6750 §2.1, `b64token`. */
const BEARER_TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/** Tells the shape of a token as it was sent. */
export function tokenShape(token: string): TokenShape {
  const dot = token.indexOf('.');
  // JSON may begin with blanks, and base64 has several spellings, all of which this decodes.
  if (dot > 0 && /^\s*\{/.test(Buffer.from(token.slice(0, dot), 'base64').toString('latin1'))) return 'jwt';
  return BEARER_TOKEN.test(token) ? 'opaque' : 'neither';
}
