/**
 * All counts of the process, and how Prometheus reads them (text format 0.0.4).
 *
 * Series are bounded: tenants are those of the configuration (anything else is `_other`, and beyond the cap `_overflow`),
 * and every other label comes from a closed list.
 */
import type { MetricsDelta, TenantDelta } from './metrics.ts';
import {
  COUNTERS,
  type CounterName,
  DURATION_BUCKETS_SECONDS,
  DURATION_HISTOGRAM,
  GAUGES,
  type GaugeName,
  OTHER_TENANT,
  OVERFLOW,
  statusText,
} from './names.ts';

/** Tenants that have series of their own. Beyond it memory and scrapes would grow with the number of tenants that ever were. */
export const MAX_TENANTS = 20_000;

export interface MetricsRegistryOptions {
  readonly maxTenants?: number;
}

interface Durations {
  readonly buckets: Float64Array;
  sumMicros: number;
}

export class MetricsRegistry {
  readonly #maxTenants: number;
  /** Undefined: not told yet, every tenant counts as configured. */
  #configured: ReadonlySet<string> | undefined;
  readonly #seen = new Set<string>();
  readonly #counters = new Map<CounterName, Map<string, number>>();
  readonly #gauges = new Map<GaugeName, Map<string, number>>();
  readonly #durations = new Map<string, Durations>();

  constructor(options: MetricsRegistryOptions = {}) {
    this.#maxTenants = options.maxTenants ?? MAX_TENANTS;
  }

