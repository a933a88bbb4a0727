/**
 * A process that carries out orders, one at a time, and lives through a whole run, so that its own JIT is warm: both of its ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { LOAD_CORE } from './load.ts';

type Reply<R> = { readonly result: R } | { readonly error: string };

/** In the process: carries out what comes. */
export function obey<O, R>(perform: (order: O) => Promise<R>): void {
  process.on('message', (order: O) => {
    perform(order).then(
      (result) => process.send?.({ result } satisfies Reply<R>),
      (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) }),
    );
  });
}

/** Outside of it. It runs on the load's core. */
export class OrderedProcess<O extends object, R> {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  /** Starts a program that obeys. `niceness`: whoever is on the same core goes before it. */
  static async start<O extends object, R>(program: string, niceness: number): Promise<OrderedProcess<O, R>> {
    const args = ['-c', LOAD_CORE, 'nice', '-n', String(niceness), process.execPath, program];
    const child = spawn('taskset', args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await once(child, 'spawn');
    return new OrderedProcess<O, R>(child);
  }

  /** Carries out an order. Rejects when it fails, or the process has ended. */
  async perform(order: O): Promise<R> {
    const ended = new AbortController();
    const exit = once(this.#process, 'exit', { signal: ended.signal }).then(() => {
      throw new Error('the process has ended');
    });
    exit.catch(() => undefined);
    const message = once(this.#process, 'message', { signal: ended.signal });
    this.#process.send(order);
    try {
      // The other end is `obey`.
      const [reply] = (await Promise.race([message, exit])) as [Reply<R>];
      if ('error' in reply) throw new Error(reply.error);
      return reply.result;
    } finally {
      ended.abort();
      message.catch(() => undefined);
    }
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.disconnect();
    this.#process.kill('SIGTERM');
    await once(this.#process, 'exit');
  }
}
