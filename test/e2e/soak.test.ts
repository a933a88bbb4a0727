/**
 * The soak, short, with every event in it: `node test/soak/run.ts` runs the long one.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import type { SoakReport } from '../soak/report.ts';
import { run } from './harness/child.ts';

const RUN = fileURLToPath(new URL('../soak/run.ts', import.meta.url));
const MINUTES = 1;
/** A seed of each day: a failure names it, and it brings the same load back. */
const SEED = Math.floor(Date.now() / 86_400_000);
/** About so many, those through the egress counted apart; a slow machine may not come to all. */
const KINDS = 30;
const EVENTS = [
  'reload',
  'the model server is killed',
  'a data-plane thread is killed',
  'a neighbour resets',
  'a neighbour pings',
];

it('the soak of a minute ends with every call answered rightly, and on record once', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-soak-'));
  try {
    const json = join(directory, 'soak.json');
    const args = [RUN, '--minutes', String(MINUTES), '--seed', String(SEED), '--json', json];
    const exit = await run('the soak', { command: process.execPath, args }, 300_000);
    expect(exit.code, exit.output).toBe(0);
    // Boundary: the run's own report.
    const { kinds, events, ok } = JSON.parse(readFileSync(json, 'utf8')) as SoakReport;
    expect(ok).toBe(true);
    expect(kinds.length).toBeGreaterThan(KINDS);
    for (const name of EVENTS) expect(events.filter((event) => event.name.startsWith(name))).not.toEqual([]);
    process.stdout.write(`${kinds.reduce((sum, { calls }) => sum + calls, 0)} calls, ${events.length} events\n`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
