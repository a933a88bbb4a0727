/**
 * Searches for leaks: what the real sidecar keeps after many calls and connections, good, refused, reset and cancelled, with
 * everything on. Nothing may grow with their number.
 *
 *     node test/bench/leak.ts [--calls 1000000] [--connections 100000] [--json FILE]
 *
 * Half of them are made before the first look and half after it, after a warm-up: what grows from the first to the second look has
 * not been filled once, but leaks. Needs what `test/e2e/install` installs.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { accepts, Child } from '../e2e/harness/child.ts';
import { freePorts } from '../e2e/harness/free-port.ts';
import { until } from '../e2e/harness/until.ts';
import { Caller, requestHead } from './caller.ts';
import { acmeFile, prepareGround } from './ground.ts';
import { callAll, connectAll, LOAD_CORE, type LoadTarget } from './load.ts';
import { modelInfer } from './message.ts';
import { residentBytes } from './process-cost.ts';
import { bulkheadEverything } from './subjects/bulkhead.ts';
import type { Running } from './subjects/subject.ts';
import { type ObjectCounts, type ThreadMemory, ThreadProbe } from './thread-memory.ts';

export interface LeakPlan {
  /** Of both halves together, each connection's one call not counted. */
  readonly calls: number;
  readonly connections: number;
  /** Before the first half: code is compiled, buffers and tables have their size. */
  readonly warmUpCalls: number;
  readonly warmUpConnections: number;
}

/** One look at the sidecar, at rest. */
export interface Look {
  readonly threads: readonly ThreadMemory[];
  readonly objects: ReadonlyMap<string, ObjectCounts>;
  readonly residentBytes: number;
  readonly descriptors: number;
  /** What the sidecar itself says that it holds: connections, calls, bytes. */
  readonly gauges: ReadonlyMap<string, number>;
}

export interface LeakReport {
  readonly looks: readonly [warm: Look, half: Look, end: Look];
  /** Made and answered, by kind. */
  readonly made: Readonly<Record<string, number>>;
  readonly seconds: number;
}

const WORKERS = 2;
const BURST = 200;
const CANCELLERS = 20;
const BACKEND = fileURLToPath(new URL('leak-backend.ts', import.meta.url));
/** Longer than a socket lingers, and than what was counted takes to be told. */
const REST_TIMEOUT_MS = 60_000;
const GAUGES = /^(bulkhead_(?:connections|calls_in_progress|\w*bytes_in_flight|\w*held_bytes)(?:\{[^}]*\})?) (\d+)$/gm;

