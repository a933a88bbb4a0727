/**
 * Judge: h2spec, 146 cases of RFC 7540 and RFC 7541, through the byte tunnel, so that it sees the sidecar's own frames.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from './harness/child.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { peerFile } from './harness/peer-file.ts';
import { Sidecar } from './harness/sidecar.ts';

/**
 * What is reached; it only ever rises. h2spec sends GET and POST without a gRPC content type and wants an answer with a body, or one
 * that waits for the request's end; a gRPC sidecar answers 415 at once, without a body. The 15 cases that cannot begin that way
 * are judged on the engine alone, with a route that answers (`test/conformance/h2-echo.ts`).
 */
const FLOOR = 131;
const CASES = 146;

let upstream: ModelUpstream;
let sidecar: Sidecar;
const directory = mkdtempSync(join(tmpdir(), 'bulkhead-h2spec-'));

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  sidecar = await Sidecar.start({ tenants: [{ id: 'acme', upstream: upstream.address }] });
});

afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
  rmSync(directory, { recursive: true, force: true });
});

describe('h2spec', () => {
  it(`passes at least ${FLOOR} of ${CASES} cases against the sidecar, which then still serves`, async () => {
    const tunnel = await sidecar.tunnel('acme');
    const report = join(directory, 'h2spec.xml');
    const args = ['-h', '127.0.0.1', '-p', `${tunnel.port}`, '-o', '2', '-j', report];
    const exit = await run('h2spec', { command: peerFile('bin/h2spec'), args }, 540_000);
    const score = readReport(readFileSync(report, 'utf8'));
    process.stdout.write(`h2spec: ${score.passed} of ${score.total}; failed: ${score.failed.join('; ')}\n`);
    expect(score.total, exit.output).toBe(CASES);
    expect(score.passed, score.failed.join('\n')).toBeGreaterThanOrEqual(FLOOR);
    expect(await sidecar.admin('/readyz')).toMatchObject({ status: 200 });
  });
});

interface Score {
  readonly total: number;
  readonly passed: number;
  readonly failed: readonly string[];
}

/** h2spec's JUnit report: a case without a failure, error or skipped element has passed. */
function readReport(xml: string): Score {
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
