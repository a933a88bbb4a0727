import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { gcraOf, nextArrival, underNewLimit, waitMicros } from '../../../src/quota/gcra.ts';

/** The same algorithm over whole 1/256 µs in BigInt: nothing can round. */
class Model {
  #arrival = 0n;
  readonly #interval: bigint;
  readonly #tolerance: bigint;

  constructor(intervalMicros: number, burst: number) {
    this.#interval = BigInt(intervalMicros * 256);
    this.#tolerance = this.#interval * BigInt(burst);
  }

  take(nowMicros: number): bigint {
    const now = BigInt(nowMicros) * 256n;
    const next = (this.#arrival > now ? this.#arrival : now) + this.#interval;
    const wait = next - now - this.#tolerance;
    if (wait <= 0n) this.#arrival = next;
    return wait > 0n ? wait : 0n;
  }
}

function takeUntilRefused(callsPerSecond: number, burst: number, now: number): number {
  const gcra = gcraOf({ callsPerSecond, burst });
  let arrival = Number.NEGATIVE_INFINITY;
  let granted = 0;
  for (; granted < 10_000; granted++) {
    const next = nextArrival(gcra, arrival, now);
    if (waitMicros(gcra, next, now) > 0) break;
    arrival = next;
  }
  return granted;
}

describe('GCRA', () => {
  it('grants a burst of n at once and refuses n + 1', () => {
    for (const burst of [1, 2, 7, 1000]) {
      expect(takeUntilRefused(3, burst, 0)).toBe(burst);
      expect(takeUntilRefused(1_000_000, burst, 5)).toBe(burst);
      expect(takeUntilRefused(0.1, burst, 1e12 + 1)).toBe(burst);
    }
  });

  it('says exactly when the next call may go: refused a tick before, granted then', () => {
    const gcra = gcraOf({ callsPerSecond: 3, burst: 1 });
    const arrival = nextArrival(gcra, Number.NEGATIVE_INFINITY, 1000);
    const wait = waitMicros(gcra, nextArrival(gcra, arrival, 1000), 1000);
    expect(wait).toBe(gcra.intervalMicros);
    const then = 1000 + wait;
    expect(waitMicros(gcra, nextArrival(gcra, arrival, then), then)).toBe(0);
    const before = then - 1 / 256;
    expect(waitMicros(gcra, nextArrival(gcra, arrival, before), before)).toBeGreaterThan(0);
  });

  it('decides as exact arithmetic does, for any rate, burst and arrivals', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 1_000_000, noNaN: true }),
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 0, max: 2 ** 44 }),
        fc.array(fc.integer({ min: 0, max: 2_000_000 }), { maxLength: 200 }),
        (callsPerSecond, burst, start, gaps) => {
          const gcra = gcraOf({ callsPerSecond, burst });
          const model = new Model(gcra.intervalMicros, burst);
          let arrival = Number.NEGATIVE_INFINITY;
          let now = start;
          for (const gap of gaps) {
            now += gap;
            const next = nextArrival(gcra, arrival, now);
            const wait = Math.max(0, waitMicros(gcra, next, now));
            if (wait === 0) arrival = next;
            if (BigInt(wait * 256) !== model.take(now)) return false;
          }
          return true;
        },
      ),
    );
  });

  it('never grants more than burst + rate × time in any window', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.5, max: 100_000, noNaN: true }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.integer({ min: 0, max: 200_000 }), { minLength: 1, maxLength: 150 }),
        (callsPerSecond, burst, gaps) => {
          const gcra = gcraOf({ callsPerSecond, burst });
          const granted: number[] = [];
          let arrival = Number.NEGATIVE_INFINITY;
          let now = 0;
          for (const gap of gaps) {
            now += gap;
            const next = nextArrival(gcra, arrival, now);
            if (waitMicros(gcra, next, now) > 0) continue;
            arrival = next;
            granted.push(now);
          }
          return granted.every((from, i) =>
            granted.slice(i).every((to, n) => n + 1 <= burst + (callsPerSecond * (to - from)) / 1e6 + 1e-6),
          );
        },
      ),
    );
  });

  it('keeps a debt under a changed limit, but at most one empty bucket', () => {
    const hourly = gcraOf({ callsPerSecond: 1 / 3600, burst: 100 });
    const fast = gcraOf({ callsPerSecond: 10, burst: 5 });
    expect(underNewLimit(fast, hourly.toleranceMicros, 0)).toBe(500_000);
    expect(underNewLimit(hourly, 200_000, 0)).toBe(200_000);
    expect(underNewLimit(fast, Number.NEGATIVE_INFINITY, 0)).toBe(Number.NEGATIVE_INFINITY);
  });
});
