/**
 * What is wrong with a configuration, where it stands, and what would be right.
 */

export interface Finding {
  /** As one would type it from where the main file's path was typed. */
  readonly file: string;
  /** From 1; 0 when the finding is about the whole file. */
  readonly line: number;
  /** From 1; 0 when the finding is about the whole file. */
  readonly column: number;
  /** `issuers[0].audience`; empty when the finding is about the whole file. */
  readonly path: string;
  readonly message: string;
  /** What to do, as an instruction. */
  readonly fix: string;
  readonly severity: 'error' | 'warning';
}

/** A file with more findings than this has one mistake many times over, or is no configuration. */
export const MAX_FINDINGS_PER_FILE = 200;

/** The finding that stands for all that are not listed. */
export function moreFindings(file: string, count: number, severity: Finding['severity']): Finding {
  const message = `has ${count} more findings, which are not listed`;
  return { file, line: 0, column: 0, path: '', message, fix: 'mend those that are, and check again', severity };
}

/** Keys and indexes from the top of a document to one of its values. */
export type ValuePath = readonly (string | number)[];

/** Where a finding stands. `key` points at a mapping's key instead of its value. */
export interface Place {
  readonly path: ValuePath;
  readonly at?: 'value' | 'key';
}

/** Writes a path as people do: `issuers[0].audience`. */
export function formatPath(path: ValuePath): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += text === '' ? step : `.${step}`;
  }
  return text;
}

/** By file in the order given, then by line; errors before warnings on the same line. */
export function sortFindings(findings: readonly Finding[]): readonly Finding[] {
  const order = new Map<string, number>();
  for (const finding of findings) if (!order.has(finding.file)) order.set(finding.file, order.size);
  const rank = (finding: Finding): number => order.get(finding.file) ?? 0;
  return findings.toSorted(
    (a, b) => rank(a) - rank(b) || a.line - b.line || a.column - b.column || a.severity.localeCompare(b.severity),
  );
}
