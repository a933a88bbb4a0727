/**
 * A rule's condition in CEL: parsed, held to the subset and type-checked once, then asked about calls.
 *
 * Pure: all that it looks at is given. One that cannot be evaluated (an attribute is absent, a list too long) is neither true nor false, and
 * says why: what that means is for the rule to decide, and every rule decides against the call.
 */
import { type Context, type Environment, EvaluationError } from '@marcbachmann/cel-js';
import { err, ok, type Result } from '../kernel/result.ts';
import {
  CALLER_ATTRIBUTES,
  type CallAttributes,
  type CallerAttributes,
  type Declared,
  type Dependence,
  MAX_LIST_MEMBERS,
} from './attributes.ts';
import { environmentOf, RUNNING_LIMITS } from './environment.ts';
import { type Flaw, type Reading, readExpression } from './subset.ts';

/** Characters of an expression. */
export const MAX_CONDITION_LENGTH = 2048;
/** Expressions that are kept compiled, of all tenants of a thread: rules are written once and used by many. */
export const MAX_KEPT_CONDITIONS = 4096;

/** What a condition looks at. */
export interface Activation {
  caller: CallerAttributes;
  call: CallAttributes;
  /** Of `Conditions.claims`. */
  claims: object;
}

/** It could not be evaluated. */
export interface ConditionFailure {
  readonly failed: string;
}

/** What is wrong with an expression. Line and column in it, from 1. */
export interface ConditionProblem {
  readonly message: string;
  readonly fix: string;
  readonly line: number;
  readonly column: number;
}

export class Condition {
  /** As written. */
  readonly text: string;
  readonly dependsOn: ReadonlySet<Dependence>;
  /** Header names that it asks for. */
  readonly metadata: readonly string[];
  /** Attributes that it reads: `claims.groups`. */
  readonly attributes: readonly string[];
  readonly #lists: readonly string[];
  readonly #run: (context: Context) => unknown;

  constructor(text: string, reading: Reading, lists: readonly string[], run: (context: Context) => unknown) {
    this.text = text;
    this.dependsOn = reading.dependsOn;
    this.metadata = [...reading.metadata];
    this.attributes = [...reading.attributes];
    this.#lists = lists;
    this.#run = run;
  }

  evaluate(activation: Activation): boolean | ConditionFailure {
    for (const list of this.#lists) {
      const members = valueAt(activation, list);
      if (Array.isArray(members) && members.length > MAX_LIST_MEMBERS) {
        return { failed: `${list} has more than ${MAX_LIST_MEMBERS} members` };
      }
    }
    try {
      const value = this.#run(activation);
      return typeof value === 'boolean' ? value : { failed: 'it is neither true nor false' };
    } catch (cause) {
      return { failed: failureText(cause) };
    }
  }

  /** The attributes that it read, with their values: `caller.acr = "gold"`. For explanations, not for records: claims are personal. */
  seen(activation: Activation): readonly string[] {
    return this.attributes.flatMap((attribute) => {
      const value = valueAt(activation, attribute);
      if (attribute === 'call.metadata') {
        return this.metadata.map((name) => `${attribute}["${name}"] = ${valueText(activation.call.metadata[name])}`);
      }
      return [`${attribute} = ${valueText(value)}`];
    });
  }
}

/** Compiles the conditions of tenants that declare the same. */
export class Conditions {
  readonly #declared: Declared;
  readonly #environment: Environment;
  /** For what is written anew, which is a little longer. */
  readonly #running: Environment;
  readonly #claims: new () => Record<string, unknown>;
  readonly #lists: ReadonlySet<string>;
  readonly #compiled = new Map<string, Result<Condition, ConditionProblem>>();

