/**
 * What the numbers were measured on: a number without its machine is not worth quoting.
 */
import { execFileSync } from 'node:child_process';
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

/** Above it somebody else is using the cores, and the numbers are theirs too. */
export const QUIET_LOAD = 1.5;

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

/** What a program says of itself, on either output. */
function version(command: string, args: readonly string[], pattern: RegExp): string {
  try {
    const text = execFileSync('sh', ['-c', 'exec "$0" "$@" 2>&1', command, ...args], { encoding: 'utf8' });
    return pattern.exec(text)?.[1] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}
