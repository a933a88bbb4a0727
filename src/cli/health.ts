/**
 * `bulkhead health`: asks a running sidecar's admin port how it is. The exit code is the answer, as a container's probe wants it.
 *
 * A pod's probes run this file directly every few seconds, so it starts with as little as possible: no gRPC library.
 */
import { isIP } from 'node:net';
import type { Command } from 'commander';
import { request } from '../kernel/http.ts';
import { type CliIo, processIo } from './io.ts';

/** How long the sidecar may take to answer. Its main thread is idle next to the workers', so it answers in milliseconds. */
const TIMEOUT_MS = 3_000;

/** More than any answer of these paths; the rest is not read. */
const MAX_ANSWER_BYTES = 16 * 1024;

const PATHS = new Map([
  ['readiness', '/readyz'],
  ['liveness', '/healthz'],
]);

/** Adds `health` to the program. */
export function registerHealth(program: Command, io: CliIo): void {
  program
    .command('health')
    .description('ask a running sidecar whether it lives and is ready')
    .argument('[service]', 'readiness (calls would be served) or liveness (the process answers)', 'readiness')
    .option('--admin <address>', 'its admin port', '127.0.0.1:9901')
    .addHelpText(
      'after',
      `
Exit code: 0 when it is well, 1 when it is not or does not answer.

Examples:
  $ bulkhead health
  $ bulkhead health liveness --admin 127.0.0.1:9901`,
    )
    .action((service: string, options: { readonly admin: string }) => health(service, options.admin, io));
}

async function health(service: string, admin: string, io: CliIo): Promise<void> {
  const path = PATHS.get(service);
  const address = parseAddress(admin);
  if (path === undefined || address === undefined) {
    io.err(path === undefined ? `${service} is not readiness or liveness\n` : `${admin} is not ADDRESS:PORT\n`);
    io.exit(1);
    return;
  }
  try {
    const { status, body } = await ask(address, path);
    if (status === 200) {
      io.out(body);
      return;
    }
    io.err(body);
    io.exit(1);
  } catch (cause) {
    io.err(`${admin} does not answer: ${cause instanceof Error ? cause.message : String(cause)}\n`);
    io.exit(1);
  }
}

interface Address {
  readonly host: string;
  readonly port: number;
}

function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = Number(match?.[3]);
  return (isIP(host) !== 0 || host === 'localhost') && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

function ask(address: Address, path: string): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const fail = (cause: Error): void =>
      reject(signal.aborted ? new Error(`no answer within ${TIMEOUT_MS} ms`) : cause);
    const asked = request({ ...address, path, agent: false, signal }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too long'));
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', fail);
    });
    asked.on('error', fail);
    asked.end();
  });
}

if (import.meta.main) {
  const { Command } = await import('commander');
  const program = new Command('bulkhead');
  registerHealth(program, processIo);
  await program.parseAsync(['health', ...process.argv.slice(2)], { from: 'user' });
}