  /** Says which tenants the configuration has. Series of tenants that are gone are dropped. */
  setTenants(tenants: Iterable<string>): void {
    const configured = new Set(tenants);
    this.#configured = configured;
    for (const tenant of this.#seen) {
      if (configured.has(tenant) || tenant === OTHER_TENANT || tenant === OVERFLOW) continue;
      this.#seen.delete(tenant);
      this.#durations.delete(tenant);
      const prefix = `tenant="${escapeLabel(tenant)}"`;
      for (const series of [...this.#counters.values(), ...this.#gauges.values()]) {
        for (const labels of series.keys())
          if (labels === prefix || labels.startsWith(`${prefix},`)) series.delete(labels);
      }
    }
  }

  /** Adds what a worker has counted since it was last asked. */
  merge(worker: string, delta: MetricsDelta): void {
    for (const tenant of delta.tenants) this.#mergeTenant(tenant);
    for (const [reason, count] of delta.refusals) this.count('bulkhead_refusals_total', { reason }, count);
    this.count('bulkhead_worker_reports_total', { worker });
  }

  /** Adds to a counter. Labels must be exactly the counter's. */
  count(name: CounterName, labels: Readonly<Record<string, string>> = {}, by = 1): void {
    add(this.#counters, name, this.#labelText(COUNTERS[name].labels, labels), by);
  }

  /** Sets a counter that is kept elsewhere to what it has come to. Labels must be exactly the counter's. */
  setCounter(name: CounterName, value: number, labels: Readonly<Record<string, string>>): void {
    seriesOf(this.#counters, name).set(this.#labelText(COUNTERS[name].labels, labels), value);
  }

  /** Sets a gauge. Labels must be exactly the gauge's. */
  setGauge(name: GaugeName, value: number, labels: Readonly<Record<string, string>> = {}): void {
    seriesOf(this.#gauges, name).set(this.#labelText(GAUGES[name].labels, labels), value);
  }

  /** Forgets a gauge's series, before those that are left are set anew. */
  clearGauge(name: GaugeName): void {
    this.#gauges.delete(name);
  }

  /** Prometheus text format 0.0.4. */
  render(): string {
    const out: string[] = [];
    for (const name of keysOf(COUNTERS)) renderFamily(out, name, 'counter', COUNTERS[name], this.#counters.get(name));
    this.#renderDurations(out);
    for (const name of keysOf(GAUGES)) renderFamily(out, name, 'gauge', GAUGES[name], this.#gauges.get(name));
    return out.join('');
  }

  #mergeTenant(delta: TenantDelta): void {
    const tenant = this.#tenantLabel(delta.tenant);
    for (const [method, codes] of delta.calls) {
      for (const [status, count] of codes.entries()) {
        const code = statusText(status);
        if (count > 0) this.count('bulkhead_calls_total', { tenant, method, code }, count);
      }
    }
    for (const [reason, count] of delta.denials) this.count('bulkhead_denials_total', { tenant, reason }, count);
    for (const verdict of ['allow', 'deny'] as const) {
      const count = delta.shadows[verdict];
      if (count > 0) this.count('bulkhead_shadow_decisions_total', { tenant, verdict }, count);
    }
    const { waits } = delta;
    if (waits.calls > 0) {
      this.count('bulkhead_queue_waits_total', { tenant }, waits.calls);
      this.count('bulkhead_queue_wait_seconds_total', { tenant }, waits.micros / 1_000_000);
    }
    for (const answer of ['ok', 'over_limit', 'unavailable'] as const) {
      const count = delta.rateAnswers[answer];
      if (count > 0) this.count('bulkhead_rate_service_answers_total', { tenant, answer }, count);
    }
    let durations = this.#durations.get(tenant);
    if (durations === undefined) {
      durations = { buckets: new Float64Array(DURATION_BUCKETS_SECONDS.length + 1), sumMicros: 0 };
      this.#durations.set(tenant, durations);
    }
    for (const [i, count] of delta.durations.entries()) durations.buckets[i] = (durations.buckets[i] ?? 0) + count;
    durations.sumMicros += delta.durationSumMicros;
  }

  #tenantLabel(tenant: string): string {
    if (this.#seen.has(tenant)) return tenant;
    if (this.#configured !== undefined && !this.#configured.has(tenant)) return OTHER_TENANT;
    if (this.#seen.size >= this.#maxTenants) return OVERFLOW;
    this.#seen.add(tenant);
    return tenant;
  }

  #labelText(names: readonly string[], labels: Readonly<Record<string, string>>): string {
    const given = Object.keys(labels);
    if (given.length !== names.length) throw new TypeError(`labels ${given.join()} are not ${names.join()}`);
    return names
      .map((name) => {
        const value = labels[name];
        if (value === undefined) throw new TypeError(`label ${name} is missing`);
        return `${name}="${escapeLabel(name === 'tenant' ? this.#tenantLabel(value) : value)}"`;
      })
      .join(',');
  }

  #renderDurations(out: string[]): void {
    const { name, help } = DURATION_HISTOGRAM;
    out.push(`# HELP ${name} ${help}\n# TYPE ${name} histogram\n`);
    for (const [tenant, { buckets, sumMicros }] of this.#durations) {
      const label = `tenant="${escapeLabel(tenant)}"`;
      let cumulative = 0;
      for (const [i, count] of buckets.entries()) {
        cumulative += count;
        out.push(`${name}_bucket{${label},le="${DURATION_BUCKETS_SECONDS[i] ?? '+Inf'}"} ${cumulative}\n`);
      }
      out.push(`${name}_sum{${label}} ${sumMicros / 1_000_000}\n${name}_count{${label}} ${cumulative}\n`);
    }
  }
}

function renderFamily(
  out: string[],
  name: string,
  type: 'counter' | 'gauge',
  family: { readonly labels: readonly string[]; readonly help: string },
  series: ReadonlyMap<string, number> | undefined,
): void {
  out.push(`# HELP ${name} ${family.help}\n# TYPE ${name} ${type}\n`);
  // A counter without labels is there from the start, so that its first increase is seen as one.
  if (series === undefined && family.labels.length === 0 && type === 'counter') out.push(`${name} 0\n`);
  for (const [labels, value] of series ?? []) out.push(`${name}${labels === '' ? '' : `{${labels}}`} ${value}\n`);
}

function seriesOf<K>(families: Map<K, Map<string, number>>, name: K): Map<string, number> {
  let series = families.get(name);
  if (series === undefined) {
    series = new Map();
    families.set(name, series);
  }
  return series;
}

function add<K>(families: Map<K, Map<string, number>>, name: K, labels: string, by: number): void {
  const series = seriesOf(families, name);
  series.set(labels, (series.get(labels) ?? 0) + by);
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function keysOf<T extends object>(table: T): (keyof T & string)[] {
  // `Object.keys` of a constant table gives exactly its keys.
  return Object.keys(table) as (keyof T & string)[];
}
