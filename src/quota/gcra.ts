/**
 * The generic cell rate algorithm (ATM Forum TM 4.1 §4.4.2, as virtual scheduling): a bucket is one number, the
 * theoretical arrival time at which it would be full again.
 *
 * All times are microseconds relative to an epoch of the process, as Float64. Intervals are rounded *up* to 1/256 µs, so
 * that every sum is exact while the process is younger than 2^45 µs (407 days; then to 1/128 µs). The rate in force is never
 * above what was configured, and below it by less than 4 parts in 1000 at 1,000,000 calls per second, 4 in 1,000,000 at 1000.
 */
import type { RateConfig } from '../config/quota-config.ts';

/** A rate limit in terms of time. */
export interface Gcra {
  /** Time that one call takes out of the bucket. */
  readonly intervalMicros: number;
  /** Size of the bucket: burst × interval. */
  readonly toleranceMicros: number;
}

/** The limit that grants `burst` calls at once and `callsPerSecond` in the long run. */
export function gcraOf(rate: RateConfig): Gcra {
  const intervalMicros = Math.ceil((1_000_000 / rate.callsPerSecond) * 256) / 256;
  return { intervalMicros, toleranceMicros: rate.burst * intervalMicros };
}

/** The arrival time after one more call. It may be written only if `waitMicros` of it is 0 or less. */
export function nextArrival(gcra: Gcra, arrival: number, now: number): number {
  return Math.max(arrival, now) + gcra.intervalMicros;
}

/** How long a call has to wait that would move the arrival time to `next`; 0 or less: it may go now. */
export function waitMicros(gcra: Gcra, next: number, now: number): number {
  return next - now - gcra.toleranceMicros;
}

/** How many calls could come at once. */
export function callsIn(gcra: Gcra, arrival: number, now: number): number {
  return Math.max(0, Math.floor((gcra.toleranceMicros - Math.max(0, arrival - now)) / gcra.intervalMicros));
}

/**
 * An arrival time written under another limit, as this limit sees it: the debt stays, but is at most one empty bucket.
 * Without it, a tenant whose limit is raised from 1 call per hour would still wait the hours.
 */
export function underNewLimit(gcra: Gcra, arrival: number, now: number): number {
  return Math.min(arrival, now + gcra.toleranceMicros);
}
