/**
 * Finds roles that another one makes needless: whoever has the one has the other as well, which allows all of it. Narrowing such a
 * role changes nothing, and whoever narrows it believes that it did.
 */
import type { BindingConfig, ClaimMatch, RoleConfig } from './policy-config.ts';

export interface ShadowedRole {
  readonly index: number;
  readonly role: string;
  /** The one that allows all of it. */
  readonly wide: string;
}

/**
 * Comparisons of names for one tenant, after which no further role is looked at: roles are compared each with each. A hundred roles of
 * a hundred models each stay far below it.
 */
export const MAX_COMPARISONS = 2_000_000;

/** The shadowed roles, in their order. Of two that say the same, the later one. */
export function shadowedRoles(
  roles: readonly RoleConfig[],
  bindings: readonly BindingConfig[],
): readonly ShadowedRole[] {
  // What is without effect neither gives nor takes.
  const given = Map.groupBy(
    bindings.filter(({ mode }) => mode !== 'shadow'),
    ({ role }) => role,
  );
  const names = new Set<string>();
  const compared: ComparedRole[] = [];
  for (const [index, role] of roles.entries()) {
    const own = given.get(role.name) ?? [];
    // A role that stands twice is an error already, and one that nobody has is a warning of its own.
    if (own.length > 0 && role.mode !== 'shadow' && !names.has(role.name))
      compared.push(new ComparedRole(index, role, own));
    names.add(role.name);
  }
  const budget: Budget = { left: MAX_COMPARISONS };
  const found: ShadowedRole[] = [];
  for (const narrow of compared) {
    const wide = compared.find(
      (other) =>
        other !== narrow &&
        other.covers(narrow, budget) &&
        (other.index < narrow.index || !narrow.covers(other, budget)),
    );
    if (budget.left < 0) break;
    if (wide !== undefined) found.push({ index: narrow.index, role: narrow.name, wide: wide.name });
  }
  return found;
}

interface Budget {
  left: number;
}

class ComparedRole {
  readonly index: number;
  readonly name: string;
  readonly #role: RoleConfig;
  readonly #methods: ReadonlySet<string>;
  readonly #models: Patterns;
  readonly #versions: Patterns;
  readonly #scopes: ReadonlySet<string>;
  readonly #holders: readonly Holders[];

  constructor(index: number, role: RoleConfig, bindings: readonly BindingConfig[]) {
    this.index = index;
    this.name = role.name;
    this.#role = role;
    this.#methods = new Set(role.methods);
    this.#models = new Patterns(role.models);
    this.#versions = new Patterns(role.versions);
    this.#scopes = new Set(role.scopes ?? []);
    this.#holders = bindings.map(holdersOf);
  }

  /** Whether this one allows all that the other does, to all to whom the other does. */
  covers(narrow: ComparedRole, budget: Budget): boolean {
    return (
      this.#asksNoMore(narrow) &&
      // `package.Service/*` leaves sensitive methods out, so a method that is named is covered by its own name alone.
      narrow.#role.methods.every((method) => spend(budget) && this.#methods.has(method)) &&
      this.#models.cover(narrow.#models, budget) &&
      this.#versions.cover(narrow.#versions, budget) &&
      narrow.#holders.every((binding) => this.#holders.some((own) => includesAll(own, binding, budget)))
    );
  }

  /** Scopes and sign-ins belong to the role: one that asks for none is wide in this. */
  #asksNoMore(narrow: ComparedRole): boolean {
    const { stepUp, condition, scopes } = this.#role;
    if (condition !== undefined && condition !== narrow.#role.condition) return false;
    if (stepUp !== undefined && JSON.stringify(stepUp) !== JSON.stringify(narrow.#role.stepUp)) return false;
    return scopes === undefined || this.#scopes.isSubsetOf(narrow.#scopes);
  }
}

/** Names with stars, as roles have them. */
class Patterns {
  readonly #all: readonly string[];
  readonly #exact: ReadonlySet<string>;
  readonly #starred: readonly Starred[];

  constructor(patterns: readonly string[]) {
    this.#all = patterns;
    this.#exact = new Set(patterns);
    this.#starred = patterns.filter((pattern) => pattern.includes('*')).map(starred);
  }

  cover(narrow: Patterns, budget: Budget): boolean {
    return narrow.#all.every(
      (name) =>
        spend(budget) &&
        (this.#exact.has(name) || this.#starred.some((pattern) => spend(budget) && matchesAllOf(pattern, name))),
    );
  }
}

/** A name with stars: what is before the first, between them, and behind the last. */
interface Starred {
  readonly head: string;
  readonly pieces: readonly string[];
  readonly tail: string;
}

function starred(pattern: string): Starred {
  const [head = '', ...pieces] = pattern.split('*');
  const tail = pieces.pop() ?? '';
  return { head, pieces, tail };
}

/** Whether one pattern matches whatever the other does. A star of the other is a character that only a star here can cover. */
function matchesAllOf({ head, pieces, tail }: Starred, narrow: string): boolean {
  if (narrow.length < head.length + tail.length || !narrow.startsWith(head) || !narrow.endsWith(tail)) return false;
  let from = head.length;
  for (const piece of pieces) {
    const at = narrow.indexOf(piece, from);
    if (at < 0 || at + piece.length > narrow.length - tail.length) return false;
    from = at + piece.length;
  }
  return true;
}

/** Whom one binding names. */
interface Holders {
  readonly subjects: ReadonlySet<string>;
  readonly keys: ReadonlySet<string>;
  readonly certificates: ReadonlySet<string>;
  readonly claims: readonly ClaimMatch[];
  readonly condition: string | undefined;
}

function holdersOf({ subjects, keys, certificates, claims = [], condition }: BindingConfig): Holders {
  return { subjects: new Set(subjects), keys: new Set(keys), certificates: new Set(certificates), claims, condition };
}

function includesAll(wide: Holders, narrow: Holders, budget: Budget): boolean {
  const among = (names: ReadonlySet<string>, all: ReadonlySet<string>): boolean => {
    budget.left -= Math.min(names.size, all.size) + 1;
    return budget.left >= 0 && (all.has('*') || names.isSubsetOf(all));
  };
  return (
    (wide.condition === undefined || wide.condition === narrow.condition) &&
    among(narrow.subjects, wide.subjects) &&
    among(narrow.keys, wide.keys) &&
    among(narrow.certificates, wide.certificates) &&
    (narrow.claims.length === 0 || impliesAll(narrow.claims, wide.claims, budget))
  );
}

/** Whether who says the narrow claims says the wide ones too: of each of these, it says nothing that would not do. */
function impliesAll(narrow: readonly ClaimMatch[], wide: readonly ClaimMatch[], budget: Budget): boolean {
  return (
    wide.length > 0 &&
    wide.every(({ path, values }) =>
      narrow.some(
        (own) =>
          own.path === path &&
          (values.includes('*') || own.values.every((value) => spend(budget) && values.includes(value))),
      ),
    )
  );
}

/** Whether there is anything left. */
function spend(budget: Budget): boolean {
  budget.left -= 1;
  return budget.left >= 0;
}
