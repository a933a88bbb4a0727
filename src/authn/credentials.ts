/**
 * What a call presents besides its certificate, as its headers say it: nothing here is verified.
 */
import { type Denial, type Denied, deny } from '../kernel/denial.ts';
import { ok, type Result } from '../kernel/result.ts';
import { AUTHN_LIMITS } from './limits.ts';

export interface Presented {
  /**
   * The `authorization` header as sent, known to begin with `Bearer `. A peer that indexes the header sends the same string
   * object each time, which makes it the cheapest key of a cache; `bearerToken` cuts it only when the cache has missed.
   */
  readonly authorization: string | undefined;
  readonly apiKey: PresentedKey | undefined;
}

export interface PresentedKey {
  readonly id: string;
  readonly secret: string;
}

const BEARER = 'Bearer ';
const API_KEY = /^bk_([A-Za-z0-9-]{1,64})_([A-Za-z0-9_-]{1,256})$/;
const NOTHING: Result<Presented, Denial> = ok({ authorization: undefined, apiKey: undefined });

/**
 * Parses `authorization` (Bearer only, RFC 6750 §2.1) and `x-api-key`. A header that was sent twice comes joined by a comma,
 * which neither grammar has.
 */
export function parseCredentials(
  authorization: string | undefined,
  apiKey: string | undefined,
): Result<Presented, Denial> {
  if (authorization === undefined && apiKey === undefined) return NOTHING;
  if (authorization !== undefined) {
    // The scheme has no case (RFC 9110 §11.1); the token's own grammar is checked where it is verified.
    if (authorization.slice(0, BEARER.length).toLowerCase() !== 'bearer ') return invalid('not a bearer token');
    if (authorization.length > BEARER.length + AUTHN_LIMITS.maxTokenBytes) return invalid('longer than the limit');
  }
  if (apiKey === undefined) return ok({ authorization, apiKey: undefined });
  const match = API_KEY.exec(apiKey);
  if (match?.[1] === undefined || match[2] === undefined) return deny({ kind: 'api_key_invalid', why: 'malformed' });
  return ok({ authorization, apiKey: { id: match[1], secret: match[2] } });
}

/** The token of an `authorization` that `parseCredentials` let pass. */
export function bearerToken(authorization: string): string {
  return authorization.slice(BEARER.length);
}

function invalid(why: string): Denied {
  return deny({ kind: 'token_invalid', why });
}
