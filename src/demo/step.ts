/**
 * A step of the demo: what it shows, what that proves, and the checks that it has to pass. A step without a check proves
 * nothing, and counts as failed.
 */

import type { Outcome } from './outcome.ts';
import type { Ink } from './render/ink.ts';
import type { Stage } from './stage.ts';

export interface Step {
  readonly title: string;
  /** One sentence: what has been proven when the checks pass. */
  readonly proves: string;
  run(stage: Stage, ink: Ink): Promise<StepResult>;
}

export interface StepResult {
  /** Pictures and tables, printed before the checks. */
  readonly lines: readonly string[];
  readonly checks: readonly Check[];
}

export interface Check {
  readonly what: string;
  readonly seen: string;
  readonly passed: boolean;
  /** Printed when it did not pass. */
  readonly expected: string;
}

/** A check of anything. */
export function check(what: string, seen: string, passed: boolean, expected: string): Check {
  return { what, seen, passed, expected };
}

/** A call must have ended with this status and, for a refusal, this reason. */
export function expectOutcome(what: string, outcome: Outcome<unknown>, code: string, reason = ''): Check {
  const describe = (aCode: string, aReason: string): string => (aReason === '' ? aCode : `${aCode}  ${aReason}`);
  const passed = outcome.code === code && outcome.reason === reason;
  const detail = passed || outcome.message === '' ? '' : `  (${outcome.message})`;
  const seen = `${describe(outcome.code, outcome.reason)}  ${outcome.elapsedMs.toFixed(1)} ms${detail}`;
  return check(what, seen, passed, describe(code, reason));
}
