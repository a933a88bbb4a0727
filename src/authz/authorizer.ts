/**
 * What a caller may do: first the method, by the headers alone; then the model, by each message.
 *
 * Decisions depend on nothing but the caller, the method, the model and the configuration, and on time only where a role asks
 * for a recent sign-in. So they are remembered, in caches that belong to the caller and vanish with it: a caller that asks for
 * endless names can only push out its own.
 */
import type { Caller } from '../authn/authenticator.ts';
import type { TenantConfig } from '../config/generation.ts';
import { type Denial, deny } from '../kernel/denial.ts';
import type { EpochMicros, TenantId } from '../kernel/ids.ts';
import { ok, type Result } from '../kernel/result.ts';
import { ModelScope } from './model-scope.ts';
import { RoleTable } from './role-table.ts';
import { type Standing, standing } from './standing.ts';

/** What authorization has to know of a method; the method table's entries have it. */
export interface AuthorizableMethod {
  /** `package.Service/Method`. */
  readonly fullName: string;
  /** Its messages name a model, so a permit for the method alone is not enough. */
  readonly readsModel: boolean;
  /** Only a role that names the method itself has it; `package.Service/*` does not include it. */
  readonly sensitive: boolean;
}

/** Decisions remembered for one caller (methods) and for one permit (models with versions). */
const MAX_REMEMBERED = 256;
/** Longer model names with versions are decided each time: what is remembered has to be small. */
const MAX_REMEMBERED_LENGTH = 256;

class PermitEvidence {
  readonly #sealed = true;
  readonly caller: Caller;
  readonly method: AuthorizableMethod;
  /** As sent; both empty for a method that reads no model. */
  readonly model: string;
  readonly version: string;
  /** The binding and role that decided. */
  readonly rule: string;
  /** From then on it would be decided anew, and may be refused: a sign-in has become too old. In microseconds; Infinity: never. */
  readonly until: number;

  constructor(permit: MethodPermitEvidence, model: string, version: string, { grant, until }: Standing) {
    this.caller = permit.caller;
    this.method = permit.method;
    this.model = model;
    this.version = version;
    this.rule = grant.rule;
    this.until = until;
  }

  static isGenuine(value: object): boolean {
    return #sealed in value && value.#sealed;
  }
}

type ModelDecision = Result<PermitEvidence, Denial>;

class MethodPermitEvidence {
  readonly caller: Caller;
  readonly method: AuthorizableMethod;
  /** The first binding and role that have the method, of those that may be used. */
  readonly rule: string;
  /** From then on none of the grants may be used; as `Permit.until`. */
  readonly until: number;
  /** Every grant that has the method, those that may be used first: one of them must have the model as well. */
  readonly #standings: readonly Standing[];
  /** What an API key is narrowed to; undefined: to nothing. */
  readonly #keyScope: ModelScope | undefined;
  readonly #decided = new Map<string, Map<string, ModelDecision>>();
  #remembered = 0;
  readonly #withoutModel: ModelDecision;

  constructor(caller: Caller, method: AuthorizableMethod, standings: readonly [Standing, ...Standing[]]) {
    this.caller = caller;
    this.method = method;
    this.rule = standings[0].grant.rule;
    this.until = standings[0].until;
    this.#standings = standings;
    this.#keyScope = caller.keyModels && new ModelScope(caller.keyModels);
    this.#withoutModel = method.readsModel
      ? deny({ kind: 'model_denied', method: method.fullName, model: '', version: '' })
      : ok(new PermitEvidence(this, '', '', standings[0]));
  }

  static decideModel(permit: MethodPermitEvidence, model: string, version: string): ModelDecision {
    const known = permit.#decided.get(model)?.get(version);
    if (known !== undefined) return known;
    const found = permit.#standings.find(({ grant }) => grant.role.hasModel(model, version));
    const decision = permit.#decideModel(found, model, version);
    if (model.length + version.length <= MAX_REMEMBERED_LENGTH) permit.#remember(model, version, decision);
    return decision;
  }

  #decideModel(found: Standing | undefined, model: string, version: string): ModelDecision {
    const denial = { kind: 'model_denied', method: this.method.fullName, model, version } as const;
    if (found === undefined) return deny(denial);
    if (this.#keyScope?.has(model, version) === false) return deny({ ...denial, by: 'api key' });
    return found.lacks === undefined ? ok(new PermitEvidence(this, model, version, found)) : deny(found.lacks);
  }

