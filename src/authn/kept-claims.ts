/**
 * What is kept of a verified token's claims beyond its identity: of those that the tenant's rules name, as much as they ask for.
 *
 * Tokens are remembered by the thousand and may carry hundreds of groups each, so a token costs what the tenant's rules need and not
 * what its issuer writes: of a claim that rules match, the values that they name; of one that conditions speak of, all of it.
 */
import type { ClaimScalar, DeclaredClaim } from '../config/policy-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import { claimAt, claimPathSteps } from './claim-path.ts';
import type { JsonObject } from './strict-json.ts';

export interface KeptClaims {
  /** Values that rules name, by canonical path. `*` among them: the token has the claim, whatever it says. */
  readonly matched: ReadonlyMap<string, readonly ClaimScalar[]>;
  /** Claims that conditions may speak of, by their name there. One of another type than declared is absent. */
  readonly declared: ReadonlyMap<string, ClaimScalar | readonly string[]>;
}

/** Of a token that says nothing that anybody asks for, and of a caller without one. */
export const NO_CLAIMS: KeptClaims = { matched: new Map(), declared: new Map() };

interface Matched {
  readonly path: string;
  readonly steps: readonly string[];
  readonly values: ReadonlySet<ClaimScalar>;
}

interface Declared {
  readonly name: string;
  readonly steps: readonly string[];
  readonly type: DeclaredClaim['type'];
}

export class ClaimSelection {
  readonly #matched: readonly Matched[];
  readonly #declared: readonly Declared[];

  constructor({ bindings, denials = [], claims = [] }: Pick<TenantConfig, 'bindings' | 'denials' | 'claims'>) {
    const values = new Map<string, Set<ClaimScalar>>();
    for (const match of [...bindings, ...denials.map(({ who }) => who)].flatMap((rule) => rule?.claims ?? [])) {
      const named = values.get(match.path) ?? new Set();
      for (const value of match.values) named.add(value);
      values.set(match.path, named);
    }
    this.#matched = [...values].map(([path, named]) => ({ path, steps: claimPathSteps(path), values: named }));
    this.#declared = claims.map(({ name, path, type }) => ({ name, steps: claimPathSteps(path), type }));
  }

  /** Takes from a token's claims what is wanted of them. */
  select(claims: JsonObject): KeptClaims {
    if (this.#matched.length + this.#declared.length === 0) return NO_CLAIMS;
    const matched = new Map<string, readonly ClaimScalar[]>();
    for (const { path, steps, values } of this.#matched) {
      const said = scalarsOf(claimAt(claims, steps));
      if (said.size === 0) continue;
      const held = [...values].filter((value) => value === '*' || said.has(value));
      if (held.length > 0) matched.set(path, held);
    }
    const declared = new Map<string, ClaimScalar | readonly string[]>();
    for (const { name, steps, type } of this.#declared) {
      const value = typed(claimAt(claims, steps), type);
      if (value !== undefined) declared.set(name, value);
    }
    return { matched, declared };
  }
}

/** A claim's value, or the members of its list. What is neither is nothing that a rule could name. */
function scalarsOf(value: unknown): ReadonlySet<unknown> {
  const all: readonly unknown[] = Array.isArray(value) ? value : [value];
  return new Set(all.filter((each) => ['string', 'number', 'boolean'].includes(typeof each)));
}

/** A claim of the type that is declared for it; undefined: it is of another. Issuers write a list of one as text. */
function typed(value: unknown, type: DeclaredClaim['type']): ClaimScalar | readonly string[] | undefined {
  switch (type) {
    case 'string':
      return typeof value === 'string' ? value : undefined;
    case 'bool':
      return typeof value === 'boolean' ? value : undefined;
    case 'int':
      return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined;
    case 'strings': {
      const list: readonly unknown[] = Array.isArray(value) ? value : [value];
      return list.every((each) => typeof each === 'string') ? list : undefined;
    }
  }
}
