/**
 * The file that a run leaves, and from which the chart and the tables can be made again.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Verdict } from './goals.ts';
import type { Machine } from './machine.ts';
import type { Row } from './row.ts';

export interface BenchResult {
  readonly plan: string;
  readonly startedAt: string;
  readonly machine: Machine;
  /** Share of the machine's CPU that others used during the run. */
  readonly othersShare: number;
  readonly rows: readonly Row[];
  readonly goals: readonly Verdict[];
}

export function writeResult(file: string, result: BenchResult): void {
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
}

/** Reads what `writeResult` wrote. Throws when it is something else. */
export function readResult(file: string): BenchResult {
  const result: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (typeof result !== 'object' || result === null || !('rows' in result) || !('machine' in result)) {
    throw new Error(`${file} is not a result of the bench`);
  }
  // Written by `writeResult`, by a version of the bench that is in the same commit.
  return result as BenchResult;
}
