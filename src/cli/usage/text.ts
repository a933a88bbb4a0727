/** Usage as a table, as comma-separated values, and what a check of it has found. */
import { UNITS, type Unit } from '../../usage/units.ts';
import type { UsageLine, UsageReport } from '../../usage/usage-report.ts';
import type { UsageDifference, UsageVerification } from '../../usage/usage-verify.ts';
import { plural } from '../findings.ts';

/** The columns of the table: what most questions are about. */
const COLUMNS: readonly (readonly [title: string, unit: Unit])[] = [
  ['CALLS', 'calls'],
  ['OK', 'ok'],
  ['DENIED', 'denied'],
  ['FAILED', 'failed'],
  ['CANCELLED', 'cancelled'],
  ['REQUEST BYTES', 'requestBytes'],
  ['RESPONSE BYTES', 'responseBytes'],
  ['IN', 'requestMessages'],
  ['OUT', 'responseMessages'],
];

/** A table with the sum below it, or what to do when there is nothing. */
export function usageText(report: UsageReport, tenant: string | undefined): string {
  if (report.lines.length === 0) return nothingText(tenant);
  const names = namesOf(report);
  const rows = report.lines.map((line) => [...names.map(([, of]) => safe(of(line))), ...numbersOf(line.used)]);
  const all = [[...names.map(([title]) => title), ...COLUMNS.map(([title]) => title)], ...rows];
  if (rows.length > 1) all.push([...names.map((_, index) => (index === 0 ? 'all' : '')), ...numbersOf(report.total)]);
  const width = (column: number): number => Math.max(...all.map((row) => row[column]?.length ?? 0));
  const widths = all[0]?.map((_, column) => width(column)) ?? [];
  const table = all.map((row) => {
    const cells = row.map((cell, column) =>
      column < names.length ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    return `${cells.join('  ').trimEnd()}\n`;
  });
  return table.join('') + beside(report);
}

/** Values as RFC 4180 has them, one column for each unit. What a spreadsheet would take for a formula begins with an apostrophe. */
export function usageCsv(report: UsageReport): string {
  const names = namesOf(report);
  const lines = report.lines.map((line) => [
    ...names.map(([, of]) => csvText(of(line))),
    ...UNITS.map((unit) => String(line.used[unit] ?? 0)),
  ]);
  const head = [...names.map(([title]) => title.toLowerCase()), ...UNITS];
  return [head, ...lines].map((cells) => `${cells.join(',')}\r\n`).join('');
}

/** What was compared, what could not be, and each difference. */
export function verificationText(verification: UsageVerification): string {
  const { ok, compared, calls, notComparable, differences, problems } = verification;
  const out: string[] = [];
  if (compared.length > 0)
    out.push(
      `compared: ${plural(compared.length, 'hour')} from ${spanOf(compared)}, ${plural(calls, 'call')} on record`,
    );
  if (notComparable.length > 0) {
    out.push(
      `not comparable: ${plural(notComparable.length, 'hour')} from ${spanOf(notComparable)}; their audit segments are not all there any more`,
    );
  }
  out.push(...differences.map(differenceText), ...problems.map((problem) => `PROBLEM ${problem}`));
  if (compared.length === 0 && notComparable.length === 0) out.push('there is no usage yet');
  else if (ok) out.push('usage agrees with the audit log');
  else if (differences.length > 0) out.push('usage does not agree with the audit log');
  else if (problems.length === 0) out.push('nothing could be compared: the audit segments are gone');
  else out.push('no number differs, but not everything can be believed: see above, and ask bulkhead audit verify');
  return `${out.join('\n')}\n`;
}

function differenceText({ hour, tenant, caller, model, unit, usage, audit }: UsageDifference): string {
  const who = caller === undefined ? '' : ` caller ${safe(caller) || '(none)'} model ${safe(model ?? '') || '(none)'}`;
  return `DIFFERENT ${hour} tenant ${safe(tenant)}${who} ${unit}: usage ${usage}, audit log ${audit}`;
}

function spanOf(keys: readonly string[]): string {
  return `${keys.at(0)} to ${keys.at(-1)}`;
}

function nothingText(tenant: string | undefined): string {
  return `no usage${tenant === undefined ? '' : ` of tenant ${safe(tenant)}`} in that time
Calls are counted when they end. Ask for a longer time (--since), another tenant (bulkhead usage lists all of them), or see
whether calls arrive at all (bulkhead audit show DIRECTORY --since 1h).
`;
}

function beside({ interruptedCalls, lostRecords }: UsageReport): string {
  const out: string[] = [];
  if (interruptedCalls > 0)
    out.push(
      `${plural(interruptedCalls, 'call')} of all tenants ran in workers that died: not on record, not counted\n`,
    );
  if (lostRecords > 0)
    out.push(
      `${plural(lostRecords, 'record')} of all tenants could not be written (audit.whenFull: drop): not counted\n`,
    );
  return out.join('');
}

type Name = readonly [title: string, of: (line: UsageLine) => string];

function namesOf({ by, per }: UsageReport): readonly Name[] {
  const names: Name[] = [];
  if (by !== 'total') names.push(['TIME', (line) => line.time]);
  names.push(['TENANT', (line) => line.tenant || '(none)']);
  if (per.includes('caller')) names.push(['CALLER', ({ caller }) => nameText(caller)]);
  if (per.includes('model')) names.push(['MODEL', ({ model }) => nameText(model)]);
  return names;
}

function nameText(name: string | null | undefined): string {
  if (name === null || name === undefined) return '(other)';
  return name === '' ? '(none)' : name;
}

function numbersOf(used: UsageLine['used']): readonly string[] {
  return COLUMNS.map(([, unit]) => String(used[unit] ?? 0));
}

/** Names of models come from clients: nothing in them may speak to a terminal. */
function safe(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

function csvText(text: string): string {
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
