/**
 * What a tenant's calls are refused for, whatever its roles allow, compiled.
 *
 * A rule that is narrowed to models or versions is about requests that name one. One that is left open may mean any of them, so the rule
 * is about it too: nobody gets around a refusal by saying less.
 */
import type { DenyConfig } from '../config/policy-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import type { Peer } from '../identity/peer.ts';
import { type AddressRange, isAddress, isInRanges, parseAddressRange } from '../kernel/address-range.ts';
import { Glob } from './glob.ts';
import { type Principal, Principals } from './principals.ts';

export class DenyRule {
  /** `tenants/acme.yaml:40 deny[0] → no-nights`, for the audit record. */
  readonly rule: string;
  /** In CEL; undefined: none. */
  readonly condition: string | undefined;
  /** It refuses nothing, and it is on record what it would have refused. */
  readonly shadow: boolean;
  /** It is about requests that name a model, and needs to know which. */
  readonly namesModels: boolean;
  /** It is about calls from some addresses. */
  readonly namesAddresses: boolean;
  readonly #who: Principals | undefined;
  readonly #methods: ReadonlySet<string> | undefined;
  readonly #models: readonly Glob[] | undefined;
  readonly #versions: readonly Glob[] | undefined;
  readonly #addresses: readonly AddressRange[] | undefined;
  /** A connection has one address, and many calls. */
  readonly #known = new WeakMap<Peer, boolean>();

  constructor({ name, source, who, methods, models, versions, addresses, condition, mode }: DenyConfig) {
    this.rule = `${source} → ${name}`;
    this.condition = condition;
    this.shadow = mode === 'shadow';
    this.#who = who && new Principals(who);
    this.#methods = methods?.includes('*') === true ? undefined : methods && new Set(methods);
    this.#models = globsOf(models);
    this.#versions = globsOf(versions);
    this.namesModels = this.#models !== undefined || this.#versions !== undefined;
    this.#addresses = addresses && rangesOf(addresses);
    this.namesAddresses = addresses !== undefined;
  }

  isFor(principal: Principal): boolean {
    return this.#who === undefined || this.#who.naming(principal) !== undefined;
  }

  hasMethod({ fullName, readsModel }: { readonly fullName: string; readonly readsModel: boolean }): boolean {
    if (this.namesModels && !readsModel) return false;
    if (this.#methods === undefined || this.#methods.has(fullName)) return true;
    return this.#methods.has(`${fullName.slice(0, fullName.lastIndexOf('/'))}/*`);
  }

  hasModel(model: string, version: string): boolean {
    return matches(this.#models, model) && matches(this.#versions, version);
  }

  /** What is no address, or not known, might be one of these. */
  hasAddress(peer: Peer | undefined): boolean {
    const ranges = this.#addresses;
    if (ranges === undefined || peer === undefined) return true;
    let known = this.#known.get(peer);
    if (known === undefined) {
      known = !isAddress(peer.address) || isInRanges(peer.address, ranges);
      this.#known.set(peer, known);
    }
    return known;
  }
}

export class DenyTable {
  readonly #rules: readonly DenyRule[];

  constructor({ denials = [] }: Pick<TenantConfig, 'denials'>) {
    this.#rules = denials.map((config) => new DenyRule(config));
  }

  /** The rules that are about calls of this caller to this method, in their order. */
  rulesFor(
    principal: Principal,
    method: { readonly fullName: string; readonly readsModel: boolean },
  ): readonly DenyRule[] {
    return this.#rules.filter((rule) => rule.hasMethod(method) && rule.isFor(principal));
  }
}

function globsOf(patterns: readonly string[] | undefined): readonly Glob[] | undefined {
  return patterns === undefined || patterns.includes('*') ? undefined : patterns.map((pattern) => new Glob(pattern));
}

function matches(globs: readonly Glob[] | undefined, name: string): boolean {
  return globs === undefined || name === '' || globs.some((glob) => glob.matches(name));
}

function rangesOf(texts: readonly string[]): readonly AddressRange[] {
  return texts.map((text) => {
    const range = parseAddressRange(text);
    // The schema refuses it. Left away, a rule would let somebody through.
    if (range === undefined) throw new RangeError(`${text} is no range of addresses`);
    return range;
  });
}
