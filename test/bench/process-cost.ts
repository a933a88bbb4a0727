/**
 * What a subject costs, as the kernel counts it: CPU and memory of its process and everything that it has started.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** `USER_HZ`: what `/proc` counts in on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
/** A subject that still works so long after the load is not behind but busy with something else. */
const MAX_SETTLE_MS = 15_000;
/** Less CPU than this share of the time is what an idle process takes for its timers. */
const IDLE_SHARE = 0.06;

/** The process and its descendants. */
export function processTree(pid: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const fields = statFields(Number(name));
    if (fields !== undefined) parents.set(Number(name), Number(fields[1]));
  }
  const tree = [pid];
  // The list grows while it is walked: children, then theirs.
  for (const one of tree) for (const [child, parent] of parents) if (parent === one) tree.push(child);
  return tree;
}

/** CPU seconds, user and system, that these processes have used, all threads included. */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const fields = statFields(pid);
    if (fields === undefined) throw new Error(`process ${pid} has ended`);
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

/** Resident bytes of these processes. */
export function residentBytes(pids: readonly number[]): number {
  let kilobytes = 0;
  for (const pid of pids) {
    kilobytes += Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  }
  return kilobytes * 1024;
}

/**
 * Waits until the processes have done what the load left them to do, such as exporting the last calls' spans: that cost
 * belongs to those calls, whenever it is paid.
 */
export async function settled(pids: readonly number[], stepMs: number, idleShare = 0): Promise<void> {
  const end = performance.now() + MAX_SETTLE_MS;
  for (let before = cpuSeconds(pids); performance.now() < end; ) {
    await sleep(stepMs);
    const now = cpuSeconds(pids);
    if (now - before <= Math.max(1 / TICKS_PER_SECOND, ((idleShare + IDLE_SHARE) * stepMs) / 1000)) return;
    before = now;
  }
}

/** CPU seconds per second over so many seconds without load. */
export async function idleShare(pids: readonly number[], seconds: number): Promise<number> {
  const [cpu, time] = [cpuSeconds(pids), performance.now()];
  await sleep(seconds * 1000);
  return ((cpuSeconds(pids) - cpu) * 1000) / (performance.now() - time);
}

/** `/proc/PID/stat` from the state on: 0 state, 1 parent, 11 user ticks, 12 system ticks. Undefined when it has ended. */
function statFields(pid: number): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
