/**
 * What a token says beyond whose it is: how far it reaches (scopes), and how and when its subject signed in.
 *
 * Nothing here is needed for a token to be valid. A claim of another shape proves nothing, which is enough: what asks for it
 * is refused.
 */
import type { EpochMicros } from '../kernel/ids.ts';
import type { JsonObject } from './strict-json.ts';

export interface TokenStrength {
  /** Scopes with one space between them (RFC 6749 §3.3); empty: none. As text, so that a token costs no more than its length. */
  readonly scope: string;
  /** Authentication context class that the sign-in met (RFC 9470 §6). */
  readonly acr: string | undefined;
  /** Methods of the sign-in (RFC 8176). */
  readonly amr: readonly string[];
  /** When the subject signed in, which refreshing a token does not change. */
  readonly authTimeSeconds: number | undefined;
}

/** RFC 6749 §3.3: `scope-token`s with one space between them. */
const SCOPES = /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/;
const MAX_ACR_LENGTH = 256;
const MAX_METHODS = 16;
const MAX_METHOD_LENGTH = 32;

/** Reads the strength of a token whose signature and times were verified. `skewMicros` is how far its issuer's clock may be off. */
export function tokenStrength(claims: JsonObject, skewMicros: number, now: EpochMicros): TokenStrength {
  const { acr, amr, auth_time: authTime } = claims;
  return {
    scope: scopeOf(claims),
    acr: typeof acr === 'string' && acr.length <= MAX_ACR_LENGTH ? acr : undefined,
    amr: isMethods(amr) ? amr : [],
    // A sign-in in the future would stay fresh until then.
    authTimeSeconds:
      typeof authTime === 'number' && authTime >= 0 && authTime * 1_000_000 <= now + skewMicros ? authTime : undefined,
  };
}

/** `scope` (RFC 8693 §4.2), and `scp` only where there is none: issuers write it as text or as a list. */
function scopeOf({ scope, scp }: JsonObject): string {
  const said = scope === undefined ? scp : scope;
  const isList = Array.isArray(said) && said.every((each) => typeof each === 'string' && !each.includes(' '));
  const text = isList ? said.join(' ') : said;
  return typeof text === 'string' && SCOPES.test(text) ? text : '';
}

function isMethods(amr: unknown): amr is readonly string[] {
  return (
    Array.isArray(amr) &&
    amr.length <= MAX_METHODS &&
    amr.every((method) => typeof method === 'string' && method.length <= MAX_METHOD_LENGTH)
  );
}
