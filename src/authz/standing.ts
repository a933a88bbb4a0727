/**
 * Whether a caller's credentials are strong enough for a role that it has: their scopes, and how and when a token's subject
 * signed in. Pure: a standing is good until the time that it says.
 */
import type { Caller } from '../authn/authenticator.ts';
import type { StepUpConfig } from '../config/policy-config.ts';
import type { Denial } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import type { Grant, HeldGrant } from './role-table.ts';

/** A grant as it stands now. */
export interface Standing {
  readonly grant: Grant;
  /** What its holder is told it lacks; undefined: nothing, the role may be used. */
  readonly lacks: Denial | undefined;
  /** From then on it must be judged again: a sign-in has become too old. */
  readonly until: number;
}

type Credentials = Pick<Caller, 'strength' | 'keyScopes'>;

/** Judges a caller's grant. The sign-in goes first: without it, a token with more scopes would be refused again. */
export function standing(held: HeldGrant, caller: Credentials, now: EpochMicros): Standing {
  const { grant } = held;
  const { stepUp, scopes } = grant.role;
  let until = Number.POSITIVE_INFINITY;
  if (stepUp !== undefined) {
    until = strongUntil(stepUp, caller);
    if (now >= until) return { grant, lacks: challenge(stepUp), until: Number.POSITIVE_INFINITY };
  }
  if (scopes.length > 0 && !reaches(scopes, held, caller)) {
    return { grant, lacks: { kind: 'insufficient_scope', requiredScopes: scopes }, until: Number.POSITIVE_INFINITY };
  }
  return { grant, lacks: undefined, until };
}

/** How long a sign-in is what is asked for; -Infinity: it is not. A certificate or a key alone shows none. */
function strongUntil(stepUp: StepUpConfig, { strength }: Credentials): number {
  const { acrValues, amr, maxAgeMs } = stepUp;
  if (strength === undefined) return Number.NEGATIVE_INFINITY;
  if (acrValues.length > 0 && (strength.acr === undefined || !acrValues.includes(strength.acr))) {
    return Number.NEGATIVE_INFINITY;
  }
  if (!amr.every((method) => strength.amr.includes(method))) return Number.NEGATIVE_INFINITY;
  if (maxAgeMs === undefined) return Number.POSITIVE_INFINITY;
  const { authTimeSeconds } = strength;
  return authTimeSeconds === undefined ? Number.NEGATIVE_INFINITY : authTimeSeconds * 1_000_000 + maxAgeMs * 1000;
}

/**
 * Whether the credential that gave the role has all scopes. Another's do not count: with a key of its own that may do
 * everything, somebody could widen a token that was given away narrowed. A certificate has no scopes, so it goes by those of
 * the token that came with it, or else of the key.
 */
function reaches(required: readonly string[], held: HeldGrant, { strength, keyScopes }: Credentials): boolean {
  const ofToken = strength?.scope.split(' ') ?? [];
  const has = (scopes: readonly string[]): boolean => required.every((scope) => scopes.includes(scope));
  return (
    (held.byToken && has(ofToken)) ||
    (held.byKey && has(keyScopes)) ||
    (held.byCertificate && has(strength === undefined ? keyScopes : ofToken))
  );
}

function challenge({ acrValues, amr, maxAgeMs }: StepUpConfig): Denial {
  const maxAgeSeconds = maxAgeMs === undefined ? undefined : Math.floor(maxAgeMs / 1000);
  return { kind: 'step_up_required', acrValues, amrValues: amr, maxAgeSeconds };
}
