/**
 * The rules that are about one caller's calls to one method, with all decided that does not depend on the call: what is left of
 * conditions is what must be asked for each model, or each call.
 */
import type { Caller } from '../authn/authenticator.ts';
import type { Condition } from '../conditions/condition.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import type { DenyRule, DenyTable } from './deny-table.ts';
import type { RoleTable } from './role-table.ts';
import type { CallerView, RuleConditions } from './rule-conditions.ts';
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

/** A grant that has the method, and what of its conditions is still to be asked: of each call, and of each model that it names. */
export interface OpenGrant {
  readonly standing: Standing;
  readonly ofCall: readonly Condition[];
  readonly ofModel: readonly Condition[];
}

/** A rule that is about the method, and what of its condition is still to be asked. */
export interface OpenDenial {
  readonly rule: DenyRule;
  readonly open: Condition | undefined;
  /** Why its condition could not be evaluated: then it refuses. */
  readonly failure: string | undefined;
}

/** In their order. */
export interface Denials {
  readonly inForce: readonly OpenDenial[];
  readonly inShadow: readonly OpenDenial[];
}

/** A tenant's rules, compiled. */
export interface Tables {
  readonly roles: RoleTable;
  readonly denials: DenyTable;
  readonly conditions: RuleConditions;
}

export class MethodRules {
  readonly caller: Caller;
  readonly method: AuthorizableMethod;
  readonly conditions: RuleConditions;
  readonly view: CallerView;
  /** Those that may be used first, of these those that may be used longest: no call ends with a sign-in that it does not need. */
  readonly grants: readonly OpenGrant[];
  readonly shadowGrants: readonly OpenGrant[];
  /** Those for which the method suffices, and those that need to know the model. */
  readonly methodDenials: Denials;
  readonly modelDenials: Denials;
  /** Why a condition of a grant could not be evaluated: then the grant gives nothing. */
  readonly failure: string | undefined;
  /** Something is to be asked of each call. */
  readonly needsCall: boolean;
  /** From then on it is all to be made anew: a sign-in has become too old. */
  readonly until: number;

  constructor(tables: Tables, view: CallerView, caller: Caller, method: AuthorizableMethod, now: EpochMicros) {
    this.caller = caller;
    this.method = method;
    this.conditions = tables.conditions;
    this.view = view;
    const failures: string[] = [];
    const held = tables.roles.grantsOf(caller).filter(({ grant }) => grant.role.hasMethod(method));
    const grants = held.flatMap((each): readonly OpenGrant[] => {
      const open = this.#openConditions(each.grant.conditions);
      if (typeof open === 'string' && !each.grant.shadow) failures.push(`${each.grant.rule}: ${open}`);
      if (typeof open === 'string' || open === false) return [];
      if (open.length === 0) return [{ standing: standing(each, caller, now), ofModel: open, ofCall: open }];
      const needsModel = ({ dependsOn }: Condition): boolean => method.readsModel && dependsOn.has('model');
      const ofModel = open.filter(needsModel);
      return [{ standing: standing(each, caller, now), ofModel, ofCall: open.filter((one) => !ofModel.includes(one)) }];
    });
    this.grants = ordered(grants.filter(({ standing: { grant } }) => !grant.shadow));
    this.shadowGrants = ordered(grants.filter(({ standing: { grant } }) => grant.shadow));
    const denials = tables.denials.rulesFor(caller, method).flatMap((rule) => this.#openDenial(rule));
    const needsModel = ({ rule, open }: OpenDenial): boolean =>
      rule.namesModels || open?.dependsOn.has('model') === true;
    this.methodDenials = byForce(denials.filter((denial) => !method.readsModel || !needsModel(denial)));
    this.modelDenials = byForce(denials.filter((denial) => method.readsModel && needsModel(denial)));
    this.failure = failures[0];
    this.needsCall =
      grants.some(({ ofCall, ofModel }) => [...ofCall, ...ofModel].some(({ dependsOn }) => dependsOn.has('call'))) ||
      denials.some(({ rule, open }) => rule.namesAddresses || open?.dependsOn.has('call') === true);
    this.until = Math.min(...grants.map(({ standing: { until } }) => until));
  }

  /** The conditions that are still to be asked; `false` when one is not met, a text when one could not be evaluated. */
  #openConditions(texts: readonly string[]): readonly Condition[] | false | string {
    if (texts.length === 0) return NONE;
    const open: Condition[] = [];
    for (const text of texts) {
      const condition = this.conditions.compile(text);
      const answer = this.#answer(condition);
      if (answer === 'open') open.push(condition);
      else if (answer !== true) return answer;
    }
    return open;
  }

  #openDenial(rule: DenyRule): readonly OpenDenial[] {
    if (rule.condition === undefined) return [{ rule, open: undefined, failure: undefined }];
    const condition = this.conditions.compile(rule.condition);
    const answer = this.#answer(condition);
    if (answer === false) return [];
    const failure = typeof answer === 'string' && answer !== 'open' ? answer : undefined;
    return [{ rule, open: answer === 'open' ? condition : undefined, failure }];
  }

  /** Whether the condition is met, as far as that is decided by caller and method. */
  #answer(condition: Condition): boolean | string {
    const { dependsOn } = condition;
    if (dependsOn.has('call') || (dependsOn.has('model') && this.method.readsModel)) return 'open';
    const { view } = this;
    const matter = { caller: view, method: this.method.fullName, model: '', version: '', facts: undefined };
    const met = this.conditions.ask(condition, matter);
    return typeof met === 'boolean' ? met : met.failed;
  }
}

/** Most grants have no condition: nothing is made for them. */
const NONE: readonly Condition[] = [];

function byForce(denials: readonly OpenDenial[]): Denials {
  return {
    inForce: denials.filter(({ rule }) => !rule.shadow),
    inShadow: denials.filter(({ rule }) => rule.shadow),
  };
}

function ordered(grants: readonly OpenGrant[]): readonly OpenGrant[] {
  const usable = grants.filter(({ standing: { lacks } }) => lacks === undefined).sort(longestFirst);
  return [...usable, ...grants.filter(({ standing: { lacks } }) => lacks !== undefined)];
}

function longestFirst({ standing: one }: OpenGrant, { standing: other }: OpenGrant): number {
  return one.until === other.until ? 0 : other.until - one.until;
}
