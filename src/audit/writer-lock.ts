/**
 * Keeps two threads or processes from writing under one writer's name: two chains in one file name would be none.
 *
 * The lock file says who holds it: machine's boot, process-id namespace, thread, and the thread's start time. So a lock
 * left by `kill -9`, by a worker thread that died, or before a restart of the machine is known to be stale, also where every
 * process is number 1 (a container). A holder in another process-id namespace cannot be looked at; it counts as alive
 * while its file is being touched.
 */
import {
  linkSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';

/** A holder in another process-id namespace that has not touched its lock for so long is gone. It touches every second. */
export const LOCK_STALE_AFTER_MS = 5_000;

/** Somebody else is writing under this name. */
export class WriterLockedError extends Error {
  override readonly name = 'WriterLockedError';
}

interface Holder {
  readonly boot: string;
  readonly namespace: string;
  readonly process: number;
  /** `<process>/task/<thread>` under /proc; elsewhere than on Linux the number of the worker thread. */
  readonly thread: string;
  readonly startedAt: string;
}

export class WriterLock {
  readonly #path: string;
  #held = true;

  /** Takes the lock; throws a `WriterLockedError` when its holder lives. */
  constructor(directory: string, writer: string) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#path = join(directory, `${writer}.lock`);
    const self = JSON.stringify(currentHolder());
    if (create(this.#path, self)) return;
    removeStale(this.#path);
    if (!create(this.#path, self)) throw new WriterLockedError(`${this.#path} was taken by another writer just now`);
  }

  /** Shows that the holder lives. */
  touch(now: Date): void {
    if (this.#held) utimesSync(this.#path, now, now);
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    unlinkSync(this.#path);
  }
}

function create(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/**
 * Removes a lock whose holder is gone. Two writers may find the same stale lock at once: each moves aside what is there, and
 * one that finds it has moved the other's fresh lock puts it back.
 */
function removeStale(path: string): void {
  const found = readIfPresent(path);
  if (found === undefined) return;
  if (isAlive(found, path)) throw new WriterLockedError(`${path} is held by ${found}`);
  const aside = `${path}.${process.pid}-${threadId}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return;
    throw error;
  }
  const moved = readFileSync(aside, 'utf8');
  if (moved !== found) linkSync(aside, path);
  unlinkSync(aside);
  if (moved !== found) throw new WriterLockedError(`${path} was taken by ${moved} just now`);
}

function isAlive(text: string, path: string): boolean {
  const holder = parseHolder(text);
  // Cut short: its writer died before it could do anything under the name, or is doing it this instant.
  if (holder === undefined) return isRecent(path);
  const self = currentHolder();
  if (holder.boot !== self.boot) return false;
  if (holder.namespace !== self.namespace) return isRecent(path);
  if (holder.startedAt !== '') return threadStartedAt(holder.thread) === holder.startedAt;
  return isProcessAlive(holder.process) && (holder.process !== process.pid || holder.thread === self.thread);
}

function isRecent(path: string): boolean {
  try {
    return Date.now() - statSync(path).mtimeMs < LOCK_STALE_AFTER_MS;
  } catch {
    return false;
  }
}

function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isCode(error, 'EPERM');
  }
}

function currentHolder(): Holder {
  const thread = readLinkIfPresent('/proc/thread-self') ?? String(threadId);
  return {
    boot: readIfPresent('/proc/sys/kernel/random/boot_id')?.trim() ?? '',
    namespace: readLinkIfPresent('/proc/self/ns/pid') ?? '',
    process: process.pid,
    thread,
    startedAt: threadStartedAt(thread),
  };
}

/** Start time in clock ticks since boot: field 22 of `stat`, counted after the name, which may hold anything. */
function threadStartedAt(thread: string): string {
  if (!/^\d+\/task\/\d+$/.test(thread)) return '';
  const stat = readIfPresent(`/proc/${thread}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function parseHolder(text: string): Holder | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return isHolder(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isHolder(value: unknown): value is Holder {
  if (typeof value !== 'object' || value === null) return false;
  const fields = new Map(Object.entries(value));
  return (
    ['boot', 'namespace', 'thread', 'startedAt'].every((name) => typeof fields.get(name) === 'string') &&
    typeof fields.get('process') === 'number'
  );
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function readLinkIfPresent(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
