/**
 * The evidence that a call belongs to a tenant. Only `authn` imports this file (a lint rule, and a test of the tree), so
 * only a finished authentication makes a `Tenant`; everyone else takes the type from `tenant.ts`.
 */
import type { TenantId } from '../kernel/ids.ts';
import type { TenantClaim } from './tenant.ts';

class TenantEvidence {
  // A private member makes the type nominal: no object literal is assignable to it.
  readonly #sealed = true;
  readonly id: TenantId;
  /** Index of the tenant's cells in the shared tables. */
  readonly slot: number;

  constructor(claim: TenantClaim) {
    this.id = claim.id;
    this.slot = claim.slot;
  }

  /** True for what `mintTenant` made, also when the type was forged. */
  static isGenuine(value: object): boolean {
    return #sealed in value && value.#sealed;
  }
}

export type { TenantEvidence };

/** Makes the evidence, once everything that a call presents has agreed with the claim. */
export function mintTenant(claim: TenantClaim): TenantEvidence {
  return new TenantEvidence(claim);
}
