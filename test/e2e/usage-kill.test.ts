/**
 * `kill -9` under load, again and again on one directory: usage is what the audit log has, to the call and to the byte.
 * `node test/soak/usage-kill.ts 100` does it a hundred times.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { verifyDirectory } from '../../src/audit/verify.ts';
import { killedLife, recordedSums, usageSums } from './harness/killed-lives.ts';
import { ModelUpstream } from './harness/model-upstream.ts';

const KILLS = 3;

let upstream: ModelUpstream;
let audit: string;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  audit = mkdtempSync(join(tmpdir(), 'bulkhead-usage-kill-'));
});
afterAll(() => {
  upstream?.stop();
  rmSync(audit, { recursive: true, force: true });
});

it('a sidecar that is killed has in its usage what is on record, to the call and to the byte, over all its lives', async () => {
  let answered = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    answered += await killedLife(upstream, audit, 700 + 211 * kill);
    const { sums, verification } = await usageSums(audit);
    expect(sums).toEqual(await recordedSums(audit));
    expect(verification).toMatchObject({ ok: true, differences: [], problems: [], notComparable: [] });
    // What was answered is on record; so it is in the usage.
    expect(verification.calls).toBeGreaterThanOrEqual(answered);
  }
  expect(answered).toBeGreaterThan(100);
  expect((await verifyDirectory(audit)).ok).toBe(true);
});
