/**
 * What one row of the denial matrix is made of, and the axes that rows lie on.
 */
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import type { Access } from '../../fakes/raw-grpc-client.ts';
import type { MatrixGround } from './ground.ts';
import type { MatrixMethod } from './methods.ts';

/** The credential that names the caller. */
export const KINDS = ['certificate', 'token', 'api-key'] as const;
export type Kind = (typeof KINDS)[number];

/** What can be wrong with a credential. */
export const DEFECTS = ['no', 'wrong', 'expired', 'revoked', 'weak', 'foreign'] as const;
/** What can be missing to a caller whose credentials are good. */
export const DIMENSIONS = [
  'method',
  'model',
  'version',
  'address',
  'scope',
  'step-up',
  'deny rule',
  'condition',
] as const;
/** Limits of use; they know no kinds of credentials. */
export const QUOTAS = ['rate', 'quota', 'concurrency'] as const;
export type Aspect = (typeof DEFECTS)[number] | (typeof DIMENSIONS)[number] | (typeof QUOTAS)[number];

/** What the tenants are configured with: changes of acme, which everything is tried on, and of globex, if it is there. */
export interface Tenants {
  readonly acme: Partial<TenantConfig>;
  readonly globex?: Partial<TenantConfig>;
}

/** acme alone, and with its neighbour, with nothing changed. */
export const OPEN: Tenants = { acme: {} };
export const BOTH: Tenants = { acme: {}, globex: {} };

/** How a call is made. */
export interface Attempt {
  readonly headers?: Readonly<Record<string, string>>;
  /** What differs from alice's connection. */
  readonly access?: Partial<Access>;
  /** Default: the model that everybody is allowed. */
  readonly model?: string;
  readonly version?: string;
}

/** The same at every method. */
export function always(attempt: Attempt): () => Attempt {
  return () => attempt;
}

/** A proof that cannot be given, and why. */
export interface NotShown {
  readonly notShown: string;
}

export interface Check {
  readonly kind: Kind | 'any';
  readonly aspect: Aspect;
  readonly name: string;
  /** What the caller gets: a status and a reason, or no connection, with this reason on record. */
  readonly refusal: { readonly status: number; readonly reason: string } | { readonly door: string };
  /** Why it cannot be tried on a method; undefined: it can. */
  readonly cannot?: (method: MatrixMethod) => string | undefined;
  /** The configuration that refuses. */
  readonly strict: Tenants;
  readonly attack: (method: MatrixMethod) => Attempt;
  /** The same call with the one thing right that was wrong: it gets through under the configuration that refuses. */
  readonly satisfied: ((method: MatrixMethod) => Attempt) | NotShown;
  /** The configuration without the check: under it the attack itself gets through. */
  readonly lax: Tenants | NotShown;
  /** What has to be so before the attack; what it gives ends that. */
  readonly before?: (ground: MatrixGround) => Promise<() => Promise<void>>;
}

/** A combination for which there is no row, and why. */
export interface Gap {
  readonly kind: Kind;
  readonly aspect: Aspect;
  readonly why: string;
}
