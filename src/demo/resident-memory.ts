/**
 * A process's resident memory, as the kernel counts it.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const SAMPLE_INTERVAL_MS = 5;

/** Resident bytes of a process: from /proc where there is one, else from ps. */
export function residentBytes(pid: number): number {
  if (process.platform === 'linux') {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Number(kib ?? 0) * 1024;
  }
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) * 1024;
}

/** Watches a process's memory until `stop`, which returns the most that was seen. */
export function watchPeak(pid: number): { stop(): number } {
  let peak = residentBytes(pid);
  const take = (): void => {
    peak = Math.max(peak, residentBytes(pid));
  };
  const timer = setInterval(take, SAMPLE_INTERVAL_MS);
  return {
    stop() {
      clearInterval(timer);
      take();
      return peak;
    },
  };
}

/** `64.0 MiB`. */
export function formatMiB(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
