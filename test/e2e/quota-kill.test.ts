/**
 * `kill -9` under load, again and again on one directory: what was granted of a quota in all lives together is never more than there is,
 * and less by no more than each life had written ahead or had in progress.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { verifyDirectory } from '../../src/audit/verify.ts';
import { AHEAD_PARTS } from '../../src/quota/limit-journal.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';

const AMOUNT = 20_000;
const CLIENTS = 4;
const LOOPS_PER_CLIENT = 8;
const KILLS = 3;

let upstream: ModelUpstream;
let directory: string;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  directory = mkdtempSync(join(tmpdir(), 'bulkhead-quota-kill-'));
});
afterAll(() => {
  upstream?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** One life of the sidecar, with all its workers. Returns how many calls were answered, and with what the others ended. */
async function life(
  end: 'killed' | 'stopped',
  runMs: number,
): Promise<{ answered: number; ended: ReadonlySet<string> }> {
  const limits = [
    { name: 'contract', calls: AMOUNT, window: 'total' },
    { name: 'monthly', per: 'caller', calls: AMOUNT, window: 'month', zone: 'Europe/Berlin' },
  ];
  const sidecar = await Sidecar.start({
    tenants: [{ id: 'acme', upstream: upstream.address, extra: { quota: { limits } } }],
    extra: { audit: { directory } },
  });
  const clients = Array.from({ length: CLIENTS }, () => tenantClient(sidecar, 'acme'));
  const until = performance.now() + runMs;
  let answered = 0;
  const ended = new Set<string>();
  const loops = clients.flatMap((client) =>
    Array.from({ length: LOOPS_PER_CLIENT }, async () => {
      for (;;) {
        const { code } = await client.infer({ modelName: 'digits', id: 'delay:0', inputs: [] });
        // On a busy machine a thread may be kept off its core while it has the tenant's lock; its neighbours then say so.
        if (code === 'UNAVAILABLE' && end === 'stopped' && performance.now() < until) continue;
        if (code !== 'OK') return void ended.add(code);
        answered += 1;
      }
    }),
  );
  await Promise.race([Promise.all(loops), new Promise((resolve) => setTimeout(resolve, runMs))]);
  if (end === 'killed') process.kill(sidecar.child.pid, 'SIGKILL');
  await Promise.all(loops);
  for (const client of clients) client.close();
  await sidecar.end();
  rmSync(sidecar.directory, { recursive: true, force: true });
  return { answered, ended };
}

it('a sidecar that is killed grants no more of a quota than there is, over all its lives', async () => {
  let sum = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const { answered } = await life('killed', 700 + 211 * kill);
    expect(answered).toBeGreaterThan(50);
    sum += answered;
  }
  expect(sum, 'the machine is so fast that nothing is left for the last life').toBeLessThan(AMOUNT);
  const last = await life('stopped', 60_000);
  expect([...last.ended]).toEqual(['RESOURCE_EXHAUSTED']);
  sum += last.answered;
  expect(sum).toBeLessThanOrEqual(AMOUNT);
  const lost = Math.ceil(AMOUNT / AHEAD_PARTS) + CLIENTS * LOOPS_PER_CLIENT;
  expect(sum).toBeGreaterThanOrEqual(AMOUNT - KILLS * lost);
  // What was used up stays used up after an orderly end as well.
  const next = await life('stopped', 10_000);
  expect(next).toEqual({ answered: 0, ended: new Set(['RESOURCE_EXHAUSTED']) });
  expect((await verifyDirectory(directory)).ok).toBe(true);
});
