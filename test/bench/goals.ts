/**
 * What the sidecar must reach, as ratios within one run, and whether it did. A goal whose rows were not measured is not judged.
 */
import type { Say } from './contender.ts';
import type { Features, Metric, Row, SubjectName } from './row.ts';

/** One value: whose, on which axis (by its beginning), of which metric. */
type Of = readonly [SubjectName, Features, string, Metric];

interface Goal {
  readonly text: string;
  readonly value: Of;
  /** What it is divided by; without it the value itself is judged. */
  readonly base?: Of;
  readonly atMost: number;
  /** The value's unit in so many of the row's. */
  readonly scale?: number;
  readonly unit?: string;
}

export interface Verdict {
  readonly goal: string;
  readonly value: number;
  readonly atMost: number;
  readonly unit: string;
  readonly met: boolean;
}

const cpu = (subject: SubjectName, features: Features, axis: string): Of => [subject, features, axis, 'cpu_per_call'];

function ratioGoals(
  value: Features,
  base: readonly [SubjectName, Features],
  baseText: string,
  goals: readonly (readonly [axis: string, atMost: number])[],
): readonly Goal[] {
  return goals.map(([axis, atMost]) => ({
    text: `${value}, CPU per call ÷ ${baseText}, ${axis}`,
    value: cpu('bulkhead', value, axis),
    base: cpu(...base, axis),
    atMost,
  }));
}

const HAPROXY = ['haproxy', 'relay'] as const;
const ENVOY = ['envoy', 'everything'] as const;
const ONE_MIB = '10x1 1MiB';

const added = (features: Features, metric: 'added_p50' | 'added_p99'): Goal => ({
  text: `${features}, ${metric === 'added_p50' ? 'p50' : 'p99'} added ÷ HAProxy's, open loop`,
  value: ['bulkhead', features, 'open loop', metric],
  base: [...HAPROXY, 'open loop', metric],
  atMost: 1,
});

const everything = (axis: string, metric: Metric): Of => ['bulkhead', 'everything', axis, metric];

const GOALS: readonly Goal[] = [
  ...ratioGoals('relay', HAPROXY, 'HAProxy', [
    ['10x50', 0.4],
    ['10x1', 0.85],
    ['1x1', 1],
  ]),
  ...ratioGoals('everything', ENVOY, 'Envoy with the same on', [
    ['10x50', 0.25],
    ['10x1', 0.5],
    ['1x1', 0.5],
  ]),
  ...ratioGoals('everything', HAPROXY, "HAProxy's bare relay", [
    ['10x50', 1],
    ['10x1', 1],
  ]),
  ...ratioGoals('relay', HAPROXY, 'HAProxy', [[ONE_MIB, 1.2]]),
  ...ratioGoals('everything', HAPROXY, "HAProxy's bare relay", [[ONE_MIB, 1.2]]),
  ...(['relay', 'everything'] as const).flatMap((features) => [
    added(features, 'added_p50'),
    added(features, 'added_p99'),
  ]),
  {
    text: 'two workers, CPU per call ÷ one worker, 10x50',
    value: everything('10x50, 2 workers', 'cpu_per_call'),
    base: everything('10x50, 1 worker', 'cpu_per_call'),
    atMost: 1.1,
  },
  {
    text: 'everything, resident just after the start',
    value: everything('1000 idle connections', 'rss_idle'),
    atMost: 120,
    scale: 1e6,
    unit: 'MB',
  },
  {
    text: 'everything, resident per idle mTLS connection',
    value: everything('1000 idle connections', 'rss_per_connection'),
    atMost: 90,
    scale: 1e3,
    unit: 'KB',
  },
  {
    text: '10,000 tenants, CPU per call ÷ one tenant, 10x50',
    value: everything('10x50, 10000 tenants', 'cpu_per_call'),
    base: everything('10x50, 1 tenant', 'cpu_per_call'),
    atMost: 1.05,
  },
  { text: '10,000 tenants, start', value: everything('10000 tenants', 'start_seconds'), atMost: 10, unit: 's' },
  {
    text: '10,000 tenants, reload of one under load without a failed call',
    value: everything('10000 tenants', 'reload_seconds'),
    atMost: 1,
    unit: 's',
  },
];

/** Judges the goals whose rows are there. */
export function judge(rows: readonly Row[]): readonly Verdict[] {
  const find = ([subject, features, axis, metric]: Of): number | undefined =>
    rows.find(
      (row) =>
        row.subject === subject &&
        row.features === features &&
        row.metric === metric &&
        (row.axis === axis || (axis === 'open loop' && row.axis.startsWith(axis))),
    )?.median;
  return GOALS.flatMap(({ text, value, base, atMost, scale = 1, unit = '×' }) => {
    const measured = find(value);
    const divisor = base === undefined ? scale : find(base);
    if (measured === undefined || divisor === undefined) return [];
    const result = measured / divisor;
    return [{ goal: text, value: Number(result.toPrecision(4)), atMost, unit, met: result <= atMost }];
  });
}

/** Prints the verdicts; those that are missed say so. */
export function printVerdicts(verdicts: readonly Verdict[], say: Say): void {
  if (verdicts.length === 0) return;
  say('\nGoals');
  for (const { goal, value, atMost, unit, met } of verdicts) {
    const digits = unit === '×' ? 2 : 1;
    const measured = `${value.toFixed(digits)} ${unit}`.padStart(10);
    say(`  ${met ? 'met   ' : 'MISSED'} ${measured}  (at most ${atMost} ${unit})`.padEnd(44) + goal);
  }
}