/** Runs a plan. Prints what it is at. */
export async function searchLeaks(plan: LeakPlan, say: (text: string) => void): Promise<LeakReport> {
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-leak-'));
  const ground = await prepareGround(directory);
  const [backendPort, inspectorPort] = await freePorts(2);
  if (backendPort === undefined || inspectorPort === undefined) throw new Error('no ports');
  const args = ['-c', LOAD_CORE, process.execPath, BACKEND, String(backendPort)];
  const backend = await Child.spawn('the backend', { command: 'taskset', args });
  let running: Running | undefined;
  try {
    await backend.until('listening', () => accepts(backendPort));
    mkdirSync(join(directory, 'tenants-leak'));
    writeFileSync(join(directory, 'tenants-leak/acme.yaml'), acmeFile(backendPort));
    const nodeFlags = [`--inspect=127.0.0.1:${inspectorPort}`];
    const subject = bulkheadEverything({ nodeFlags, workers: WORKERS, tenants: 'tenants-leak' });
    running = await subject.start(ground);
    const probe = await ThreadProbe.attach(inspectorPort);
    const target = ground.targetOf(subject, running);
    const sidecar = running;
    const look = (): Promise<Look> => lookAt(sidecar, probe, directory);
    const made = new Map<string, number>();
    const from = performance.now();
    await work(target, plan.warmUpCalls, plan.warmUpConnections, made, say);
    made.clear();
    const warm = await look();
    say('warm');
    await work(target, plan.calls / 2, plan.connections / 2, made, say);
    const half = await look();
    say('half of it');
    await work(target, plan.calls / 2, plan.connections / 2, made, say);
    const end = await look();
    probe.close();
    const seconds = (performance.now() - from) / 1000;
    return { looks: [warm, half, end], made: Object.fromEntries(made), seconds };
  } finally {
    await running?.stop();
    await backend.stop();
    await ground.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Calls and connections of every kind. Of the calls that reach the model server, it resets every tenth. */
async function work(
  target: LoadTarget,
  calls: number,
  connections: number,
  made: Map<string, number>,
  say: (text: string) => void,
): Promise<void> {
  const count = (kind: string, by: number): void => void made.set(kind, (made.get(kind) ?? 0) + by);
  const parts = { refused: Math.round(calls / 10), cancelled: Math.round(calls / 20) };
  const good = calls - parts.refused - 2 * parts.cancelled;
  await callAll(target, good, 10, 50);
  count('answered or reset by the model server', good);
  await callAll({ ...target, token: 'not.a.token' }, parts.refused, 10, 50);
  count('refused', parts.refused);
  await cancelCalls(target, parts.cancelled);
  count('cancelled amid a message', parts.cancelled);
  count('answered, between those', parts.cancelled);
  say(`${calls} calls`);
  for (let left = connections; left > 0; left -= BURST) {
    const burst = Math.min(BURST, left);
    await connectAll(target, burst);
    count('connections', burst);
  }
  say(`${connections} connections`);
}

/** So many calls that are cancelled, each after one that is not; every fiftieth by the end of its connection. */
async function cancelCalls(target: LoadTarget, calls: number): Promise<void> {
  const head = requestHead(target.serverName, `Bearer ${target.token}`);
  const message = modelInfer(100);
  const part = message.subarray(0, 50);
  await Promise.all(
    Array.from({ length: CANCELLERS }, async (_, index) => {
      let caller = await Caller.open(target);
      for (let n = index; n < calls; n += CANCELLERS) {
        await new Promise((resolve) => caller.call(head, message, resolve));
        const cancel = caller.begin(head, part);
        // After what was begun has left, so that there is something to cancel.
        await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
        if (n % 50 === 49) {
          caller.close();
          caller = await Caller.open(target);
        } else cancel();
      }
      caller.close();
    }),
  );
}

async function lookAt({ pids, adminPort }: Running, probe: ThreadProbe, directory: string): Promise<Look> {
  const gauges = await until('rest', () => gaugesAtRest(adminPort), REST_TIMEOUT_MS, 500);
  const threads = await probe.measure();
  const objects = new Map<string, ObjectCounts>();
  const resident = residentBytes(pids);
  for (const { thread } of threads) {
    if (!thread.startsWith('worker')) continue;
    objects.set(thread, await probe.objects(thread, join(directory, `${thread}.heapsnapshot`)));
  }
  const descriptors = pids.reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0);
  return { threads, objects, residentBytes: resident, descriptors, gauges };
}

/** Undefined while there are connections or calls. */
async function gaugesAtRest(adminPort: number | undefined): Promise<ReadonlyMap<string, number> | undefined> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/metrics`);
  const text = await response.text();
  const gauges = new Map([...text.matchAll(GAUGES)].map(([, name = '', value = '']) => [name, Number(value)]));
  const busy = [...gauges].some(([name, value]) => value > 0 && /_connections|_calls_in_progress|in_flight/.test(name));
  return busy ? undefined : gauges;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      calls: { type: 'string', default: '1000000' },
      connections: { type: 'string', default: '100000' },
      json: { type: 'string' },
    },
  });
  const { leaksOf, reportText } = await import('./leak-verdict.ts');
  const plan = { calls: Number(values.calls), connections: Number(values.connections) };
  const warmUp = { warmUpCalls: 100_000, warmUpConnections: 4_000 };
  const report = await searchLeaks({ ...plan, ...warmUp }, (text) => process.stderr.write(`${text}\n`));
  process.stdout.write(reportText(report));
  if (values.json !== undefined) writeFileSync(values.json, reportText(report));
  const leaks = leaksOf(report);
  for (const leak of leaks) process.stderr.write(`LEAK ${leak}\n`);
  process.exitCode = leaks.length > 0 ? 1 : 0;
}