  constructor(declared: Declared) {
    this.#declared = declared;
    // A class of its own for each: CEL knows a value's type by its constructor.
    this.#claims = class Claims {
      [claim: string]: unknown;
    };
    this.#environment = environmentOf(declared, this.#claims);
    this.#running = this.#environment.clone({ limits: RUNNING_LIMITS });
    const lists = (group: string, types: Readonly<Record<string, { readonly type: string }>>): readonly string[] =>
      Object.entries(types).flatMap(([name, { type }]) => (type === 'strings' ? [`${group}.${name}`] : []));
    const claims = Object.fromEntries(Object.entries(declared.claims).map(([name, type]) => [name, { type }]));
    this.#lists = new Set([...lists('caller', CALLER_ATTRIBUTES), ...lists('claims', claims)]);
  }

  /** The claims of one caller, as conditions read them. What is not among them is absent. */
  claims(values: ReadonlyMap<string, unknown>): object {
    const claims = new this.#claims();
    for (const [name, value] of values) claims[name] = typeof value === 'number' ? BigInt(value) : value;
    return claims;
  }

  /** Compiles an expression, or says what is wrong with it. The same one gives the same object. */
  compile(text: string): Result<Condition, ConditionProblem> {
    const known = this.#compiled.get(text);
    if (known !== undefined) return known;
    const compiled = this.#compile(text);
    if (this.#compiled.size >= MAX_KEPT_CONDITIONS) this.#compiled.clear();
    this.#compiled.set(text, compiled);
    return compiled;
  }

  #compile(text: string): Result<Condition, ConditionProblem> {
    if (text.length > MAX_CONDITION_LENGTH) {
      return err({
        message: `is longer than ${MAX_CONDITION_LENGTH} characters`,
        fix: 'shorten it',
        line: 1,
        column: 1,
      });
    }
    try {
      const parsed = this.#environment.parse(text);
      const reading = readExpression(parsed.ast, this.#declared);
      if ('message' in reading) return err(placed(reading, text));
      const { valid, type, error } = parsed.check();
      if (!valid) return err(placed(flawOf(error), text));
      if (type !== 'bool') {
        return err(
          placed(
            { message: `is ${type ?? 'nothing'}, not true or false`, fix: 'compare it with a value', at: 0 },
            text,
          ),
        );
      }
      const run = this.#running.parse(reading.text);
      if (!run.check().valid) throw new Error('an expression that is well typed is not when it is written anew');
      const lists = [...reading.attributes].filter((attribute) => this.#lists.has(attribute));
      return ok(new Condition(text, reading, lists, run));
    } catch (cause) {
      if (!(cause instanceof Error) || cause.name !== 'ParseError') throw cause;
      return err(placed(flawOf(cause), text));
    }
  }
}

const sharedConditions = new Map<string, Conditions>();
const MAX_SHARED = 256;

/** The conditions of all tenants that declare this, of this thread. */
export function conditionsOf(declared: Declared): Conditions {
  const key = JSON.stringify([
    Object.keys(declared.claims)
      .toSorted()
      .map((name) => [name, declared.claims[name]]),
    declared.metadata.toSorted(),
  ]);
  let shared = sharedConditions.get(key);
  if (shared === undefined) {
    shared = new Conditions(declared);
    if (sharedConditions.size >= MAX_SHARED) sharedConditions.clear();
    sharedConditions.set(key, shared);
  }
  return shared;
}

function valueAt(activation: Activation, attribute: string): unknown {
  const dot = attribute.indexOf('.');
  const group: object = activation[attribute.slice(0, dot) as keyof Activation];
  return Reflect.get(group, attribute.slice(dot + 1));
}

function valueText(value: unknown): string {
  if (value === undefined) return 'absent';
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? 'absent');
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}

/** What CEL says of it, without the picture of the expression. */
function failureText(cause: unknown): string {
  if (cause instanceof EvaluationError) return cause.summary;
  return cause instanceof Error ? cause.message : 'it threw';
}

function flawOf(error: unknown): Flaw {
  const summary = error instanceof Error && 'summary' in error ? String(error.summary) : 'it cannot be read';
  const range = error instanceof Error && 'range' in error ? error.range : undefined;
  const at = typeof range === 'object' && range !== null && 'start' in range ? Number(range.start) : 0;
  return { message: summary, fix: fixOf(error), at };
}

function fixOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'no_such_overload') return 'compare values of one type: the manual has the type of every attribute';
  if (code.startsWith('limit') || code.includes('exceeded')) return 'make it shorter, or two rules of it';
  return 'correct the expression: conditions are CEL';
}

function placed({ message, fix, at }: Flaw, text: string): ConditionProblem {
  const before = text.slice(0, at).split('\n');
  return { message, fix, line: before.length, column: (before.at(-1) ?? '').length + 1 };
}
