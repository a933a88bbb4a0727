/**
 * Finds rules under `denyRules` that can hardly be meant: without effect, as nothing of what they refuse is allowed or another refuses all of it, or
 * with too much, as they refuse everything.
 */

import type { KnownMethods } from './known-methods.ts';
import type { DenyConfig } from './policy-config.ts';
import type { Rules } from './roles.ts';

/** Comparisons of names for one tenant, after which no further rules are compared: they are compared each with each. */
export const MAX_DENIAL_COMPARISONS = 2_000_000;

export interface IdleDenial {
  readonly index: number;
  readonly name: string;
  readonly why: string;
  readonly fix: string;
}

/** The rules that are worth a warning, in their order. */
export function idleDenials({ roles, denials }: Rules, known: KnownMethods): readonly IdleDenial[] {
  const allowed = new AllowedMethods(roles);
  const first = new Map(denials.map(({ name }, index) => [name, index] as const).toReversed());
  const budget = { left: MAX_DENIAL_COMPARISONS };
  return denials.flatMap((rule, index): readonly IdleDenial[] => {
    const { name } = rule;
    if (first.get(name) !== index) {
      return [{ index, name, why: 'has the name of another', fix: 'give each a name of its own' }];
    }
    if (narrowings(rule) === 0 && rule.mode !== 'shadow') {
      const fix = 'narrow it by methods, models, addresses, a condition or whom it is for, or mean it';
      return [{ index, name, why: 'refuses every call of the tenant', fix }];
    }
    if (rule.methods?.every((method) => !allowed.has(method)) === true) {
      const fix = 'remove it, or correct its methods';
      return [{ index, name, why: 'refuses methods that no role has: they are refused without it', fix }];
    }
    if (rule.models !== undefined && rule.methods?.every((method) => readsNone(method, known)) === true) {
      const fix = 'remove models, or name methods that use one';
      return [{ index, name, why: 'is for models, and none of its methods names one: it refuses nothing', fix }];
    }
    const wide = denials.find(
      (other, at) => at !== index && isWithin(rule, other, budget) && (at < index || !isWithin(other, rule, budget)),
    );
    if (wide === undefined) return [];
    const fix = `remove it, or narrow ${wide.name}`;
    return [{ index, name, why: `has no effect: ${wide.name} refuses all of it`, fix }];
  });
}

function narrowings({ who, methods, models, versions, addresses, condition }: DenyConfig): number {
  const all = (names: readonly string[] | undefined): boolean => names === undefined || names.includes('*');
  const open = [
    who === undefined,
    all(methods),
    all(models),
    all(versions),
    addresses === undefined,
    condition === undefined,
  ];
  return open.filter((isOpen) => !isOpen).length;
}

/** What roles name. */
class AllowedMethods {
  readonly #named: ReadonlySet<string>;
  readonly #services: ReadonlySet<string>;

  constructor(roles: Rules['roles']) {
    this.#named = new Set(roles.flatMap(({ methods }) => methods));
    this.#services = new Set([...this.#named].map(serviceOf));
  }

  /** Whether one of those that are meant is among them: `*` is every one, `package.Service/*` every one of its service. */
  has(method: string): boolean {
    if (method === '*') return this.#named.size > 0;
    const service = serviceOf(method);
    if (method.endsWith('/*')) return this.#services.has(service);
    return this.#named.has(method) || this.#named.has(`${service}/*`);
  }
}

function serviceOf(method: string): string {
  return method.slice(0, method.lastIndexOf('/'));
}

function readsNone(method: string, known: KnownMethods): boolean {
  return (
    method !== '*' &&
    known.methodsOf(method.slice(0, method.lastIndexOf('/'))) !== undefined &&
    !known.readsModel(method)
  );
}

/** Whether all that one rule refuses, the other refuses too: each of its narrowings is the same, or none. */
function isWithin(narrow: DenyConfig, wide: DenyConfig, budget: { left: number }): boolean {
  if (wide.mode === 'shadow' || budget.left < 0) return false;
  const names = (some: readonly string[] | undefined, all: readonly string[] | undefined): boolean => {
    if (all === undefined) return true;
    budget.left -= (some?.length ?? 0) * all.length + 1;
    if (budget.left < 0) return false;
    return all.includes('*') || (some !== undefined && some.every((name) => all.includes(name)));
  };
  return (
    (wide.condition === undefined || wide.condition === narrow.condition) &&
    (wide.who === undefined || JSON.stringify(wide.who) === JSON.stringify(narrow.who)) &&
    names(narrow.methods, wide.methods) &&
    names(narrow.models, wide.models) &&
    names(narrow.versions, wide.versions) &&
    names(narrow.addresses, wide.addresses)
  );
}
