/**
 * The generator as the bench holds it: started once, told what to do, one order at a time.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { FromGenerator, Latencies, Order, ToGenerator } from './generator-messages.ts';
import { LOAD_CORE } from './load.ts';

const PROGRAM = fileURLToPath(new URL('generator.ts', import.meta.url));
/** It spins while it waits for the next scheduled call; whoever else is on its core goes first. */
const NICENESS = '19';

export class Generator {
  readonly #process: ChildProcess;
  #id = 0;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  static async start(): Promise<Generator> {
    const args = ['-c', LOAD_CORE, 'nice', '-n', NICENESS, process.execPath, PROGRAM];
    const child = spawn('taskset', args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    await once(child, 'spawn');
    return new Generator(child);
  }

  /** Carries out an order. Rejects when it fails, or the generator has ended. */
  perform(order: Order): Promise<Latencies | undefined> {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      const onMessage = (message: FromGenerator): void => {
        if (message.id !== id) return;
        done();
        if ('error' in message) reject(new Error(message.error));
        else resolve(message.result);
      };
      const onExit = (): void => {
        done();
        reject(new Error('the generator has ended'));
      };
      const done = (): void => {
        this.#process.off('message', onMessage);
        this.#process.off('exit', onExit);
      };
      this.#process.on('message', onMessage);
      this.#process.once('exit', onExit);
      const message: ToGenerator = { ...order, id };
      this.#process.send(message);
    });
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.disconnect();
    this.#process.kill('SIGTERM');
    await once(this.#process, 'exit');
  }
}
