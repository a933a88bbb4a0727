/**
 * The decisions, and the evidence of those that let a call pass: first on the method, by the headers alone; then on the model, by
 * each message.
 *
 * In this order: a rule that denies wins over every role; of the roles one must allow; what no role allows is refused. Rules in shadow
 * are decided as if they were in force, all of them together, and what would have come of it is said beside the verdict where it differs.
 */
import type { Caller } from '../authn/authenticator.ts';
import type { Condition, ConditionFailure } from '../conditions/condition.ts';
import { type Denial, deny } from '../kernel/denial.ts';
import { ok } from '../kernel/result.ts';
import type { AuthorizableMethod, MethodRules, OpenDenial, OpenGrant } from './method-rules.ts';
import { ModelScope } from './model-scope.ts';
import type { CallFacts, Matter, RuleConditions } from './rule-conditions.ts';
import type { Standing } from './standing.ts';

/** What rules in shadow would have decided otherwise. */
export interface ShadowVerdict {
  readonly verdict: 'allow' | 'deny';
  /** The rule that would have decided. */
  readonly rule: string;
}

/** A decision; of one that lets the call pass, the evidence has what rules in shadow say. */
export type Verdict<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: Denial; readonly shadow?: ShadowVerdict };

/** Decisions on models with versions that are remembered for one permit, and for one caller on methods. */
export const MAX_REMEMBERED = 256;
/** Longer model names with versions are decided each time: what is remembered has to be small. */
export const MAX_REMEMBERED_LENGTH = 256;

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
  /** undefined: rules in shadow would let it pass too. */
  readonly shadow: ShadowVerdict | undefined;

  constructor(
    permit: MethodPermitEvidence,
    model: string,
    version: string,
    standing: Standing,
    shadow?: ShadowVerdict,
  ) {
    this.caller = permit.caller;
    this.method = permit.method;
    this.model = model;
    this.version = version;
    this.rule = standing.grant.rule;
    this.until = standing.until;
    this.shadow = shadow;
  }

  static isGenuine(value: object): boolean {
    return #sealed in value && value.#sealed;
  }
}

class MethodPermitEvidence {
  readonly caller: Caller;
  readonly method: AuthorizableMethod;
  /** The first binding and role that have the method, of those that may be used. */
  readonly rule: string;
  /** The name of that role. */
  readonly role: string;
  /** From then on none of the grants may be used; as `Permit.until`. */
  readonly until: number;
  /** undefined: rules in shadow would let it pass too, as far as the method goes. */
  readonly shadow: ShadowVerdict | undefined;
  readonly #rules: MethodRules;
  /** Every grant in force that has the method: one of them must have the model as well. */
  readonly #grants: readonly OpenGrant[];
  readonly #first: Standing;
  readonly #facts: CallFacts | undefined;
  /** What an API key is narrowed to; undefined: to nothing. */
  readonly #keyScope: ModelScope | undefined;
  #decided: Map<string, Map<string, Verdict<PermitEvidence>>> | undefined;
  #remembered = 0;
  #withoutModel: Verdict<PermitEvidence> | undefined;

  constructor(
    rules: MethodRules,
    grants: readonly OpenGrant[],
    first: Standing,
    facts: CallFacts | undefined,
    shadow: ShadowVerdict | undefined,
  ) {
    const { caller, method } = rules;
    this.caller = caller;
    this.method = method;
    this.rule = first.grant.rule;
    this.role = first.grant.role.name;
    this.until = first.until;
    this.shadow = shadow;
    this.#first = first;
    this.#rules = rules;
    this.#grants = grants;
    this.#facts = facts;
    this.#keyScope = caller.keyModels && new ModelScope(caller.keyModels);
  }

