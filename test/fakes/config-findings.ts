/**
 * Loads a configuration that a test has spoilt, and writes its findings as one line each.
 */
import { join } from 'node:path';
import type { Finding } from '../../src/config/finding.ts';
import { ConfigurationLoader, type LoaderOptions } from '../../src/config/load.ts';

/** `file:line:column path`, in a test's directory. */
export interface FoundLine {
  readonly at: string;
  readonly message: string;
  readonly fix: string;
  readonly severity: Finding['severity'];
}

/** Loads `bulkhead.yaml` of a directory; all findings, and whether they refuse it. */
export async function findingsOf(
  directory: string,
  options: Partial<LoaderOptions> = {},
): Promise<{ readonly refused: boolean; readonly lines: readonly FoundLine[] }> {
  const loader = new ConfigurationLoader({ environment: {}, ...options });
  const loaded = await loader.load(join(directory, 'bulkhead.yaml'), undefined);
  const findings = loaded.ok ? loader.warnings : loaded.error;
  return { refused: !loaded.ok, lines: findings.map((finding) => line(directory, finding)) };
}

function line(directory: string, finding: Finding): FoundLine {
  const short = (text: string): string => text.replaceAll(`${directory}/`, '');
  const place = `${short(finding.file)}:${finding.line}:${finding.column}`;
  return {
    at: finding.path === '' ? place : `${place} ${finding.path}`,
    message: short(finding.message),
    fix: finding.fix,
    severity: finding.severity,
  };
}
