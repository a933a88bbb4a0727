/**
 * `bulkhead audit verify` and `bulkhead audit show`: what the audit log says, and whether it can be believed. Both only read;
 * they may run beside the sidecar.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { readRecords, type StoredRecord, type UnreadableRecord } from '../audit/reader.ts';
import type { AuditRecord, CallRecord } from '../audit/record.ts';
import { type VerifyReport, verifyDirectory, type WriterReport } from '../audit/verify.ts';
import { parseDurationMs } from '../kernel/units.ts';
import { statusText } from '../telemetry/names.ts';
import { plural } from './findings.ts';
import type { CliIo } from './io.ts';

interface ShowOptions {
  readonly tenant?: string;
  readonly method?: string;
  readonly since?: number;
  readonly shadow?: 'allow' | 'deny' | 'any';
  readonly json?: true;
}

/** Adds `audit` with its commands to the program. */
export function registerAudit(program: Command, io: CliIo): void {
  const audit = program.command('audit').description('read and check the audit log');
  audit
    .command('verify')
    .description('check every hash and every link of a directory of audit segments')
    .argument('<dir>', 'the directory that `audit.directory` names')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
Names the first bad record of each writer. An altered, removed, moved or repeated record and a missing segment are found.
What cannot be seen from files alone is the removal of the newest records that no collector has yet: compare the head
hash with \`bulkhead.audit.hash\` of the newest log in the collector.

Exit code: 0 when all is intact, 1 when something is bad, 2 when the directory cannot be read.

Example:
  $ bulkhead audit verify /var/lib/bulkhead/audit`,
    )
    .action(async (directory: string, options: { readonly json?: true }) => {
      await reading(io, async () => verify(directory, options.json === true, io));
    });
  audit
    .command('show')
    .description('print the records of a directory of audit segments')
    .argument('<dir>', 'the directory that `audit.directory` names')
    .option('--tenant <id>', 'calls of this tenant, and refusals that claim it')
    .option('--method <name>', 'calls of this method, package.Service/Method')
    .option(
      '--since <when>',
      'records since then: a duration back from now (10m, 2h) or a time (2026-11-23T10:00:00Z)',
      parseSince,
    )
    .addOption(
      new Option('--shadow <verdict>', 'calls that rules in shadow would have decided otherwise').choices([
        'allow',
        'deny',
        'any',
      ]),
    )
    .option('--json', 'print one JSON object a line, with everything that is on record')
    .addHelpText(
      'after',
      `
Writers come one after the other (main, worker-0, …), the oldest record of each first.

Examples:
  $ bulkhead audit show /var/lib/bulkhead/audit --tenant acme --since 1h
  $ bulkhead audit show /var/lib/bulkhead/audit --shadow deny
  $ bulkhead audit show /var/lib/bulkhead/audit --json | jq 'select(.record.outcome == "denied") | .record.reason'`,
    )
    .action(async (directory: string, options: ShowOptions) => {
      await reading(io, async () => show(directory, options, io));
    });
}

async function verify(directory: string, json: boolean, io: CliIo): Promise<void> {
  const report = await verifyDirectory(directory);
  if (!report.ok) io.exit(1);
  if (json) {
    io.out(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  io.out(report.writers.map(writerText).join('') + summary(report));
}

function writerText(writer: WriterReport): string {
  const lines = [
    `${writer.writer}: ${plural(writer.records, 'record')} in ${plural(writer.segments, 'segment')}` +
      `${writer.firstSequence > 1 ? ` from ${writer.firstSequence} on` : ''}, ${timeText(writer.firstAtMicros)} to ${timeText(writer.lastAtMicros)}`,
    `  head ${writer.headHash}`,
  ];
  if (writer.unfinishedBytes > 0) {
    lines.push(
      `  ${plural(writer.unfinishedBytes, 'byte')} of a record that is being written, or was when the writer died`,
    );
  }
  if (writer.bad !== undefined) {
    const { file, record, offset, why } = writer.bad;
    lines.push(`  BAD ${file}${record === 0 ? '' : ` record ${record} at byte ${offset}`}: ${why}`);
  }
  return `${lines.join('\n')}\n`;
}

function summary({ ok, directory, writers }: VerifyReport): string {
  if (writers.length === 0) return `${directory} has no audit segments.\n`;
  if (ok) return 'Intact.\n';
  const bad = writers.filter((writer) => writer.bad !== undefined);
  return `Not intact: ${bad.map((writer) => writer.writer).join(', ')}. Records before a bad one can be believed, what follows it cannot.\n`;
}

async function show(directory: string, options: ShowOptions, io: CliIo): Promise<void> {
  const { tenant, method, since, shadow } = options;
  const filter = {
    ...(tenant === undefined ? {} : { tenant }),
    ...(method === undefined ? {} : { method }),
    ...(since === undefined ? {} : { sinceMicros: since }),
    ...(shadow === undefined ? {} : { shadow }),
  };
  for await (const item of readRecords(directory, filter)) {
    if ('record' in item) io.out(options.json === true ? `${JSON.stringify(item)}\n` : recordText(item));
    else unreadable(item, io);
  }
}

function unreadable({ file, number, why }: UnreadableRecord, io: CliIo): void {
  io.exit(1);
  io.err(`${file} record ${number}: ${why}\n`);
}

function recordText({ writer, segment, number, record }: StoredRecord): string {
  return `${timeText(timeOf(record))} ${writer}/${segment}/${number} ${textOf(record)}\n`;
}

function textOf(record: AuditRecord): string {
  switch (record.type) {
    case 'call': {
      const who = `${record.tenant}${record.tenantVerified ? '' : '?'} ${record.caller || '-'} ${whereFrom(record)}`;
      const what = record.method === '_OTHER' ? record.methodOriginal : record.method;
      const model =
        record.model === '' ? '' : ` ${record.model}${record.modelVersion === '' ? '' : `:${record.modelVersion}`}`;
      const why = record.reason === '' ? '' : ` ${record.reason}`;
      const rule = record.rule === '' ? '' : ` (${record.rule})`;
      const shadow = record.shadow === undefined ? '' : ` [would ${record.shadow.verdict}: ${record.shadow.rule}]`;
      return `${record.outcome} ${statusText(record.grpcStatus)} ${who} ${what}${model} ${record.durationMicros}us${why}${rule}${shadow}`;
    }
    case 'refusal':
      return `refused ${record.reason} x${record.count} ${record.peerAddress} ${record.serverName || '-'} ${record.detail}`;
    case 'event':
      return `event ${record.event} ${record.detail}`;
  }
}

function whereFrom({ peerAddress, proxyAddress }: CallRecord): string {
  return proxyAddress === undefined ? peerAddress : `${peerAddress} by way of ${proxyAddress}`;
}

function timeOf(record: AuditRecord): number {
  return record.type === 'call' ? record.startedAt : record.at;
}

function timeText(micros: number | undefined): string {
  return micros === undefined ? '-' : new Date(micros / 1_000).toISOString();
}

function parseSince(text: string): number {
  const backMs = parseDurationMs(text);
  const at = backMs === undefined ? Date.parse(text) : Date.now() - backMs;
  if (Number.isNaN(at))
    throw new InvalidArgumentError('neither a duration (10m, 2h) nor a time (2026-11-23T10:00:00Z)');
  return at * 1_000;
}

/** A directory that cannot be read is the user's to mend, not a fault of the program. */
async function reading(io: CliIo, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    io.err(`${error.message}\n`);
    io.exit(2);
  }
}
