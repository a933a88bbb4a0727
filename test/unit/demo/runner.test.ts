import { describe, expect, it } from 'vitest';
import { plainInk } from '../../../src/demo/render/ink.ts';
import { renderCheck, runSteps } from '../../../src/demo/runner.ts';
import type { Stage } from '../../../src/demo/stage.ts';
import { check, expectOutcome, type Step } from '../../../src/demo/step.ts';

// Boundary: the steps of these tests do not look at their stage.
const stage = {} as Stage;

const step = (title: string, run: Step['run']): Step => ({ title, proves: `${title} is proven`, run });
const passing = check('it works', 'yes', true, 'yes');
const failing = check('it works', 'no', false, 'yes');

async function play(...steps: readonly Step[]): Promise<{ failures: readonly string[]; text: string }> {
  const lines: string[] = [];
  const failures = await runSteps(steps, stage, plainInk, (line) => lines.push(line));
  return { failures, text: lines.join('\n') };
}

describe('runSteps', () => {
  it('says what a step proves only when all its checks have passed', async () => {
    const good = await play(step('one', async () => ({ lines: [], checks: [passing] })));
    expect(good.failures).toEqual([]);
    expect(good.text).toContain('one is proven');
    const bad = await play(step('one', async () => ({ lines: [], checks: [passing, failing] })));
    expect(bad.failures).toEqual(['one']);
    expect(bad.text).not.toContain('one is proven');
  });

  it('counts a step without checks as failed', async () => {
    expect((await play(step('empty', async () => ({ lines: ['picture'], checks: [] })))).failures).toEqual(['empty']);
  });

  it('goes on after a step that throws, and counts it as failed', async () => {
    const broken = step('broken', () => Promise.reject(new Error('no such file')));
    const { failures, text } = await play(
      broken,
      step('next', async () => ({ lines: [], checks: [passing] })),
    );
    expect(failures).toEqual(['broken']);
    expect(text).toContain('no such file');
    expect(text).toContain('next is proven');
  });
});

describe('renderCheck', () => {
  it('says what was expected when it was not seen', () => {
    expect(renderCheck(failing, plainInk)).toMatch(/^✗ it works +no, expected yes$/);
  });
});

describe('expectOutcome', () => {
  const outcome = {
    code: 'PERMISSION_DENIED',
    reason: 'MODEL_ACCESS_DENIED',
    message: 'not allowed',
    retryAfterMs: undefined,
    pushbackMs: undefined,
    response: undefined,
    elapsedMs: 1,
  };

  it('passes only with both the status and the reason', () => {
    expect(expectOutcome('a', outcome, 'PERMISSION_DENIED', 'MODEL_ACCESS_DENIED').passed).toBe(true);
    expect(expectOutcome('a', outcome, 'PERMISSION_DENIED').passed).toBe(false);
    expect(expectOutcome('a', outcome, 'PERMISSION_DENIED', 'TENANT_MISMATCH').passed).toBe(false);
    expect(expectOutcome('a', outcome, 'OK', 'MODEL_ACCESS_DENIED').passed).toBe(false);
  });
});
