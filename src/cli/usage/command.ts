/** What `bulkhead usage` does. */
import { existsSync } from 'node:fs';
import { ConfigurationLoader } from '../../config/load.ts';
import { err, ok, type Result } from '../../kernel/result.ts';
import { readStoredUsage } from '../../usage/stored-usage.ts';
import { USAGE_PARAMETERS, usageQuestion } from '../../usage/usage-question.ts';
import { type UsageReport, usageReport } from '../../usage/usage-report.ts';
import { verifyUsage } from '../../usage/usage-verify.ts';
import { printFindings } from '../findings.ts';
import type { CliIo } from '../io.ts';
import { usageCsv, usageText, verificationText } from './text.ts';

export interface UsageOptions {
  readonly tenant?: string;
  readonly since?: string;
  readonly until?: string;
  readonly by: string;
  readonly per: string;
  readonly zone: string;
  readonly json?: true;
  readonly csv?: true;
  readonly verify?: true;
  readonly admin?: string;
  readonly config?: string;
  readonly directory?: string;
}

const DEFAULT_ADMIN = '127.0.0.1:9901';
/** The sidecar may first have to read what it has written while it was not asked. */
const TIMEOUT_MS = 10_000;

/** Prints usage, or compares it with the audit log. */
export async function usage(options: UsageOptions, io: CliIo): Promise<void> {
  const misuse = misuseOf(options) ?? wrongQuestion(options);
  if (misuse !== undefined) return fail(io, misuse);
  try {
    const done = options.verify === true ? await verify(options, io) : await print(options, io);
    if (!done.ok) fail(io, done.error);
  } catch (cause) {
    // A directory that cannot be read is the user's to mend, not a fault of the program.
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
    fail(io, cause.message);
  }
}

function fail(io: CliIo, why: string): void {
  if (why !== '') io.err(`${why}\n`);
  io.exit(2);
}

function misuseOf(options: UsageOptions): string | undefined {
  const sources = [options.admin, options.config, options.directory].filter((source) => source !== undefined);
  if (sources.length > 1) return 'one of --admin, --config and --directory';
  if (options.json === true && options.csv === true) return 'either --json or --csv';
  if (options.verify !== true) return undefined;
  if (options.csv === true) return '--verify prints text or --json';
  const asked = [options.tenant, options.since, options.until];
  if (asked.some((option) => option !== undefined))
    return '--verify compares everything that is kept: leave --tenant, --since and --until away';
  if (options.config === undefined && options.directory === undefined)
    return '--verify reads files: name --config or --directory (bulkhead usage --help says more)';
  return undefined;
}

function wrongQuestion(options: UsageOptions): string | undefined {
  const question = usageQuestion(options, Date.now());
  return question.ok ? undefined : `--${question.error}`;
}

async function print(options: UsageOptions, io: CliIo): Promise<Result<undefined, string>> {
  const report =
    options.config === undefined && options.directory === undefined
      ? await reportOfRunning(options)
      : await reportOfFiles(options, io);
  if (!report.ok) return report;
  if (!report.value.complete) io.exit(1);
  if (options.json === true) io.out(`${JSON.stringify(report.value, null, 2)}\n`);
  else if (options.csv === true) io.out(usageCsv(report.value));
  else io.out(usageText(report.value, options.tenant));
  // Whoever reads a table or a file of values is told beside it.
  if (options.json !== true) for (const note of report.value.notes) io.err(`note: ${note}\n`);
  return ok(undefined);
}

async function reportOfRunning(options: UsageOptions): Promise<Result<UsageReport, string>> {
  const address = options.admin ?? DEFAULT_ADMIN;
  const query = new URLSearchParams();
  for (const name of USAGE_PARAMETERS) if (options[name] !== undefined) query.set(name, options[name]);
  let response: Response;
  try {
    response = await fetch(`http://${address}/usage?${query.toString()}`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (cause) {
    const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
    return err(
      `${address} does not answer: ${why}\nname the admin port of a running sidecar (--admin), or read its files (--config, --directory)`,
    );
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (typeof answer !== 'object' || answer === null)
    return err(`${address} is no admin port of a sidecar that knows usage`);
  if ('error' in answer) return err(String(answer.error));
  if (!response.ok || !('lines' in answer)) return err(`${address} answered ${response.status}`);
  // The sidecar made it by the same code.
  return ok(answer as UsageReport);
}

async function reportOfFiles(options: UsageOptions, io: CliIo): Promise<Result<UsageReport, string>> {
  const directory = await directoryOf(options, io);
  if (!directory.ok) return directory;
  const question = usageQuestion(options, Date.now());
  if (!question.ok) return question;
  const { rollUp, warnings } = await readStoredUsage(directory.value);
  try {
    const report = await usageReport(rollUp, question.value);
    const more = warnings.filter((warning) => !report.notes.includes(warning));
    return ok({ ...report, notes: [...report.notes, ...more], complete: report.complete && more.length === 0 });
  } finally {
    rollUp.close();
  }
}

async function verify(options: UsageOptions, io: CliIo): Promise<Result<undefined, string>> {
  const directory = await directoryOf(options, io);
  if (!directory.ok) return directory;
  const { rollUp, warnings } = await readStoredUsage(directory.value);
  try {
    const found = await verifyUsage(rollUp, directory.value);
    const problems = [...new Set([...found.problems, ...warnings])];
    const nothing = found.compared.length === 0 && found.notComparable.length > 0;
    const verification = { ...found, problems, ok: found.ok && problems.length === 0 && !nothing };
    if (!verification.ok) io.exit(1);
    io.out(options.json === true ? `${JSON.stringify(verification, null, 2)}\n` : verificationText(verification));
    return ok(undefined);
  } finally {
    rollUp.close();
  }
}

async function directoryOf({ config, directory }: UsageOptions, io: CliIo): Promise<Result<string, string>> {
  let found = directory;
  if (config !== undefined) {
    const loaded = await new ConfigurationLoader().load(config, undefined);
    if (!loaded.ok) {
      printFindings(loaded.error, io);
      return err('');
    }
    found = loaded.value.audit.directory;
  }
  if (found === undefined || !existsSync(found))
    return err(`${found} is not there: name the directory that audit.directory names, of a sidecar that has run`);
  return ok(found);
}
