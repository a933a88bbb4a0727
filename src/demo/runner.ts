/**
 * Runs the steps in order and prints each as soon as it is known. A step that throws has failed; the next ones run all the
 * same, so that one defect does not hide another.
 */
import type { Ink } from './render/ink.ts';
import type { Stage } from './stage.ts';
import type { Check, Step, StepResult } from './step.ts';

const INDENT = '     ';
const WHAT_WIDTH = 52;

/** Runs all steps; returns the titles of those that failed. */
export async function runSteps(
  steps: readonly Step[],
  stage: Stage,
  ink: Ink,
  print: (line: string) => void,
): Promise<readonly string[]> {
  const failures: string[] = [];
  for (const [index, step] of steps.entries()) {
    print('');
    print(`${ink.accent(String(index + 1).padStart(3))}  ${ink.bold(step.title)}`);
    const result = await runStep(step, stage, ink);
    if (result.lines.length > 0) print('');
    for (const line of result.lines) print(`${INDENT}${line}`.trimEnd());
    if (result.lines.length > 0) print('');
    for (const check of result.checks) print(`${INDENT}${renderCheck(check, ink)}`);
    const passed = result.checks.length > 0 && result.checks.every((check) => check.passed);
    print(`${INDENT}${passed ? ink.dim(step.proves) : ink.bad('this step did not do what it claims')}`);
    if (!passed) failures.push(step.title);
  }
  return failures;
}

async function runStep(step: Step, stage: Stage, ink: Ink): Promise<StepResult> {
  try {
    return await step.run(stage, ink);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    return {
      lines: [],
      checks: [{ what: 'the step runs to its end', seen: why, passed: false, expected: 'no error' }],
    };
  }
}

/** One line: the mark, what was checked, what was seen. */
export function renderCheck(check: Check, ink: Ink): string {
  const what = check.what.padEnd(WHAT_WIDTH);
  if (check.passed) return `${ink.good('✓')} ${what} ${check.seen}`;
  return `${ink.bad('✗')} ${what} ${ink.bad(check.seen)}, expected ${check.expected}`;
}
