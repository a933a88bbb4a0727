/**
 * `bulkhead usage`: what each tenant, caller and model has used, from a running sidecar or from its files, and whether that agrees with
 * the audit log.
 */
import { type Command, Option } from 'commander';
import { DIMENSIONS, SPANS } from '../usage/usage-report.ts';
import type { CliIo } from './io.ts';
import type { UsageOptions } from './usage/command.ts';

/** Adds `usage` to the program. */
export function registerUsage(program: Command, io: CliIo): void {
  program
    .command('usage')
    .description('print what each tenant, caller and model has used, or check it against the audit log')
    .option('--tenant <id>', 'of this tenant; default: of all')
    .option('--since <when>', 'a duration back from now (2h, 30d), a date (2026-11-01) or a time; default: 30d')
    .option('--until <when>', 'the same; a date is its first moment, so that it is not in; default: now')
    .addOption(new Option('--by <span>', 'a line for each').choices(SPANS).default('day'))
    .addOption(new Option('--per <what>', 'a line for each').choices(DIMENSIONS).default('tenant'))
    .option('--zone <name>', 'time zone of dates and days, Europe/Berlin for instance', 'UTC')
    .option('--json', 'print one JSON object, with everything that is counted')
    .option('--csv', 'print comma-separated values, with everything that is counted')
    .option('--verify', 'recount the calls from the audit segments that are kept, and print each difference')
    .option('--admin <address>', 'ask the running sidecar with this admin port: 127.0.0.1:9901 unless said otherwise')
    .option('-c, --config <file>', 'read the files of the sidecar with this main configuration file instead')
    .option('--directory <dir>', 'read the files below this directory, which `audit.directory` names, instead')
    .addHelpText(
      'after',
      `
Counted are calls by how they ended, bytes and messages of requests and responses, and time. A call belongs to the hour, in
UTC, in which it ended. Each call is on record once in the audit log, and usage is made of these records, so both agree to
the call and to the byte. --verify shows it, by recounting; it needs --config or --directory, and may run beside the sidecar.

What is printed is up to now, whether the sidecar is asked or its files are read. Hours are kept for 35 days and days for 400
more (usage.keepHourly, usage.keepDaily). A tenant's callers and models beyond usage.maxRows in one hour stand together as
(other); calls of which nobody was authenticated have the caller (none).

Exit code: 0 when it is printed, and with --verify when it agrees; 1 when something is missing from it, with --verify when
something differs or nothing could be compared; 2 when it cannot be read.

Examples:
  $ bulkhead usage --tenant acme --since 2026-11-01
  $ bulkhead usage --since 24h --by hour --per model
  $ bulkhead usage --since 2026-10-01 --until 2026-11-01 --by month --per caller --csv > october.csv
  $ bulkhead usage --config bulkhead.yaml --verify`,
    )
    .action(async (options: UsageOptions) => (await import('./usage/command.ts')).usage(options, io));
}
