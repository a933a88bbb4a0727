/** Usage as tests want it: a keeper with a clock that the test sets, and answers in few words. */
import { DEFAULT_USAGE, type UsageConfig } from '../../src/config/generation.ts';
import { readStoredUsage } from '../../src/usage/stored-usage.ts';
import { diskUsageFiles } from '../../src/usage/usage-files.ts';
import { UsageKeeper } from '../../src/usage/usage-keeper.ts';
import { type UsageQuestion, type UsageReport, usageReport } from '../../src/usage/usage-report.ts';
import { type UsageVerification, verifyUsage } from '../../src/usage/usage-verify.ts';
import { micros } from './audit-records.ts';

export const HOUR = 3_600_000_000;

export interface TestKeeper {
  readonly keeper: UsageKeeper;
  readonly warnings: string[];
  /** Microseconds after the records' begin. */
  at: number;
}

export function openKeeper(directory: string, config: Partial<UsageConfig> = {}, files = diskUsageFiles): TestKeeper {
  const warnings: string[] = [];
  const clock = { at: 0 };
  const keeper = new UsageKeeper({
    auditDirectory: directory,
    config: () => ({ ...DEFAULT_USAGE, ...config }),
    now: () => micros(clock.at),
    warn: (what) => warnings.push(what),
    files,
  });
  return Object.assign(clock, { keeper, warnings });
}

export const EVERYTHING: UsageQuestion = {
  tenant: undefined,
  sinceMs: 0,
  untilMs: Number.POSITIVE_INFINITY,
  by: 'hour',
  per: 'tenant',
  zone: 'UTC',
};

/** What a running sidecar would answer. */
export function asked({ keeper }: TestKeeper, question: Partial<UsageQuestion> = {}): Promise<UsageReport> {
  return keeper.ask((rollUp) => usageReport(rollUp, { ...EVERYTHING, ...question }));
}

/** What the files say. */
export async function stored(directory: string, question: Partial<UsageQuestion> = {}): Promise<UsageReport> {
  const { rollUp } = await readStoredUsage(directory);
  try {
    return await usageReport(rollUp, { ...EVERYTHING, ...question });
  } finally {
    rollUp.close();
  }
}

export async function verified(directory: string): Promise<UsageVerification> {
  const { rollUp } = await readStoredUsage(directory);
  try {
    return await verifyUsage(rollUp, directory);
  } finally {
    rollUp.close();
  }
}

/** `time tenant calls/requestBytes`, a line each. */
export function brief({ lines }: UsageReport): readonly string[] {
  return lines.map(({ time, tenant, used }) => `${time} ${tenant} ${used.calls}/${used.requestBytes}`);
}
