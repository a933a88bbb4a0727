/**
 * What is said of limits without room for a call: all of them when one is a window or a total, since then no wait for the others
 * helps; else the calls in progress, else the rate that takes longest.
 */
import type { LimitBound } from '../config/quota-config.ts';
import type { Denial, QuotaFacts } from '../kernel/denial.ts';
import type { Exhausted, Unwritten } from './limit.ts';

/** The denial for a call that did not fit, of which `lack` has one entry at least, or for which the journal could not be written. */
export function refusalOf(lack: readonly Exhausted[] | Unwritten): Denial {
  if ('unwritten' in lack) return { kind: 'policy_unavailable', source: 'the quota journal', why: lack.unwritten };
  const exhausted = lack;
  const spent = exhausted.filter(({ bound }) => bound.kind !== 'rate' && bound.kind !== 'concurrency');
  const micros = Math.max(...exhausted.map((one) => one.micros));
  const retryAfterMs = micros === Number.POSITIVE_INFINITY ? undefined : micros / 1_000;
  if (spent.length > 0) return { kind: 'quota_exhausted', exhausted: spent.map(factsOf), retryAfterMs };
  const full = exhausted.find(({ bound }) => bound.kind === 'concurrency');
  if (full?.bound.kind === 'concurrency') {
    const { level, name } = full;
    return {
      kind: 'concurrency_limited',
      limit: full.bound.calls,
      retryAfterMs: Math.ceil(full.micros / 1_000),
      scope: level,
      name,
    };
  }
  const slowest = exhausted.reduce((one, other) => (other.micros > one.micros ? other : one));
  if (slowest.bound.kind !== 'rate') return { kind: 'internal', cause: new Error('refused by no limit') };
  const { callsPerSecond, burst } = slowest.bound;
  return {
    kind: 'rate_limited',
    scope: slowest.level,
    limit: { callsPerSecond, burst },
    retryAfterMs: slowest.micros / 1_000,
    name: slowest.name,
  };
}

function factsOf({ name, level, unit, bound, micros }: Exhausted): QuotaFacts {
  const resetMs = micros === Number.POSITIVE_INFINITY ? undefined : micros / 1_000;
  return { name, level, unit, ...measureOf(bound), resetMs };
}

/** How much, and within which time, as it is told. */
export function measureOf(bound: LimitBound): Pick<QuotaFacts, 'amount' | 'window' | 'windowSeconds'> {
  switch (bound.kind) {
    case 'calendar':
      return { amount: bound.amount, window: bound.unit, windowSeconds: SECONDS[bound.unit] };
    case 'sliding': {
      const windowSeconds = Math.ceil(bound.lengthMs / 1_000);
      return { amount: bound.amount, window: `${windowSeconds}s`, windowSeconds };
    }
    case 'total':
      return { amount: bound.amount, window: 'total', windowSeconds: undefined };
    case 'rate':
      return { amount: bound.burst, window: 'rate', windowSeconds: 1 };
    case 'concurrency':
      return { amount: bound.calls, window: 'now', windowSeconds: undefined };
  }
}

/** As a policy tells them: a month is told by its shortest, so that a client that paces itself by it is never too fast. */
const SECONDS = { minute: 60, hour: 3_600, day: 86_400, month: 28 * 86_400 } as const;
