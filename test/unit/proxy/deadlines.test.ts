import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import { clampTimeout, Deadlines } from '../../../src/proxy/deadlines.ts';

const START = 1_700_000_000_000_000;
let now = START;

/** Moves both the timers and the clock that the deadlines read. */
function pass(ms: number): void {
  for (let i = 0; i < ms; i++) {
    now += 1_000;
    vi.advanceTimersByTime(1);
  }
}

function mortal(): { expire(): void; expiredAt: number | undefined } {
  return {
    expiredAt: undefined,
    expire() {
      this.expiredAt = now - START;
    },
  };
}

describe('deadlines', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    now = START;
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('expire after the deadline, at most one slot late, and never before', () => {
    const deadlines = new Deadlines(() => now as EpochMicros);
    const call = mortal();
    deadlines.watch(call, (START + 25_000) as EpochMicros);
    pass(24);
    expect(call.expiredAt).toBeUndefined();
    pass(21);
    expect(call.expiredAt).toBeGreaterThanOrEqual(25_000);
    expect(call.expiredAt).toBeLessThanOrEqual(45_000);
  });

  it('leave alone what was forgotten', () => {
    const deadlines = new Deadlines(() => now as EpochMicros);
    const [ended, running] = [mortal(), mortal()];
    const watch = deadlines.watch(ended, (START + 20_000) as EpochMicros);
    deadlines.watch(running, (START + 20_000) as EpochMicros);
    deadlines.forget(watch);
    pass(60);
    expect(ended.expiredAt).toBeUndefined();
    expect(running.expiredAt).toBeDefined();
  });

  it('expire what was already late when it came', () => {
    const deadlines = new Deadlines(() => now as EpochMicros);
    const first = mortal();
    deadlines.watch(first, (START + 500_000) as EpochMicros);
    pass(100);
    const late = mortal();
    deadlines.watch(late, (START + 1_000) as EpochMicros);
    pass(30);
    expect(late.expiredAt).toBeDefined();
    expect(first.expiredAt).toBeUndefined();
  });

  it('keep no timer when there is nothing to watch over', () => {
    const deadlines = new Deadlines(() => now as EpochMicros);
    const call = mortal();
    const watch = deadlines.watch(call, (START + 1_000_000) as EpochMicros);
    deadlines.forget(watch);
    pass(20);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('the time that a call has', () => {
  it.each([
    [undefined, undefined, undefined],
    [5_000_000, undefined, 5_000_000],
    [undefined, 1_000, 1_000_000],
    [999_999, 1_000, 999_999],
    [1_000_000, 1_000, 1_000_000],
    [1_000_001, 1_000, 1_000_000],
    [0, 1_000, 0],
  ])('when %s µs are asked for and %s ms allowed is %s µs', (asked, allowed, expected) => {
    expect(clampTimeout(asked, allowed)).toBe(expected);
  });
});
