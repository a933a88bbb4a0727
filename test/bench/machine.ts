/**
 * What the numbers were measured on: a number without its machine is not worth quoting.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { peerFile } from '../e2e/harness/peer-file.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly haproxy: string;
  readonly nginx: string;
  readonly envoy: string;
  readonly commit: string;
  /** Load average of the minute before the run. */
  readonly loadBefore: number;
}

/** Above these somebody else is using the cores, and the numbers are theirs too. */
export const QUIET_LOAD = 1.5;
export const QUIET_SHARE = 0.1;

/** Looks at the machine; call it before anything is started. */
export function machine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    kernel: release(),
    node: process.version,
    haproxy: version('haproxy', ['-v'], /version (\S+)/),
    nginx: version('nginx', ['-v'], /nginx\/(\S+)/),
    envoy: version(peerFile('bin/envoy'), ['--version'], /\/(\d+\.\d+\.\d+)\//),
    commit: version('git', ['rev-parse', '--short', 'HEAD'], /(\w+)/),
    loadBefore: Number((loadavg()[0] ?? 0).toFixed(2)),
  };
}

/** Says what share of the machine's CPU others have used since it was made, once everything that we started has ended. */
export class Disturbance {
  readonly #startedAt = performance.now();
  readonly #busy = busySeconds();
  readonly #own = ownSeconds();

  /** From 0 to 1, of all cores together. */
  share(): number {
    const others = busySeconds() - this.#busy - (ownSeconds() - this.#own);
    const available = ((performance.now() - this.#startedAt) / 1000) * cpus().length;
    return Number(Math.max(0, others / available).toFixed(3));
  }
}

const TICKS_PER_SECOND = 100;

/** All cores: user, nice, system, interrupts. */
function busySeconds(): number {
  const [, user, nice, system, , , interrupts, softInterrupts] = (
    readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? ''
  )
    .split(/\s+/)
    .map(Number);
  const sum = [user, nice, system, interrupts, softInterrupts].reduce<number>(
    (total, ticks) => total + (ticks ?? 0),
    0,
  );
  return sum / TICKS_PER_SECOND;
}

/** This process, and those that it started and that have ended. */
function ownSeconds(): number {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((total, ticks) => total + Number(ticks), 0) / TICKS_PER_SECOND;
}

/** What a program says of itself, on either output. */
function version(command: string, args: readonly string[], pattern: RegExp): string {
  try {
    const text = execFileSync('sh', ['-c', 'exec "$0" "$@" 2>&1', command, ...args], { encoding: 'utf8' });
    return pattern.exec(text)?.[1] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}
