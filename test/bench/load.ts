/**
 * The load: h2load on the second core, with a client certificate, and the CPU that the subject spent meanwhile.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Axis {
  readonly name: string;
  readonly connections: number;
  readonly streams: number;
}

export interface LoadTarget {
  readonly port: number;
  readonly serverName: string;
  /** Certificate and key in one PEM file. */
  readonly clientPem: string;
  readonly bodyFile: string;
  readonly token: string;
  readonly shim: string;
}

export interface Measured {
  readonly calls: number;
  readonly failed: number;
  readonly seconds: number;
}

/** The second core: the subject has the first one for itself. */
export const LOAD_CORE = '1';
export const SUBJECT_CORE = '0';

/** Runs h2load for a time, and says how many calls were answered with 200. Throws when none was, or any failed. */
export async function load(target: LoadTarget, axis: Axis, seconds: number): Promise<Measured> {
  const args = [
    '-c',
    LOAD_CORE,
    'h2load',
    '-D',
    String(seconds),
    '-c',
    String(axis.connections),
    '-m',
    String(axis.streams),
    '-t',
    '1',
    '-d',
    target.bodyFile,
    '-H',
    'content-type: application/grpc',
    '-H',
    'te: trailers',
    '-H',
    `authorization: Bearer ${target.token}`,
    `--connect-to=127.0.0.1:${target.port}`,
    `https://${target.serverName}:${target.port}/inference.GRPCInferenceService/ModelInfer`,
  ];
  const { stdout } = await run('taskset', args, {
    env: { ...process.env, LD_PRELOAD: target.shim, CLIENT_PEM: target.clientPem },
    timeout: (seconds + 30) * 1000,
  });
  const requests = /requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed/.exec(stdout);
  const statuses = /status codes: (\d+) 2xx/.exec(stdout);
  if (requests === null || statuses === null) throw new Error(`h2load said:\n${stdout}`);
  const done = Number(requests[2]);
  const answered = Number(statuses[1]);
  if (done === 0 || answered < done) throw new Error(`${answered} of ${done} calls were answered:\n${stdout}`);
  return { calls: done, failed: Number(requests[4]), seconds };
}

const TICKS_PER_SECOND = 100;

/** CPU seconds (user and system) that a process and its threads have used. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) * 1024;
}

/** How many threads a process has. */
export function threads(pid: number): number {
  return readdirSync(`/proc/${pid}/task`).length;
}