  static decideModel(permit: MethodPermitEvidence, model: string, version: string): Verdict<PermitEvidence> {
    const known = permit.#decided?.get(model)?.get(version);
    if (known !== undefined) return known;
    const decision = permit.#decideModel(model, version);
    // One that is for a single call is asked for few models: to ask again costs less than to remember.
    if (permit.#facts !== undefined) return decision;
    if (model.length + version.length <= MAX_REMEMBERED_LENGTH) permit.#remember(model, version, decision);
    return decision;
  }

  #decideModel(model: string, version: string): Verdict<PermitEvidence> {
    const { modelDenials, shadowGrants, failure } = this.#rules;
    const matter = matterOf(this.#rules, this.#facts, model, version);
    const denial = { kind: 'model_denied', method: this.method.fullName, model, version } as const;
    const refusing = firstDenial(this.#rules, modelDenials.inForce, matter);
    if (refusing !== undefined) return deny({ ...denial, ...refusing });
    const inShadow = firstDenial(this.#rules, modelDenials.inShadow, matter);
    const shadow = this.shadow ?? (inShadow && { verdict: 'deny', rule: inShadow.rule });
    const allowing = firstGrant(this.#rules, this.#grants, matter);
    // An API key is narrowed whichever role it is used for, one in shadow too.
    const beyondKey = this.#keyScope?.has(model, version) === false;
    if (allowing.grant !== undefined && beyondKey) return deny({ ...denial, by: 'api key' });
    if (allowing.grant !== undefined && allowing.grant.lacks === undefined) {
      return ok(new PermitEvidence(this, model, version, allowing.grant, shadow));
    }
    const why = allowing.failure ?? failure;
    const refused = allowing.grant?.lacks ?? { ...denial, ...(why === undefined ? {} : { failure: why }) };
    if (shadow !== undefined || beyondKey || shadowGrants.length === 0) return refusal(refused, undefined);
    const inShadowToo = metByMethod(this.#rules, shadowGrants, matter).grants;
    return refusal(refused, firstGrant(this.#rules, inShadowToo, matter).grant);
  }

  static withoutModel(permit: MethodPermitEvidence): Verdict<PermitEvidence> {
    const { method, shadow } = permit;
    permit.#withoutModel ??= method.readsModel
      ? deny({ kind: 'model_denied', method: method.fullName, model: '', version: '' })
      : ok(new PermitEvidence(permit, '', '', permit.#first, shadow));
    return permit.#withoutModel;
  }

  static isGenuine(value: object): boolean {
    return #grants in value;
  }

  #remember(model: string, version: string, decision: Verdict<PermitEvidence>): void {
    this.#decided ??= new Map();
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

/** Decides on the method. `facts`: needed when the rules have to be asked of each call. */
export function decideMethod(rules: MethodRules, facts: CallFacts | undefined): Verdict<MethodPermitEvidence> {
  const { caller, method, methodDenials, grants, shadowGrants } = rules;
  const denial = { kind: 'method_denied', method: method.fullName, caller: caller.id } as const;
  const matter = matterOf(rules, facts, '', '');
  const refusing = firstDenial(rules, methodDenials.inForce, matter);
  if (refusing !== undefined) return deny({ ...denial, ...refusing });
  const inShadow = firstDenial(rules, methodDenials.inShadow, matter);
  const open = metByMethod(rules, grants, matter);
  const first = open.grants[0]?.standing;
  // Where a model is still to be named, what is lacking is said only to who may have that model.
  const lacks = method.readsModel ? undefined : first?.lacks;
  if (first !== undefined && lacks === undefined) {
    const shadow = inShadow && ({ verdict: 'deny', rule: inShadow.rule } as const);
    return ok(new MethodPermitEvidence(rules, open.grants, first, facts, shadow));
  }
  const failure = open.failure ?? rules.failure;
  const refused = lacks ?? { ...denial, ...(failure === undefined ? {} : { failure }) };
  const wouldAllow = inShadow === undefined ? metByMethod(rules, shadowGrants, matter).grants[0] : undefined;
  return refusal(refused, wouldAllow?.standing);
}

/** Decides on one message's model and version, as sent (empty: not set). */
export function decideModel(permit: MethodPermitEvidence, model: string, version: string): Verdict<PermitEvidence> {
  return MethodPermitEvidence.decideModel(permit, model, version);
}

/** The permit for a call whose method reads no model; refused when it reads one, for then a model must have been decided on. */
export function withoutModel(permit: MethodPermitEvidence): Verdict<PermitEvidence> {
  return MethodPermitEvidence.withoutModel(permit);
}

/** A role in shadow counts only if nothing were lacking. */
function refusal(error: Denial, inShadow: Standing | undefined): Verdict<never> {
  if (inShadow === undefined || inShadow.lacks !== undefined) return { ok: false, error };
  return { ok: false, error, shadow: { verdict: 'allow', rule: inShadow.grant.rule } };
}

function matterOf(rules: MethodRules, facts: CallFacts | undefined, model: string, version: string): Matter {
  return { caller: rules.view, method: rules.method.fullName, model, version, facts };
}

/** The first rule that refuses; one whose condition cannot be evaluated does. */
function firstDenial(
  { conditions }: MethodRules,
  denials: readonly OpenDenial[],
  matter: Matter,
): { readonly rule: string; readonly failure?: string } | undefined {
  for (const { rule, open, failure } of denials) {
    if (rule.namesModels && !rule.hasModel(matter.model, matter.version)) continue;
    if (!rule.hasAddress(matter.facts?.peer)) continue;
    const met = open === undefined || conditions.ask(open, matter);
    if (met === false) continue;
    const why = failure ?? (met === true ? undefined : met.failed);
    return { rule: rule.rule, ...(why === undefined ? {} : { failure: why }) };
  }
  return undefined;
}

/** The grants whose conditions are met, as far as they do not depend on the model. */
function metByMethod(
  { conditions }: MethodRules,
  grants: readonly OpenGrant[],
  matter: Matter,
): { readonly grants: readonly OpenGrant[]; readonly failure: string | undefined } {
  if (grants.every(({ ofCall }) => ofCall.length === 0)) return { grants, failure: undefined };
  let failure: string | undefined;
  const met = grants.filter(({ standing, ofCall }) => {
    const answer = askAll(conditions, ofCall, matter);
    if (typeof answer !== 'boolean') failure ??= failureText(standing, answer);
    return answer === true;
  });
  return { grants: met, failure };
}

/** The first grant that has the model, of those whose other conditions are met. */
function firstGrant(
  { conditions }: MethodRules,
  grants: readonly OpenGrant[],
  matter: Matter,
): { readonly grant: Standing | undefined; readonly failure: string | undefined } {
  let failure: string | undefined;
  for (const { standing, ofModel } of grants) {
    if (!standing.grant.role.hasModel(matter.model, matter.version)) continue;
    const answer = askAll(conditions, ofModel, matter);
    if (answer === true) return { grant: standing, failure };
    if (answer !== false) failure ??= failureText(standing, answer);
  }
  return { grant: undefined, failure };
}

/** Whether all are met; the first that is not, or cannot be evaluated, decides. */
function askAll(conditions: RuleConditions, open: readonly Condition[], matter: Matter): boolean | ConditionFailure {
  for (const condition of open) {
    const answer = conditions.ask(condition, matter);
    if (answer !== true) return answer;
  }
  return true;
}

function failureText({ grant }: Standing, { failed }: ConditionFailure): string {
  return `${grant.rule}: ${failed}`;
}
