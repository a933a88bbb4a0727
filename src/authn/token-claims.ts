/**
 * What a token's claims must say (RFC 7519 §4.1, RFC 8725 §3), once its signature has been verified.
 */
import type { IssuerConfig } from '../config/credentials-config.ts';
import { type Denial, type Denied, deny } from '../kernel/denial.ts';
import type { EpochMicros, TenantId } from '../kernel/ids.ts';
import { ok, type Result } from '../kernel/result.ts';
import type { JsonObject } from './strict-json.ts';
import { certificateBinding } from './token-binding.ts';
import { type TokenStrength, tokenStrength } from './token-strength.ts';

/** What is left of a token that passed. */
export interface TokenIdentity {
  readonly issuer: string;
  readonly subject: string;
  /** `exp`, whole seconds. */
  readonly expiresAtSeconds: number;
  /** From then on the token is refused: `exp` and the issuer's clock skew. */
  readonly expiresAt: EpochMicros;
  /** SHA-256 of the only client certificate that may present it; undefined when it is a bearer token. */
  readonly boundTo: Buffer | undefined;
  readonly strength: TokenStrength;
  /** `jti`, where it is a text of no more than 256 characters. */
  readonly id: string | undefined;
  /** What a deny list may name it by: `sid` and `jti`, where they are texts of no more than 256 characters. */
  readonly sessions: readonly string[];
}

const MAX_NAME_LENGTH = 256;
/** NumericDate up to the year 9999; beyond it microseconds stop being exact, and no issuer means it. */
const MAX_NUMERIC_DATE = 253_402_300_799;

/** RFC 9068 §2.2, beyond those that every token must have. */
const ACCESS_TOKEN_CLAIMS = ['iat', 'jti', 'client_id'];

/** Checks the claims of a token of this issuer for this tenant. */
export function checkClaims(
  claims: JsonObject,
  issuer: IssuerConfig,
  tenant: TenantId,
  now: EpochMicros,
): Result<TokenIdentity, Denial> {
  if (claims['iss'] !== issuer.issuer) return invalid('iss differs from the issuer');
  if (issuer.tenantClaim !== undefined && claims[issuer.tenantClaim] !== tenant) {
    return tenantClaimProblem(issuer.tenantClaim, claims, tenant);
  }
  if (!namesAudience(claims['aud'], issuer.audiences)) return invalid('aud names none of the audiences');
  const { sub, exp } = claims;
  if (!isName(sub)) return invalid('sub is not a name');
  if (!isNumericDate(exp)) return invalid('exp is not a time');
  if (issuer.profile === 'at+jwt') {
    const absent = ACCESS_TOKEN_CLAIMS.find((claim) => claims[claim] === undefined);
    if (absent !== undefined) return invalid(`no ${absent}`);
  }
  if (issuer.replay !== undefined && !isName(claims['jti'])) return invalid('jti is not a name');
  const skewMicros = issuer.clockSkewMs * 1000;
  for (const claim of ['nbf', 'iat']) {
    const time = claims[claim];
    if (time === undefined) continue;
    if (!isNumericDate(time)) return invalid(`${claim} is not a time`);
    if (time * 1_000_000 > now + skewMicros) return invalid(`${claim} is in the future`);
  }
  const expiresAtSeconds = Math.floor(exp);
  const expiresAt = Math.floor(exp * 1_000_000) + skewMicros;
  if (now >= expiresAt) return deny({ kind: 'token_expired', expiredAtSeconds: expiresAtSeconds });
  const bound = certificateBinding(claims['cnf'], issuer.requireBound);
  if (!bound.ok) return bound;
  return ok({
    issuer: issuer.issuer,
    subject: sub,
    expiresAtSeconds,
    // The sum of two numbers of microseconds.
    expiresAt: expiresAt as EpochMicros,
    boundTo: bound.value,
    strength: tokenStrength(claims, skewMicros, now),
    id: isName(claims['jti']) ? claims['jti'] : undefined,
    sessions: [claims['sid'], claims['jti']].filter(isName),
  });
}

function tenantClaimProblem(name: string, claims: JsonObject, tenant: TenantId): Denied {
  const said = claims[name];
  if (typeof said !== 'string' || said === '') return invalid(`no claim ${name}`);
  return deny({ kind: 'tenant_mismatch', claimed: tenant, presented: said.slice(0, 64), by: `token claim ${name}` });
}

function namesAudience(aud: unknown, audiences: readonly string[]): boolean {
  const named: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!named.every((audience) => typeof audience === 'string')) return false;
  return named.some((audience) => audiences.includes(audience));
}

/** The subject goes into records and headers: no control characters (C0, DEL, C1), no halves of characters. */
function isName(text: unknown): text is string {
  if (typeof text !== 'string' || text.length === 0 || text.length > MAX_NAME_LENGTH || !text.isWellFormed())
    return false;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x20 || (unit >= 0x7f && unit <= 0x9f)) return false;
  }
  return true;
}

function isNumericDate(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= MAX_NUMERIC_DATE;
}

function invalid(why: string): Denied {
  return deny({ kind: 'token_invalid', why });
}