  static withoutModel(permit: MethodPermitEvidence): ModelDecision {
    return permit.#withoutModel;
  }

  static isGenuine(value: object): boolean {
    return #standings in value;
  }

  #remember(model: string, version: string, decision: ModelDecision): void {
    if (this.#remembered >= MAX_REMEMBERED) {
      const [oldest] = this.#decided.keys();
      if (oldest !== undefined) {
        this.#remembered -= this.#decided.get(oldest)?.size ?? 0;
        this.#decided.delete(oldest);
      }
    }
    let versions = this.#decided.get(model);
    if (versions === undefined) {
      versions = new Map();
      this.#decided.set(model, versions);
    }
    versions.set(version, decision);
    this.#remembered += 1;
  }
}

export type { MethodPermitEvidence as MethodPermit, PermitEvidence as Permit };

type MethodDecision = Result<MethodPermitEvidence, Denial>;

interface Decided {
  readonly decision: MethodDecision;
  readonly readsModel: boolean;
  /** From then on it is decided anew. */
  readonly until: number;
}

export class Authorizer {
  readonly #tenant: TenantId;
  readonly #table: RoleTable;
  readonly #decided = new WeakMap<Caller, Map<string, Decided>>();

  constructor(tenant: Pick<TenantConfig, 'id' | 'roles' | 'bindings'>) {
    this.#tenant = tenant.id;
    this.#table = new RoleTable(tenant);
  }

  /** Decides whether the caller may call the method at all. A repeated decision is the same object while nothing ends. */
  method(caller: Caller, method: AuthorizableMethod, now: EpochMicros): MethodDecision {
    let decided = this.#decided.get(caller);
    const known = decided?.get(method.fullName);
    if (known !== undefined && known.readsModel === method.readsModel && now < known.until) return known.decision;
    const made = this.#decideMethod(caller, method, now);
    if (decided === undefined) {
      decided = new Map();
      this.#decided.set(caller, decided);
    } else if (decided.size >= MAX_REMEMBERED) {
      const [oldest] = decided.keys();
      if (oldest !== undefined) decided.delete(oldest);
    }
    decided.set(method.fullName, made);
    return made.decision;
  }

  /** Decides on one message's model and version, as sent (empty: not set). A repeated decision is the same object. */
  model(permit: MethodPermitEvidence, model: string, version: string): Result<PermitEvidence, Denial> {
    return MethodPermitEvidence.decideModel(permit, model, version);
  }

  #decideMethod(caller: Caller, method: AuthorizableMethod, now: EpochMicros): Decided {
    const { readsModel, fullName } = method;
    const forGood = (decision: MethodDecision): Decided => ({ decision, readsModel, until: Number.POSITIVE_INFINITY });
    if (caller.tenant.id !== this.#tenant) {
      return forGood(
        deny({ kind: 'tenant_mismatch', claimed: this.#tenant, presented: caller.tenant.id, by: 'caller' }),
      );
    }
    const standings = this.#table
      .grantsOf(caller)
      .filter(({ grant }) => grant.role.hasMethod(method))
      .map((held) => standing(held, caller, now));
    // Those that may be used longest go first: no call ends with a sign-in that it does not need.
    const usable = standings.filter(({ lacks }) => lacks === undefined).sort(longestFirst);
    const [first, ...rest] = [...usable, ...standings.filter(({ lacks }) => lacks !== undefined)];
    if (first === undefined) return forGood(deny({ kind: 'method_denied', method: fullName, caller: caller.id }));
    // Where a model is still to be named, what is lacking is said only to who may have that model.
    if (first.lacks !== undefined && !readsModel) return forGood(deny(first.lacks));
    const decision = ok(new MethodPermitEvidence(caller, method, [first, ...rest]));
    return { decision, readsModel, until: Math.min(...standings.map(({ until }) => until)) };
  }
}

function longestFirst(one: Standing, other: Standing): number {
  return one.until === other.until ? 0 : other.until - one.until;
}

/** The permit for a call whose method reads no model; refused when it reads one, for then a model must have been decided on. */
export function withoutModel(permit: MethodPermitEvidence): Result<PermitEvidence, Denial> {
  return MethodPermitEvidence.withoutModel(permit);
}
