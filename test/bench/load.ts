/**
 * The closed loop: h2load on the second core, with a client certificate, as fast as the subject answers.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Axis {
  readonly name: string;
  readonly connections: number;
  readonly streams: number;
  /** Length of the request's message; the answer has always 100 bytes. */
  readonly messageBytes: number;
}

export interface LoadTarget {
  readonly port: number;
  /** False: cleartext HTTP/2 with prior knowledge. */
  readonly tls: boolean;
  readonly serverName: string;
  /** Certificate and key in one PEM file. */
  readonly clientPem: string;
  readonly token: string;
  /** Makes h2load present a certificate. */
  readonly shim: string;
  /** File with a framed message whose length is `messageBytes`. */
  bodyFile(messageBytes: number): string;
}

/** What the load calls. */
export const METHOD = '/inference.GRPCInferenceService/ModelInfer';

/** The subject has the first core for itself; load, backend and sinks share the second. */
export const SUBJECT_CORE = '0';
export const LOAD_CORE = '1';

/** The one cipher suite that the load offers: which one a server would prefer is not compared here. */
export const CIPHER_SUITE = 'TLS_AES_128_GCM_SHA256';

/** Longer than any run takes. */
const GRACE_SECONDS = 15;
const MAX_SECONDS = 60;

export interface Loaded {
  readonly calls: number;
  readonly seconds: number;
}

/**
 * Runs h2load for so many seconds, longer when a machine that is busy with something else did not get a single call done.
 * `begins` is called before each attempt, of which the last one counts. Throws when a call failed, or was not answered with 200.
 */
export async function load(
  target: LoadTarget,
  axis: Axis,
  seconds: number,
  begins: () => void = () => undefined,
): Promise<Loaded> {
  for (let duration = seconds; duration < MAX_SECONDS; duration *= 2) {
    const args = ['-D', `${Math.round(duration * 1000)}ms`, '-m', String(axis.streams)];
    const options = [...args, '-c', String(axis.connections)];
    const { calls } = await h2load(target, options, axis.messageBytes, duration, begins);
    if (calls > 0) return { calls, seconds: duration };
  }
  throw new Error(`no call was answered on ${axis.name}`);
}

/** Opens so many connections at once, one call on each. Returns the seconds that they took together. */
export async function connectAll(target: LoadTarget, connections: number): Promise<number> {
  const args = ['-n', String(connections), '-m', '1', '-c', String(connections)];
  const { calls, seconds } = await h2load(target, args, 100, 0, () => undefined);
  if (calls !== connections) throw new Error(`${calls} of ${connections} connections had their call answered`);
  return seconds;
}

/** Makes so many calls, whatever they are answered, as long as it is by HTTP 200. */
export async function callAll(target: LoadTarget, calls: number, connections: number, streams: number): Promise<void> {
  const args = ['-n', String(calls), '-m', String(streams), '-c', String(connections)];
  const done = await h2load(target, args, 100, MAX_SECONDS + calls / 1_000, () => undefined);
  if (done.calls !== calls) throw new Error(`${done.calls} of ${calls} calls were answered`);
}

async function h2load(
  target: LoadTarget,
  options: readonly string[],
  messageBytes: number,
  seconds: number,
  begins: () => void,
): Promise<Loaded> {
  const { port, serverName, token, tls } = target;
  const headers = ['content-type: application/grpc', 'te: trailers', `authorization: Bearer ${token}`];
  const args = [
    ...['-c', LOAD_CORE, 'h2load', ...options, '-t', '1', '-d', target.bodyFile(messageBytes)],
    ...headers.flatMap((header) => ['-H', header]),
    `--tls13-ciphers=${CIPHER_SUITE}`,
    `--connect-to=127.0.0.1:${port}`,
    `${tls ? 'https' : 'http'}://${serverName}:${port}${METHOD}`,
  ];
  const env = { ...process.env, ...(tls ? { LD_PRELOAD: target.shim, CLIENT_PEM: target.clientPem } : {}) };
  const stdout = await runToItsEnd(args, { env, timeout: Math.ceil((seconds + GRACE_SECONDS) * 1000) }, begins);
  const finished = /^finished in ([\d.]+)(us|ms|s|m|h),/m.exec(stdout);
  const requests = /^requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed/m.exec(stdout);
  const statuses = /^status codes: (\d+) 2xx/m.exec(stdout);
  if (finished === null || requests === null || statuses === null) throw new Error(`h2load said:\n${stdout}`);
  const [done, failed, answered] = [Number(requests[1]), Number(requests[2]), Number(statuses[1])];
  // At the end of a timed run, calls under way are left; they are neither done nor failed.
  if (failed > 0 || answered < done) {
    throw new Error(`${answered} of ${done} calls were answered, ${failed} failed:\n${stdout}`);
  }
  const unit = { us: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600 }[finished[2] ?? 's'] ?? 1;
  return { calls: done, seconds: Number(finished[1]) * unit };
}

/**
 * h2load's timed runs now and then stop all clients and never end (1.52). Such a run has no numbers; it is run again, at most twice.
 */
async function runToItsEnd(
  args: string[],
  options: { env: NodeJS.ProcessEnv; timeout: number },
  begins: () => void,
): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    begins();
    try {
      return (await run('taskset', args, options)).stdout;
    } catch (error) {
      const hung = error instanceof Error && 'killed' in error && error.killed === true;
      if (!hung || attempt === 3) throw error;
    }
  }
}
