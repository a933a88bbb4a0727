/**
 * Runs h2spec against a port in clear text, and reads its verdict.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './child.ts';
import { peerFile } from './peer-file.ts';

/** Cases of h2spec 2.6.0 with `--strict`, which adds one that the RFC only recommends to the 146. */
export const H2SPEC_STRICT_CASES = 147;

export interface H2specScore {
  readonly total: number;
  readonly passed: number;
  /** Section and case of each that failed. */
  readonly failed: readonly string[];
  readonly output: string;
}

/** Judges whatever listens on the loopback port. */
export async function judgeWithH2spec(port: number, options: readonly string[] = []): Promise<H2specScore> {
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-h2spec-'));
  try {
    const report = join(directory, 'h2spec.xml');
    const args = ['-h', '127.0.0.1', '-p', `${port}`, '-o', '2', '-j', report, ...options];
    const { output } = await run('h2spec', { command: peerFile('bin/h2spec'), args }, 540_000);
    return { ...readReport(readFileSync(report, 'utf8')), output };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** h2spec's JUnit report: a case without a failure, error or skipped element has passed. */
function readReport(xml: string): Omit<H2specScore, 'output'> {
  const failed: string[] = [];
  let total = 0;
  for (const [, attributes, body] of xml.matchAll(/<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs)) {
    total += 1;
    if (body !== undefined && /<(failure|error|skipped)/.test(body)) {
      const name = /classname="([^"]*)"/.exec(attributes ?? '')?.[1] ?? '';
      const section = /package="([^"]*)"/.exec(attributes ?? '')?.[1] ?? '';
      failed.push(`${section} ${name}`);
    }
  }
  return { total, passed: total - failed.length, failed };
}
