/**
 * Tokens that are bound to a client certificate (RFC 8705 §3, RFC 7800): stolen, they are worth nothing without its key.
 */
import { timingSafeEqual } from 'node:crypto';
import { type Denial, type Denied, deny } from '../kernel/denial.ts';
import { ok, type Result } from '../kernel/result.ts';
import { isJsonObject } from './strict-json.ts';

/** `x5t#S256`: 43 characters of base64url whose last stands for four bits. */
const THUMBPRINT = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

/**
 * The SHA-256 of the certificate that a token's `cnf` names; undefined without `cnf`, unless a binding is required.
 *
 * Whatever else `cnf` says (`jkt`, `jwk`, `kid`, …) asks for a proof that a call here cannot bring. To pass over it would make
 * a bearer token of one that its issuer did not mean to be one, so such a token is refused, also when it names a certificate
 * besides.
 */
export function certificateBinding(cnf: unknown, required: boolean): Result<Buffer | undefined, Denial> {
  if (cnf === undefined) return required ? mismatch('no cnf') : ok(undefined);
  if (!isJsonObject(cnf)) return mismatch('cnf is not an object');
  const thumbprint = cnf['x5t#S256'];
  if (thumbprint === undefined) return mismatch('cnf has no x5t#S256');
  if (Object.keys(cnf).length > 1) return mismatch('cnf has more than x5t#S256');
  if (typeof thumbprint !== 'string' || !THUMBPRINT.test(thumbprint)) return mismatch('x5t#S256 is not a SHA-256');
  return ok(Buffer.from(thumbprint, 'base64url'));
}

/** Whether a token may come over a certificate. `sha256` is that of the certificate's DER, in hex. */
export function isBoundTo(boundTo: Buffer | undefined, sha256: string): boolean {
  return boundTo === undefined || timingSafeEqual(boundTo, Buffer.from(sha256, 'hex'));
}

function mismatch(why: string): Denied {
  return deny({ kind: 'token_binding_mismatch', why });
}
