/**
 * Usage as metrics: per tenant, and by nothing that a client can choose. One table for Prometheus and OTLP, so that both say the same.
 *
 * The sums are of all time, as they are kept on disk, so a restart does not begin them anew.
 */
import { type Numbers, numberOf, type Unit } from '../usage/units.ts';
import { AttributeKey, stringAttribute } from './attributes.ts';
import { MAX_TENANTS } from './metrics-registry.ts';
import type { CounterName } from './names.ts';
import type { ExportOutcome, OtlpRequest } from './otlp-export.ts';
import type { OtlpBatch } from './otlp-request.ts';

export interface UsageMetric {
  readonly prometheus: CounterName;
  readonly otlp: string;
  /** UCUM, as OpenTelemetry wants it. */
  readonly unit: string;
  readonly description: string;
  readonly label: 'outcome' | 'direction';
  /** What of usage each value of the label has. */
  readonly values: Readonly<Record<string, Unit>>;
}

export const USAGE_METRICS: readonly UsageMetric[] = [
  {
    prometheus: 'bulkhead_usage_calls_total',
    otlp: 'bulkhead.usage.calls',
    unit: '{call}',
    description: 'Calls on record, by outcome.',
    label: 'outcome',
    values: { ok: 'ok', denied: 'denied', failed: 'failed', cancelled: 'cancelled' },
  },
  {
    prometheus: 'bulkhead_usage_bytes_total',
    otlp: 'bulkhead.usage.bytes',
    unit: 'By',
    description: 'Bytes of the messages of calls on record.',
    label: 'direction',
    values: { request: 'requestBytes', response: 'responseBytes' },
  },
  {
    prometheus: 'bulkhead_usage_messages_total',
    otlp: 'bulkhead.usage.messages',
    unit: '{message}',
    description: 'Messages of calls on record.',
    label: 'direction',
    values: { request: 'requestMessages', response: 'responseMessages' },
  },
];

/** The sums of the tenants that are configured, at one moment. */
export interface UsageTotals {
  readonly sinceMicros: number;
  readonly atMicros: number;
  readonly tenants: readonly (readonly [tenant: string, numbers: Numbers])[];
}

/** Those of configured tenants: one that is gone has no series any more, and goes on where it was when it comes back. */
export function totalsOf(
  totals: ReadonlyMap<string, Numbers>,
  configured: readonly string[],
): readonly (readonly [string, Numbers])[] {
  return configured.slice(0, MAX_TENANTS).flatMap((tenant) => {
    const numbers = totals.get(tenant);
    return numbers === undefined ? [] : [[tenant, numbers] as const];
  });
}

/** Sends usage as OTLP metrics. */
export class UsageMetricsExport {
  readonly #batch: OtlpBatch;
  readonly #exporter: { export(request: OtlpRequest): Promise<ExportOutcome> };
  #sending = false;

  constructor(batch: OtlpBatch, exporter: { export(request: OtlpRequest): Promise<ExportOutcome> }) {
    this.#batch = batch;
    this.#exporter = exporter;
  }

  /**
   * Sends the sums. Returns why that failed; undefined: it did not, or the ones before are still under way. What is not taken is not
   * lost: the next sums have it in them.
   */
  async send(totals: UsageTotals): Promise<string | undefined> {
    if (this.#sending) return undefined;
    this.#sending = true;
    try {
      for (const metric of USAGE_METRICS) {
        for (let from = 0; from < totals.tenants.length; from += TENANTS_PER_METRIC) {
          this.#write(metric, totals, totals.tenants.slice(from, from + TENANTS_PER_METRIC));
          if (this.#batch.isFull) await this.#flush();
        }
      }
      await this.#flush();
      return undefined;
    } catch (cause) {
      return cause instanceof Error ? cause.message : String(cause);
    } finally {
      this.#batch.clear();
      this.#sending = false;
    }
  }

  async #flush(): Promise<void> {
    const entries = this.#batch.size;
    if (entries === 0) return;
    const outcome = await this.#exporter.export({ bytes: this.#batch.request(0, entries), entries });
    this.#batch.clear();
    if (outcome.kind !== 'delivered') throw new Error(outcome.why);
  }

  /** opentelemetry/proto/metrics/v1/metrics.proto: a Metric with a Sum, cumulative and monotonic. */
  #write(metric: UsageMetric, { sinceMicros, atMicros }: UsageTotals, tenants: UsageTotals['tenants']): void {
    const out = this.#batch.entries;
    const label = LABELS[metric.label];
    out.reserve(FRAMING_BYTES);
    const message = out.begin(METRIC);
    out.stringField(1, metric.otlp);
    out.stringField(2, metric.description);
    out.stringField(3, metric.unit);
    out.reserve(FRAMING_BYTES);
    const sum = out.begin(SUM);
    for (const [tenant, numbers] of tenants) {
      for (const [value, unit] of Object.entries(metric.values)) {
        out.reserve(FRAMING_BYTES);
        const point = out.begin(DATA_POINT);
        out.nanos(2, sinceMicros);
        out.nanos(3, atMicros);
        out.fixed64(6, numberOf(numbers, unit));
        stringAttribute(out, POINT_ATTRIBUTES, TENANT, tenant);
        stringAttribute(out, POINT_ATTRIBUTES, label, value);
        out.end(point);
      }
    }
    out.reserve(FRAMING_BYTES);
    out.integer(2, CUMULATIVE);
    out.integer(3, 1);
    out.end(sum);
    out.end(message);
    this.#batch.endRecord();
  }
}

/** A metric of so many stays below what a message of known length may have. */
const TENANTS_PER_METRIC = 1_000;
/** More than the tags, lengths, times and numbers of a point. */
const FRAMING_BYTES = 64;
const METRIC = 2; // in ScopeMetrics
const SUM = 7; // in Metric
const DATA_POINT = 1; // in Sum
const POINT_ATTRIBUTES = 7; // in NumberDataPoint
const CUMULATIVE = 2;
const TENANT = new AttributeKey('bulkhead.tenant.id');
const LABELS = {
  outcome: new AttributeKey('bulkhead.outcome'),
  direction: new AttributeKey('network.io.direction'),
} as const;
