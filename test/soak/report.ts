/**
 * What a soak comes to, for people and for machines.
 */
import { STATUS_NAMES } from '../../src/telemetry/names.ts';
import type { Happened } from './events.ts';
import type { Check } from './judge.ts';
import type { Ledger, SoakCall } from './ledger.ts';
import type { ProcessWatch } from './process-watch.ts';
import type { MatchCounts } from './record-match.ts';

export interface SoakReport {
  readonly seed: number;
  readonly minutes: number;
  readonly ok: boolean;
  readonly kinds: readonly KindRow[];
  readonly events: readonly Happened[];
  readonly checks: readonly Check[];
  readonly counts: MatchCounts;
  readonly processes: readonly ProcessRow[];
  readonly violationCount: number;
  readonly violations: readonly string[];
}

export interface KindRow {
  readonly kind: string;
  readonly calls: number;
  readonly ends: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface ProcessRow {
  readonly name: string;
  readonly residentMib: number;
  readonly residentMibPerMinute: number | undefined;
  readonly descriptors: number;
  readonly descriptorsPerMinute: number | undefined;
}

const MIB = 1024 * 1024;

/** One row for each kind of call. */
export function kindRows(ledger: Ledger): readonly KindRow[] {
  const kinds = Map.groupBy(ledger.calls, ({ kind, via }) => (via === 'egress' ? `${kind} (egress)` : kind));
  return [...kinds]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([kind, calls]) => {
      const times = calls.map(({ startedAt, endedAt }) => endedAt - startedAt).toSorted((a, b) => a - b);
      const ends = Object.fromEntries(
        [...Map.groupBy(calls, endName)].map(([end, ended]) => [end, ended.length] as const),
      );
      return { kind, calls: calls.length, ends, p50Ms: quantile(times, 0.5), p99Ms: quantile(times, 0.99) };
    });
}

export function processRow(watch: ProcessWatch, settledMs: number): ProcessRow {
  const slope = watch.slope(settledMs, 'residentBytes');
  return {
    name: watch.name,
    residentMib: round(watch.mean(settledMs, 'residentBytes') / MIB),
    residentMibPerMinute: slope === undefined ? undefined : round(slope / MIB),
    descriptors: round(watch.mean(settledMs, 'descriptors')),
    descriptorsPerMinute: roundIf(watch.slope(settledMs, 'descriptors')),
  };
}

/** The tables that the run prints at its end. */
export function reportText(report: SoakReport): string {
  const lines: string[] = ['', `seed ${report.seed}, ${report.minutes} minutes`, ''];
  lines.push(row('calls', 'count', 'p50 ms', 'p99 ms', 'came to'));
  for (const { kind, calls, ends, p50Ms, p99Ms } of report.kinds) {
    const came = Object.entries(ends).map(([end, count]) => `${end} ${count}`);
    lines.push(row(kind, calls, p50Ms, p99Ms, came.join(', ')));
  }
  const all = report.kinds.reduce((sum, { calls }) => sum + calls, 0);
  lines.push(row('all', all, '', '', ''), '');
  for (const { name, atMs, tookMs, detail } of report.events)
    lines.push(`${(atMs / 1000).toFixed(0).padStart(5)} s  ${name}: ${tookMs} ms${detail === '' ? '' : `, ${detail}`}`);
  lines.push('');
  for (const process of report.processes) {
    const { name, residentMib, residentMibPerMinute, descriptors, descriptorsPerMinute } = process;
    lines.push(
      `${name}: ${residentMib} MiB resident (${residentMibPerMinute ?? '?'} MiB a minute), ` +
        `${descriptors} descriptors (${descriptorsPerMinute ?? '?'} a minute)`,
    );
  }
  const { ingressRecords, egressRecords, unrecorded, lostWithWorker, tooLargeToRepeat } = report.counts;
  lines.push(
    `records: ${ingressRecords} at the ingress, ${egressRecords} at the egress; ${unrecorded} calls never reached a sidecar ` +
      `or were cut with their connection (${lostWithWorker} had an answer begun); ${tooLargeToRepeat} that crossed a GOAWAY were too large to be repeated`,
  );
  lines.push('');
  for (const { name, ok, detail } of report.checks)
    lines.push(`${ok ? 'ok  ' : 'FAIL'} ${name}${detail === '' ? '' : ` (${detail})`}`);
  for (const violation of report.violations.slice(0, SHOWN_VIOLATIONS)) lines.push(`FAIL ${violation}`);
  const failed = report.checks.filter(({ ok }) => !ok).length;
  lines.push('', report.ok ? 'PASSED' : `FAILED: ${failed} checks, ${report.violationCount} violations`, '');
  return lines.join('\n');
}

const SHOWN_VIOLATIONS = 40;

function endName({ end }: SoakCall): string {
  if (end === undefined) return 'no end';
  switch (end.kind) {
    case 'status':
      return STATUS_NAMES[end.status] ?? `status ${end.status}`;
    case 'reset':
      return `reset ${end.code}`;
    case 'connection':
      return 'connection lost';
    default:
      return end.kind;
  }
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function row(kind: string, ...cells: readonly (string | number)[]): string {
  const [count = '', p50 = '', p99 = '', came = ''] = cells.map(String);
  return `${kind.padEnd(36)} ${count.padStart(8)} ${p50.padStart(8)} ${p99.padStart(8)}  ${came}`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function roundIf(value: number | undefined): number | undefined {
  return value === undefined ? undefined : round(value);
}
