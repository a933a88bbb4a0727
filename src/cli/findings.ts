/**
 * Prints findings as a reader wants them: by file, each with its place, what is wrong, and what would be right.
 */
import { styleText } from 'node:util';
import type { Finding } from '../config/finding.ts';
import type { CliIo } from './io.ts';

/** Prints all findings and a line that counts them. */
export function printFindings(findings: readonly Finding[], io: CliIo): void {
  const paint = (format: Parameters<typeof styleText>[0], text: string): string =>
    io.colours ? styleText(format, text, { validateStream: false }) : text;
  for (const [file, ofFile] of Map.groupBy(findings, (finding) => finding.file)) {
    io.out(`${paint('bold', file)}\n`);
    for (const finding of ofFile) {
      const label = finding.severity === 'error' ? paint('red', 'error') : paint('yellow', 'warning');
      const path = finding.path === '' ? '' : ` ${paint('cyan', finding.path)}:`;
      io.out(`  ${place(finding)}${path} ${label}: ${finding.message}\n`);
      io.out(`    fix: ${finding.fix}\n`);
    }
    io.out('\n');
  }
  io.out(`${countFindings(findings)}\n`);
}

/** `2 errors and 1 warning in 2 files`. */
export function countFindings(findings: readonly Finding[]): string {
  const errors = findings.filter((finding) => finding.severity === 'error').length;
  const warnings = findings.length - errors;
  const files = new Set(findings.map((finding) => finding.file)).size;
  const parts = [errors > 0 ? plural(errors, 'error') : '', warnings > 0 ? plural(warnings, 'warning') : ''];
  return `${parts.filter((part) => part !== '').join(' and ')} in ${plural(files, 'file')}`;
}

/** `1 tenant`, `2 tenants`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** `file:line:column`, which terminals and editors open. */
function place(finding: Finding): string {
  return finding.line === 0 ? finding.file : `${finding.file}:${finding.line}:${finding.column}`;
}
