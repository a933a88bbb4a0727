/**
 * Every rule that is about one call, with what became of it: for explanations. Nothing is decided here: each rule is asked by itself, by
 * what the decisions ask.
 */
import type { Caller } from '../authn/authenticator.ts';
import type { Condition } from '../conditions/condition.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import type { Authority } from './authorizer.ts';
import { DenyTable } from './deny-table.ts';
import type { AuthorizableMethod } from './method-rules.ts';
import { RoleTable } from './role-table.ts';
import { type CallFacts, type Matter, RuleConditions } from './rule-conditions.ts';
import { standing } from './standing.ts';

export interface RuleReport {
  /** With file and line. */
  readonly rule: string;
  readonly effect: 'allow' | 'deny';
  readonly shadow: boolean;
  /** `failed`: a condition could not be evaluated, which counts against the call. */
  readonly verdict: 'applies' | 'does not apply' | 'failed';
  /** Why it does not apply, or failed; empty when it applies. */
  readonly why: string;
  readonly conditions: readonly ConditionReport[];
}

export interface ConditionReport {
  /** As written. */
  readonly text: string;
  readonly met: boolean | 'failed';
  /** The attributes that it reads, with the values that they had. */
  readonly seen: readonly string[];
}

/** What is asked about. */
export interface Subject {
  readonly caller: Caller;
  readonly method: AuthorizableMethod;
  /** Both empty where the method reads none. */
  readonly model: string;
  readonly version: string;
  readonly facts: CallFacts;
}

/** Reports on the rules that name this caller and this method: denials first, as they are decided. */
export function reportRules(authority: Authority, subject: Subject, now: EpochMicros): readonly RuleReport[] {
  const conditions = new RuleConditions(authority);
  const { caller, method, model, version, facts } = subject;
  const matter: Matter = { caller: conditions.view(caller), method: method.fullName, model, version, facts };
  const denials = new DenyTable(authority).rulesFor(caller, method).map((rule): RuleReport => {
    const asked = rule.condition === undefined ? [] : [ask(conditions, rule.condition, matter)];
    const other =
      rule.namesModels && !rule.hasModel(model, version)
        ? 'it is for other models or versions'
        : rule.hasAddress(facts.peer)
          ? undefined
          : `it is not for ${facts.peer.address}`;
    return { rule: rule.rule, effect: 'deny', shadow: rule.shadow, ...outcome(asked, other), conditions: texts(asked) };
  });
  const held = new RoleTable(authority).grantsOf(caller).filter(({ grant }) => grant.role.hasMethod(method));
  const grants = held.map((each): RuleReport => {
    const { grant } = each;
    const asked = grant.conditions.map((text) => ask(conditions, text, matter));
    const { lacks } = standing(each, caller, now);
    const other =
      method.readsModel && !grant.role.hasModel(model, version)
        ? 'it is for other models or versions'
        : lacks === undefined
          ? undefined
          : `the credential does not suffice: ${lacks.kind}`;
    return {
      ...{ rule: grant.rule, effect: 'allow', shadow: grant.shadow },
      ...outcome(asked, other),
      conditions: texts(asked),
    };
  });
  return [...denials, ...grants];
}

interface Asked {
  readonly report: ConditionReport;
  readonly failure: string | undefined;
}

function ask(conditions: RuleConditions, text: string, matter: Matter): Asked {
  const condition: Condition = conditions.compile(text);
  const met = conditions.ask(condition, matter);
  const seen = conditions.seen(condition, matter);
  if (typeof met === 'boolean') return { report: { text, met, seen }, failure: undefined };
  return { report: { text, met: 'failed', seen }, failure: met.failed };
}

function outcome(asked: readonly Asked[], other: string | undefined): Pick<RuleReport, 'verdict' | 'why'> {
  if (other !== undefined) return { verdict: 'does not apply', why: other };
  if (asked.some(({ report }) => report.met === false)) {
    return { verdict: 'does not apply', why: 'its condition is not met' };
  }
  const failed = asked.find(({ failure }) => failure !== undefined);
  if (failed !== undefined) return { verdict: 'failed', why: failed.failure ?? '' };
  return { verdict: 'applies', why: '' };
}

function texts(asked: readonly Asked[]): readonly ConditionReport[] {
  return asked.map(({ report }) => report);
}
