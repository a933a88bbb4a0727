/**
 * What a data-plane thread counts. Counting a call is two Map look-ups and a few additions in typed arrays (about 0.1 µs);
 * everything that has to do with names and text happens in `metrics-registry.ts` on the main thread.
 */
import { DURATION_BUCKETS_SECONDS, OVERFLOW, STATUS_NAMES } from './names.ts';

export { MetricsRegistry } from './metrics-registry.ts';

/** What was counted since the last `drain`: plain data for another thread. */
export interface MetricsDelta {
  readonly tenants: readonly TenantDelta[];
  readonly refusals: ReadonlyMap<string, number>;
}

export interface TenantDelta {
  readonly tenant: string;
  /** Per method: calls by gRPC status number. */
  readonly calls: ReadonlyMap<string, Float64Array>;
  /** Calls by duration; not cumulative, the last is what exceeds all bounds. */
  readonly durations: Float64Array;
  readonly durationSumMicros: number;
  readonly denials: ReadonlyMap<string, number>;
  /** Calls that rules in shadow would have decided otherwise, by what they would have decided. */
  readonly shadows: Readonly<Record<'allow' | 'deny', number>>;
  /** Calls that had to wait for their turn, and how long all of them together. */
  readonly waits: { readonly calls: number; readonly micros: number };
  /** What its rate limit service said. */
  readonly rateAnswers: Readonly<Record<RateServiceOutcome, number>>;
}

/** What a tenant's rate limit service said of a call; `unavailable`: nothing. */
export type RateServiceOutcome = 'ok' | 'over_limit' | 'unavailable';

/** Methods that one tenant's rows are kept for; a method table is far smaller. More is counted as `_overflow`. */
export const MAX_METHODS_PER_TENANT = 256;
/** Reasons of denials and refusals that are kept apart. There are about 30; this guards against one that varies. */
export const MAX_REASONS = 128;

const BOUNDS_MICROS = Float64Array.from(DURATION_BUCKETS_SECONDS, (seconds) => seconds * 1_000_000);
const UNKNOWN = 2;

class TenantRow implements TenantDelta {
  readonly tenant: string;
  readonly calls = new Map<string, Float64Array>();
  readonly durations = new Float64Array(BOUNDS_MICROS.length + 1);
  durationSumMicros = 0;
  readonly denials = new Map<string, number>();
  readonly shadows = { allow: 0, deny: 0 };
  readonly waits = { calls: 0, micros: 0 };
  readonly rateAnswers = { ok: 0, over_limit: 0, unavailable: 0 };

  constructor(tenant: string) {
    this.tenant = tenant;
  }

  /** The counts of a method by status. */
  codes(method: string): Float64Array {
    const known = this.calls.get(method);
    if (known !== undefined) return known;
    const name = this.calls.size < MAX_METHODS_PER_TENANT ? method : OVERFLOW;
    const codes = this.calls.get(name) ?? new Float64Array(STATUS_NAMES.length);
    this.calls.set(name, codes);
    return codes;
  }
}

export class WorkerMetrics {
  #tenants = new Map<string, TenantRow>();
  #refusals = new Map<string, number>();
  #lastRow: TenantRow | undefined;

  /**
   * Counts a call that has ended. `tenant` and `method` must come from the configuration and the method table, never from
   * what a client sent.
   */
  call(tenant: string, method: string, status: number, durationMicros: number, denialKind: string | undefined): void {
    const row = this.#row(tenant);
    const codes = row.codes(method);
    const code = status < codes.length ? status : UNKNOWN;
    codes[code] = (codes[code] ?? 0) + 1;
    const bucket = bucketOf(durationMicros);
    row.durations[bucket] = (row.durations[bucket] ?? 0) + 1;
    row.durationSumMicros += durationMicros;
    if (denialKind !== undefined) increment(row.denials, denialKind);
  }

  /** Counts a call that rules in shadow would have decided so. */
  shadow(tenant: string, verdict: 'allow' | 'deny'): void {
    this.#row(tenant).shadows[verdict]++;
  }

  /** Counts a call that had to wait for its turn, whether it came or not. */
  waited(tenant: string, micros: number): void {
    const { waits } = this.#row(tenant);
    waits.calls += 1;
    waits.micros += micros;
  }

  /** Counts what a tenant's rate limit service said. */
  rateAnswer(tenant: string, outcome: RateServiceOutcome): void {
    this.#row(tenant).rateAnswers[outcome]++;
  }

  /** Counts something that was refused before it was a call. */
  refusal(reason: string): void {
    increment(this.#refusals, reason);
  }

  /** Takes what was counted, and counts from zero. */
  drain(): MetricsDelta {
    const delta = { tenants: [...this.#tenants.values()].map(plain), refusals: this.#refusals };
    this.#tenants = new Map();
    this.#refusals = new Map();
    this.#lastRow = undefined;
    return delta;
  }

  #row(tenant: string): TenantRow {
    const last = this.#lastRow;
    if (last?.tenant === tenant) return last;
    let row = this.#tenants.get(tenant);
    if (row === undefined) {
      row = new TenantRow(tenant);
      this.#tenants.set(tenant, row);
    }
    this.#lastRow = row;
    return row;
  }
}

function bucketOf(micros: number): number {
  let bucket = 0;
  while (bucket < BOUNDS_MICROS.length && micros > (BOUNDS_MICROS[bucket] ?? 0)) bucket++;
  return bucket;
}

function increment(counts: Map<string, number>, key: string): void {
  const count = counts.get(key);
  if (count !== undefined || counts.size < MAX_REASONS) counts.set(key, (count ?? 0) + 1);
  else counts.set(OVERFLOW, (counts.get(OVERFLOW) ?? 0) + 1);
}

/** A class instance would lose its prototype in a structured clone; make it plain before. */
function plain(row: TenantRow): TenantDelta {
  const { tenant, calls, durations, durationSumMicros, denials, shadows, waits, rateAnswers } = row;
  return { tenant, calls, durations, durationSumMicros, denials, shadows, waits, rateAnswers };
}
