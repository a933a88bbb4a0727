/**
 * How long a call may run: as long as the weakest of what it was admitted by, and no longer than one authentication counts with its
 * tenant. Pure: a lease is found out once, and again when a message is permitted by a role that asks for a recent sign-in.
 */
import type { Caller } from '../authn/authenticator.ts';
import type { Denial } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';

export interface CallLease {
  /** In microseconds since the epoch; Infinity: never. */
  readonly until: number;
  /** What the call ends with then. */
  readonly denial: Denial;
}

export interface LeaseTerms {
  readonly caller: Pick<Caller, 'expiresAt' | 'endsWith' | 'kind'>;
  readonly startedAt: EpochMicros;
  /** The longest that a call of this tenant may run on one authentication; undefined: as long as its credentials. */
  readonly maxMs: number | undefined;
  /** Until when the roles that were used have what they ask for; Infinity: for ever. */
  readonly permitUntil: number;
}

/** The first of all ends, in microseconds; Infinity: there is none. What every call needs of its lease. */
export function leaseEnd({ caller, startedAt, maxMs, permitUntil }: LeaseTerms): number {
  const longest = maxMs === undefined ? Number.POSITIVE_INFINITY : startedAt + maxMs * 1000;
  return Math.min(caller.expiresAt, longest, permitUntil);
}

/** The first of all ends, and which it is. */
export function callLease(terms: LeaseTerms): CallLease {
  const { caller, permitUntil } = terms;
  const until = leaseEnd(terms);
  if (until === caller.expiresAt) return { until, denial: expired('expired', caller.endsWith) };
  if (until === permitUntil) return { until, denial: expired('sign_in_too_old', 'token') };
  return { until, denial: expired('lease', caller.kind === 'api-key' ? 'api key' : caller.kind) };
}

function expired(
  why: Extract<Denial, { kind: 'authorization_expired' }>['why'],
  credential: Extract<Denial, { kind: 'authorization_expired' }>['credential'],
): Denial {
  return { kind: 'authorization_expired', why, credential };
}
