/**
 * What is kept of a verified token's claims beyond its identity: of those that the tenant's rules name, as much as they ask for.
 *
 * Tokens are remembered by the thousand and may carry hundreds of groups each, so a token costs what the tenant's rules need and not
 * what its issuer writes: of a claim that bindings name, the values that they name.
 */
import type { ClaimScalar, TenantConfig } from '../config/generation.ts';
import { claimAt, claimPathSteps } from './claim-path.ts';
import type { JsonObject } from './strict-json.ts';

/** Values by canonical claim path. `*` among them: the token has the claim, whatever it says. */
export type KeptClaims = ReadonlyMap<string, readonly ClaimScalar[]>;

/** Of a token that says nothing that anybody asks for, and of a caller without one. */
export const NO_CLAIMS: KeptClaims = new Map();

interface WantedClaim {
  readonly path: string;
  readonly steps: readonly string[];
  readonly values: ReadonlySet<ClaimScalar>;
}

export class ClaimSelection {
  readonly #wanted: readonly WantedClaim[];

  constructor({ bindings }: Pick<TenantConfig, 'bindings'>) {
    const values = new Map<string, Set<ClaimScalar>>();
    for (const match of bindings.flatMap(({ claims }) => claims ?? [])) {
      const named = values.get(match.path) ?? new Set();
      for (const value of match.values) named.add(value);
      values.set(match.path, named);
    }
    this.#wanted = [...values].map(([path, named]) => ({ path, steps: claimPathSteps(path), values: named }));
  }

  /** Takes from a token's claims what is wanted of them. */
  select(claims: JsonObject): KeptClaims {
    if (this.#wanted.length === 0) return NO_CLAIMS;
    const kept = new Map<string, readonly ClaimScalar[]>();
    for (const { path, steps, values } of this.#wanted) {
      const said = scalarsOf(claimAt(claims, steps));
      if (said.length === 0) continue;
      const held = [...values].filter((value) => value === '*' || said.includes(value));
      if (held.length > 0) kept.set(path, held);
    }
    return kept.size === 0 ? NO_CLAIMS : kept;
  }
}

/** A claim's value, or the members of its list. What is neither is nothing that a rule could name. */
function scalarsOf(value: unknown): readonly ClaimScalar[] {
  const all: readonly unknown[] = Array.isArray(value) ? value : [value];
  return all.filter((each) => typeof each === 'string' || typeof each === 'number' || typeof each === 'boolean');
}
