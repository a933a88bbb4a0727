/**
 * What a caller may do: first the method, by the headers alone; then the model, by each message.
 *
 * Decisions depend on the caller, the method, the model and the configuration, on time where a role asks for a recent sign-in, and on
 * the call itself where a rule's addresses or condition do. Whatever does not depend on the call is decided once and remembered, in caches that
 * belong to the caller and vanish with it: a caller that asks for endless names can only push out its own.
 */
import type { Caller } from '../authn/authenticator.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import { deny } from '../kernel/denial.ts';
import type { EpochMicros, TenantId } from '../kernel/ids.ts';
import { DenyTable } from './deny-table.ts';
import { type AuthorizableMethod, MethodRules, type Tables } from './method-rules.ts';
import { decideMethod, decideModel, MAX_REMEMBERED, type MethodPermit, type Permit, type Verdict } from './permit.ts';
import { RoleTable } from './role-table.ts';
import { type CallerView, type CallFacts, RuleConditions } from './rule-conditions.ts';

export type { AuthorizableMethod } from './method-rules.ts';
export type { MethodPermit, Permit, ShadowVerdict, Verdict } from './permit.ts';
export { withoutModel } from './permit.ts';
export type { CallFacts } from './rule-conditions.ts';

/** A tenant's rules, and what they may look at. */
export type Authority = Pick<TenantConfig, 'id' | 'roles' | 'bindings' | 'denials' | 'claims' | 'metadata'>;

interface Decided {
  /** undefined: it is decided for each call, by `rules`. */
  readonly decision: Verdict<MethodPermit> | undefined;
  readonly rules: MethodRules | undefined;
  readonly readsModel: boolean;
  /** From then on it is decided anew. */
  readonly until: number;
}

/** What is remembered of a caller. */
interface Remembered {
  readonly view: CallerView;
  readonly methods: Map<string, Decided>;
}

export class Authorizer {
  /** Some rule looks at the call itself: what is known of it has to be given. */
  readonly asksCalls: boolean;
  readonly #tenant: TenantId;
  readonly #tables: Tables;
  readonly #remembered = new WeakMap<Caller, Remembered>();

  constructor(tenant: Authority) {
    this.#tenant = tenant.id;
    const { roles, bindings, denials = [] } = tenant;
    this.asksCalls =
      [...roles, ...bindings, ...denials].some(({ condition }) => condition !== undefined) ||
      denials.some(({ addresses }) => addresses !== undefined);
    this.#tables = {
      roles: new RoleTable(tenant),
      denials: new DenyTable(tenant),
      conditions: new RuleConditions(tenant),
    };
  }

  /**
   * Decides whether the caller may call the method at all. A repeated decision is the same object while nothing ends, unless it depends on
   * the call. Without `facts`, rules that look at the call decide against it.
   */
  method(caller: Caller, method: AuthorizableMethod, now: EpochMicros, facts?: CallFacts): Verdict<MethodPermit> {
    let remembered = this.#remembered.get(caller);
    const known = remembered?.methods.get(method.fullName);
    if (known !== undefined && known.readsModel === method.readsModel && now < known.until) return settle(known, facts);
    if (remembered === undefined) {
      remembered = { view: this.#tables.conditions.view(caller), methods: new Map() };
      this.#remembered.set(caller, remembered);
    } else if (remembered.methods.size >= MAX_REMEMBERED) {
      const [oldest] = remembered.methods.keys();
      if (oldest !== undefined) remembered.methods.delete(oldest);
    }
    const made = this.#decide(remembered.view, caller, method, now);
    remembered.methods.set(method.fullName, made);
    return settle(made, facts);
  }

  /** Decides on one message's model and version, as sent (empty: not set). A repeated decision is the same object. */
  model(permit: MethodPermit, model: string, version: string): Verdict<Permit> {
    return decideModel(permit, model, version);
  }

  #decide(view: CallerView, caller: Caller, method: AuthorizableMethod, now: EpochMicros): Decided {
    const { readsModel } = method;
    if (caller.tenant.id !== this.#tenant) {
      const { id } = caller.tenant;
      const decision = deny({ kind: 'tenant_mismatch', claimed: this.#tenant, presented: id, by: 'caller' });
      return { decision, rules: undefined, readsModel, until: Number.POSITIVE_INFINITY };
    }
    const rules = new MethodRules(this.#tables, view, caller, method, now);
    const { needsCall, until } = rules;
    return { decision: needsCall ? undefined : decideMethod(rules, undefined), rules, readsModel, until };
  }
}

function settle({ decision, rules }: Decided, facts: CallFacts | undefined): Verdict<MethodPermit> {
  if (decision !== undefined) return decision;
  if (rules === undefined) throw new Error('a decision that is left to each call has the rules for it');
  return decideMethod(rules, facts);
}
