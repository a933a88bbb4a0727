/**
 * Many tenants: how long a start takes, whether a call costs more because of them, and how long one tenant's change takes
 * while calls go on.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Contender, contend, type Say } from './contender.ts';
import { acmeFile, type PreparedGround } from './ground.ts';
import { type Axis, load } from './load.ts';
import { idleShare } from './process-cost.ts';
import { type Row, rowOf } from './row.ts';
import { bulkheadEverything, type SidecarOptions } from './subjects/bulkhead.ts';
import type { Subject } from './subjects/subject.ts';

const RELOAD_TIMEOUT_MS = 30_000;
/** Seldom enough that showing the metrics of thousands of tenants does not become the load. */
const POLL_MS = 100;

export interface ManyTenants {
  readonly contender: Contender;
  readonly count: number;
  readonly rows: readonly Row[];
}

export const tenantsAxis = (count: number): string => `${count} tenants`;

/** Starts a sidecar with so many tenants. */
export async function startManyTenants(
  ground: PreparedGround,
  count: number,
  options: SidecarOptions,
  idleSeconds: number,
  say: Say,
): Promise<ManyTenants> {
  const tenants = ground.tenants(count);
  const subject = bulkheadEverything({ ...options, tenants, variant: tenantsAxis(count) });
  let seconds = Number.NaN;
  const start: Subject['start'] = async (on) => {
    const before = performance.now();
    const running = await subject.start(on);
    seconds = (performance.now() - before) / 1000;
    return running;
  };
  const started = await contend(ground, { ...subject, start }, [100], say);
  // Watching the files of many tenants takes time of its own, whether or not there are calls.
  await sleep(idleSeconds * 250);
  const share = await idleShare(started.running.pids, idleSeconds);
  say(
    `  ${''.padEnd(34)} started in ${seconds.toFixed(1)} s; without calls it uses ${(share * 100).toFixed(1)} % of a core`,
  );
  const axis = tenantsAxis(count);
  const rows = [rowOf(subject, axis, 'start_seconds', [seconds]), rowOf(subject, axis, 'idle_cpu', [share])];
  return { contender: { ...started, idleShare: share }, count, rows };
}

/** Changes one tenant's file while calls go on; returns how long it took until the new configuration serves. */
export async function reloadUnderLoad(
  ground: PreparedGround,
  { contender, count }: ManyTenants,
  axis: Axis,
  seconds: number,
  say: Say,
): Promise<readonly Row[]> {
  const { subject, running, target } = contender;
  const before = await generation(running.adminPort);
  // `load` rejects when one call fails.
  const loaded = load(target, axis, seconds);
  await sleep((seconds * 1000) / 4);
  const startedAt = performance.now();
  writeFileSync(join(ground.directory, `tenants-${count}`, 'acme.yaml'), acmeFile(ground.backendPort, 9_000_000));
  while ((await generation(running.adminPort)) === before) {
    if (performance.now() - startedAt > RELOAD_TIMEOUT_MS) throw new Error('a change of a tenant was not taken up');
    await sleep(POLL_MS);
  }
  const took = (performance.now() - startedAt) / 1000;
  const { calls } = await loaded;
  say(
    `  ${tenantsAxis(count)}: a change of one serves after ${took.toFixed(2)} s; ${calls} calls meanwhile, none failed`,
  );
  return [
    rowOf(subject, tenantsAxis(count), 'reload_seconds', [took]),
    rowOf(subject, tenantsAxis(count), 'failed_calls', [0]),
  ];
}

async function generation(adminPort: number | undefined): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/metrics`);
  const value = /^bulkhead_config_generation (\d+)$/m.exec(await response.text())?.[1];
  if (value === undefined) throw new Error('the sidecar does not say which configuration it serves');
  return value;
}
