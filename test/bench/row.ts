/**
 * What the bench has measured: one row per subject, axis and metric, with the median of the rounds and their spread.
 */

export type SubjectName = 'bulkhead' | 'haproxy' | 'nginx' | 'envoy' | 'direct';
export type Features = 'relay' | 'everything';

export interface Row {
  readonly subject: SubjectName;
  readonly features: Features;
  readonly axis: string;
  readonly metric: Metric;
  readonly unit: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Every metric and its unit. */
export const UNITS = {
  cpu_per_call: 'us',
  calls_per_second: '1/s',
  latency_p50: 'us',
  latency_p99: 'us',
  added_p50: 'us',
  added_p99: 'us',
  cpu_per_connection: 'us',
  connections_per_second: '1/s',
  rss_idle: 'B',
  rss_per_connection: 'B',
  start_seconds: 's',
  idle_cpu: 'share of a core',
  reload_seconds: 's',
  failed_calls: '1',
  p99_ratio: '1',
  p99_ratio_with_load: '1',
} as const;
export type Metric = keyof typeof UNITS;

/** The row of one metric's rounds. Throws a RangeError when there are none. */
export function rowOf(
  of: { readonly name: SubjectName; readonly features: Features },
  axis: string,
  metric: Metric,
  values: readonly number[],
): Row {
  if (values.length === 0) throw new RangeError(`${metric} of ${of.name} on ${axis} was not measured`);
  return {
    subject: of.name,
    features: of.features,
    axis,
    metric,
    unit: UNITS[metric],
    median: rounded(median(values)),
    min: rounded(Math.min(...values)),
    max: rounded(Math.max(...values)),
  };
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** More digits than these say more of the machine's mood than of the subject. */
function rounded(value: number): number {
  return Number(value.toPrecision(5));
}
