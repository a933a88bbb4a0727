/**
 * Notices that the configuration may have changed on disk.
 *
 * Directories are watched, not files: an editor writes a new file over the old one, and Kubernetes swaps the symbolic link
 * `..data` under a whole mounted ConfigMap or Secret. Where the kernel's notices do not come (network file systems, too many
 * watches), a look at the files' identities every two seconds finds the change.
 */
import { type FSWatcher, statSync, watch } from 'node:fs';
import { dirname, resolve } from 'node:path';

export interface WatchTimes {
  /** Between two looks at the files. */
  readonly pollMs: number;
  /** A change is told when nothing has happened for so long: files are written one after the other. */
  readonly quietMs: number;
  /** A change is told after so long even when something happens all the time. */
  readonly patienceMs: number;
}

const TIMES: WatchTimes = { pollMs: 2_000, quietMs: 100, patienceMs: 1_000 };

/** Kernel watches are few (fs.inotify.max_user_watches) and shared with everyone of this user. */
const MAX_WATCHED_DIRECTORIES = 1_024;

/** Looks at so many files a poll; of more, the next ones at the next poll. 1,000 looks take about 3 ms. */
const MAX_STATS_PER_POLL = 1_000;

export class ConfigurationWatcher {
  readonly #mainFile: string;
  readonly #maybeChanged: () => void;
  readonly #times: WatchTimes;
  readonly #watchers = new Map<string, FSWatcher>();
  #identities = new Map<string, string>();
  #cursor = 0;
  readonly #poll: NodeJS.Timeout;
  #quiet: NodeJS.Timeout | undefined;
  #firstNoticeMs = 0;
  #closed = false;

  /** Begins with the main file's directory; `maybeChanged` is called when a load may give something new. */
  constructor(mainFile: string, maybeChanged: () => void, times: Partial<WatchTimes> = {}) {
    this.#mainFile = resolve(mainFile);
    this.#maybeChanged = maybeChanged;
    this.#times = { ...TIMES, ...times };
    this.#poll = setInterval(() => this.#look(), this.#times.pollMs).unref();
    this.watch([]);
  }

  /** Sets what is watched: files (they need not exist), and directories in which files may appear. */
  watch(paths: readonly string[]): void {
    if (this.#closed) return;
    const before = this.#identities;
    this.#identities = new Map();
    const directories = new Set<string>();
    for (const path of [this.#mainFile, ...paths]) {
      const { identity, directory } = look(path);
      // What changed since it was last looked at has been told, or is told now.
      const known = before.get(path);
      if (known !== undefined && known !== identity) this.#notice();
      this.#identities.set(path, identity);
      directories.add(directory ? path : dirname(path));
    }
    this.#cursor = 0;
    this.#watchDirectories(directories);
  }

  /** Ends all watching; nothing is told any more. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#quiet);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #watchDirectories(directories: ReadonlySet<string>): void {
    for (const [directory, watcher] of this.#watchers) {
      if (directories.has(directory)) continue;
      watcher.close();
      this.#watchers.delete(directory);
    }
    for (const directory of directories) {
      if (this.#watchers.size >= MAX_WATCHED_DIRECTORIES) return;
      if (!this.#watchers.has(directory)) this.#watchDirectory(directory);
    }
  }

  #watchDirectory(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => this.#notice());
      // The poll goes on without it, and the next `watch` tries again.
      watcher.on('error', () => this.#forget(directory));
      this.#watchers.set(directory, watcher);
    } catch {
      // Not there, or no watch to be had: the poll sees what this would have seen.
    }
  }

  #forget(directory: string): void {
    this.#watchers.get(directory)?.close();
    this.#watchers.delete(directory);
  }

  /** One poll: some files' identities against what they were. */
  #look(): void {
    const paths = [...this.#identities.keys()];
    const count = Math.min(paths.length, MAX_STATS_PER_POLL);
    for (let step = 0; step < count; step += 1) {
      const path = paths[(this.#cursor + step) % paths.length];
      if (path === undefined) return;
      const { identity } = look(path);
      if (this.#identities.get(path) === identity) continue;
      this.#identities.set(path, identity);
      this.#notice();
    }
    this.#cursor = paths.length === 0 ? 0 : (this.#cursor + count) % paths.length;
  }

  #notice(): void {
    if (this.#closed) return;
    const now = performance.now();
    if (this.#quiet === undefined) this.#firstNoticeMs = now;
    clearTimeout(this.#quiet);
    const patience = this.#firstNoticeMs + this.#times.patienceMs - now;
    this.#quiet = setTimeout(() => this.#tell(), Math.max(0, Math.min(this.#times.quietMs, patience)));
  }

  #tell(): void {
    this.#quiet = undefined;
    this.#maybeChanged();
  }
}

/** What tells one state of a file from another; links are followed, so a swapped link is another file. */
function look(path: string): { readonly identity: string; readonly directory: boolean } {
  try {
    const stat = statSync(path);
    const identity = `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeMs}:${stat.ctimeMs}`;
    return { identity, directory: stat.isDirectory() };
  } catch {
    return { identity: 'none', directory: false };
  }
}
