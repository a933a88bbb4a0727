/**
 * Many tenants: how long a start takes, whether a call costs more because of them, and how long one tenant's change takes
 * while calls go on.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Caller, requestHead } from './caller.ts';
import { isRight } from './check.ts';
import { type Contender, contend, type Say } from './contender.ts';
import { acmeFile, type PreparedGround } from './ground.ts';
import { type Axis, type LoadTarget, load } from './load.ts';
import { CALLED_MODEL, modelInfer } from './message.ts';
import { idleShare } from './process-cost.ts';
import { type Row, rowOf } from './row.ts';
import { bulkheadEverything, type SidecarOptions } from './subjects/bulkhead.ts';
import type { Subject } from './subjects/subject.ts';

const RELOAD_TIMEOUT_MS = 30_000;
/** Seldom enough that asking does not become the load. */
const ASK_MS = 20;

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

/** Changes one tenant's file while calls go on, several times; tells how long it takes until a caller has what it says. */
export async function reloadUnderLoad(
  ground: PreparedGround,
  { contender, count }: ManyTenants,
  axis: Axis,
  { seconds, rounds }: { readonly seconds: number; readonly rounds: number },
  say: Say,
): Promise<readonly Row[]> {
  const { subject, target } = contender;
  const file = join(ground.directory, `tenants-${count}`, 'acme.yaml');
  const took: number[] = [];
  let calls = 0;
  const caller = await Caller.open(target);
  for (let round = 0; round < rounds; round++) {
    // A model of as many letters as the one that is called, so that a message for it differs in nothing else.
    const model = `mod${String(round).padStart(3, '0')}`;
    if (await isAllowed(caller, target, model)) throw new Error(`the model ${model} is allowed before the change`);
    // `load` rejects when one call fails.
    const loaded = load(target, axis, seconds);
    await sleep((seconds * 1000) / 4);
    const startedAt = performance.now();
    writeFileSync(file, acmeFile(ground.backendPort, model));
    while (!(await isAllowed(caller, target, model))) {
      if (performance.now() - startedAt > RELOAD_TIMEOUT_MS) throw new Error('a change of a tenant was not taken up');
      await sleep(ASK_MS);
    }
    took.push((performance.now() - startedAt) / 1000);
    calls += (await loaded).calls;
  }
  caller.close();
  const times = took.map((one) => one.toFixed(2)).join(', ');
  say(`  ${tenantsAxis(count)}: a change of one serves after ${times} s; ${calls} calls meanwhile, none failed`);
  return [
    rowOf(subject, tenantsAxis(count), 'reload_seconds', took),
    rowOf(subject, tenantsAxis(count), 'failed_calls', [0]),
  ];
}

function isAllowed(caller: Caller, { serverName, token }: LoadTarget, model: string): Promise<boolean> {
  const message = modelInfer(100);
  message.write(model, message.indexOf(CALLED_MODEL));
  const head = requestHead(serverName, `Bearer ${token}`);
  return new Promise((resolve) => caller.call(head, message, (answer) => resolve(isRight(answer))));
}
