/**
 * One process that a test started: its output is kept, and it is ended by its own pid.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface ChildExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

/** Kept of the output: enough for any failure's message, bounded for a peer that logs every call. */
const KEPT_OUTPUT_CHARS = 256 * 1024;

/** All that were started and have not ended, for whoever is interrupted. */
export const runningChildren = new Set<Child>();

export class Child {
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly #name: string;
  #output = '';

  private constructor(name: string, process: ChildProcess, pid: number) {
    this.#name = name;
    this.#process = process;
    this.pid = pid;
    const keep = (chunk: Buffer): void => {
      this.#output = (this.#output + chunk.toString()).slice(-KEPT_OUTPUT_CHARS);
    };
    process.stdout?.on('data', keep);
    process.stderr?.on('data', keep);
  }

  /** Starts it; does not wait for it to be ready. */
  static async spawn(name: string, options: ChildOptions): Promise<Child> {
    const child = spawn(options.command, options.args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    await once(child, 'spawn');
    if (child.pid === undefined) throw new Error(`${name} has no pid`);
    const started = new Child(name, child, child.pid);
    runningChildren.add(started);
    child.once('close', () => runningChildren.delete(started));
    return started;
  }

  /** What it wrote to stdout and stderr so far (the end of it). */
  get output(): string {
    return this.#output;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Waits until the condition holds; throws with its output when it exits before or the time is over. */
  async until(what: string, condition: () => Promise<boolean> | boolean, timeoutMs = 30_000): Promise<void> {
    const end = Date.now() + timeoutMs;
    while (!(await condition())) {
      if (!this.running) throw new Error(`${this.#name} exited before ${what}:\n${this.#output}`);
      if (Date.now() > end) throw new Error(`${this.#name}: not ${what} after ${timeoutMs} ms:\n${this.#output}`);
      await sleep(25);
    }
  }

  /** Waits for its end by itself. */
  async exit(timeoutMs: number): Promise<ChildExit> {
    if (this.running) {
      const timer = setTimeout(() => this.#process.kill('SIGKILL'), timeoutMs);
      await once(this.#process, 'close');
      clearTimeout(timer);
    }
    return { code: this.#process.exitCode, signal: this.#process.signalCode, output: this.#output };
  }

  /** Ends it with SIGTERM, with SIGKILL when it does not end in time. Safe to call again. */
  async stop(timeoutMs = 10_000): Promise<ChildExit> {
    if (this.running) this.#process.kill('SIGTERM');
    return this.exit(timeoutMs);
  }

  /** Its resident memory in bytes, as the kernel counts it. */
  residentBytes(): number {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
    if (match?.[1] === undefined) throw new Error(`${this.#name} has no VmRSS`);
    return Number(match[1]) * 1024;
  }
}

/** Runs a command to its end. */
export async function run(name: string, options: ChildOptions, timeoutMs: number): Promise<ChildExit> {
  const child = await Child.spawn(name, options);
  return child.exit(timeoutMs);
}

/** True when something accepts TCP connections there. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** True when a GET is answered with a success. */
export async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
