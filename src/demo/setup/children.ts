/**
 * The demo's child processes: started with their output in a log file, stopped by process id, gone when the demo is gone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';

/** How long a child may take to end after SIGTERM before it is killed. */
const STOP_TIMEOUT_MS = 8_000;

export interface ChildOptions {
  readonly name: string;
  /** The script and its arguments. */
  readonly args: readonly string[];
  readonly logFile: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** A JSON line that a child printed. */
export type LogLine = Readonly<Record<string, unknown>>;

export class Child {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** What it has printed as JSON, in order. Bounded: the oldest go first. */
  readonly lines: LogLine[] = [];
  readonly #process: ChildProcess;
  readonly #ended: Promise<number | null>;
  #waiting: ((line: LogLine) => void)[] = [];

  constructor(options: ChildOptions) {
    this.name = options.name;
    this.logFile = options.logFile;
    this.#process = spawn(process.execPath, options.args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: options.env ?? process.env,
    });
    if (this.#process.pid === undefined) throw new Error(`${options.name} cannot be started`);
    this.pid = this.#process.pid;
    const log = createWriteStream(options.logFile, { mode: 0o600 });
    const { stdout, stderr } = this.#process;
    for (const stream of [stdout, stderr]) {
      stream?.pipe(log, { end: false });
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => this.#take(line));
    }
    this.#ended = new Promise((resolve) => {
      this.#process.once('exit', (code) => {
        log.end();
        resolve(code);
      });
    });
  }

  /** Waits for a JSON line that `wanted` accepts; fails when the child ends before it or the time is up. */
  async waitFor(wanted: (line: LogLine) => boolean, timeoutMs: number): Promise<LogLine> {
    const seen = this.lines.find(wanted);
    if (seen !== undefined) return seen;
    const { promise, resolve, reject } = Promise.withResolvers<LogLine>();
    this.#waiting.push((line) => {
      if (wanted(line)) resolve(line);
    });
    const timer = setTimeout(
      () => reject(new Error(`${this.name} was not ready after ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    this.#ended.then((code) => reject(new Error(`${this.name} ended with exit code ${code}`)), reject);
    try {
      return await promise;
    } catch (cause) {
      throw new Error(`${(cause as Error).message}; the end of ${this.logFile}:\n${await this.#lastLines()}`, {
        cause,
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends it with SIGTERM, and if it does not end, with SIGKILL. Returns its exit code; null when it was killed. */
  async stop(): Promise<number | null> {
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_TIMEOUT_MS);
    const code = await this.#ended;
    clearTimeout(timer);
    return code;
  }

  /** Ends it now. For the exit handler, which cannot wait. */
  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #take(line: string): void {
    if (!line.startsWith('{')) return;
    try {
      // Boundary: the children's log lines are JSON objects.
      const parsed = JSON.parse(line) as LogLine;
      this.lines.push(parsed);
      if (this.lines.length > MAX_LINES) this.lines.shift();
      for (const waiting of this.#waiting) waiting(parsed);
    } catch {
      // A line that is no JSON is for people: it is in the log file.
    }
  }

  async #lastLines(): Promise<string> {
    const text = await readFile(this.logFile, 'utf8').catch(() => '');
    return text.trimEnd().split('\n').slice(-12).join('\n');
  }
}

const MAX_LINES = 2_000;
