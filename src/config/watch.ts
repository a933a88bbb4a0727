/**
 * Notices that the configuration may have changed on disk.
 *
 * Directories are watched, not files: an editor writes a new file over the old one, and Kubernetes swaps the symbolic link
 * `..data` under a whole mounted ConfigMap or Secret. Where the kernel's notices do not come (network file systems, too many
 * watches), a look at the files' identities every two seconds finds the change.
 */
import { type FSWatcher, statSync, watch } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { identityOf } from './file-cache.ts';

export interface WatchOptions {
  /** Between two looks at the files. */
  readonly pollMs: number;
  /** A change is told when nothing has happened for so long: files are written one after the other. */
  readonly quietMs: number;
  /** A change is told after so long even when something happens all the time. */
  readonly patienceMs: number;
  /** Directories watched by the kernel: its watches are few (fs.inotify.max_user_watches), and everyone of this user shares them. */
  readonly maxDirectories: number;
}

const DEFAULTS: WatchOptions = { pollMs: 2_000, quietMs: 100, patienceMs: 1_000, maxDirectories: 1_024 };

/** Looks at so many files a poll; of more, the next ones at the next poll. 1,000 looks take about 3 ms. */
const MAX_STATS_PER_POLL = 1_000;

export class ConfigurationWatcher {
  readonly #mainFile: string;
  readonly #maybeChanged: () => void;
  readonly #options: WatchOptions;
  readonly #watchers = new Map<string, FSWatcher>();
  #identities = new Map<string, string>();
  #cursor = 0;
  readonly #poll: NodeJS.Timeout;
  #quiet: NodeJS.Timeout | undefined;
  #firstNoticeMs = 0;
  #closed = false;

  /** Begins with the main file's directory; `maybeChanged` is called when a load may give something new. */
  constructor(mainFile: string, maybeChanged: () => void, options: Partial<WatchOptions> = {}) {
    this.#mainFile = resolve(mainFile);
    this.#maybeChanged = maybeChanged;
    this.#options = { ...DEFAULTS, ...options };
    this.#poll = setInterval(() => this.#look(), this.#options.pollMs).unref();
    this.watch(new Map([[this.#mainFile, identityOf(this.#mainFile)]]));
  }

  /**
   * Sets what is watched: files and directories by absolute path, each with what it was when it was loaded (`loader.files`).
   * What is something else by now is told.
   */
  watch(files: ReadonlyMap<string, string>): void {
    if (this.#closed) return;
    this.#identities = new Map(files);
    this.#cursor = 0;
    this.#watchDirectories(new Set([...files.keys()].flatMap(directoriesOf)));
    // After the watches are set, so that no change falls between the two.
    for (const [path, loaded] of files) this.#compare(path, loaded);
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
      if (this.#watchers.size >= this.#options.maxDirectories) return;
      if (!this.#watchers.has(directory)) this.#watchDirectory(directory);
    }
  }

  #watchDirectory(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, (_, name) => {
        if (name === null || this.#matters(directory, name)) this.#notice();
      });
      // The poll goes on without it, and the next `watch` tries again.
      watcher.on('error', () => this.#forget(directory));
      this.#watchers.set(directory, watcher);
    } catch {
      // Not there, or no watch to be had: the poll sees what this would have seen.
    }
  }

  /** Whether an entry may be configuration: not a log that somebody writes beside it. */
  #matters(directory: string, name: string): boolean {
    return name.startsWith('..') || name.endsWith('.yaml') || this.#identities.has(join(directory, name));
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
      this.#compare(path, this.#identities.get(path));
    }
    this.#cursor = paths.length === 0 ? 0 : (this.#cursor + count) % paths.length;
  }

  #compare(path: string, known: string | undefined): void {
    const identity = identityOf(path);
    if (identity === known) return;
    this.#identities.set(path, identity);
    this.#notice();
  }

  #notice(): void {
    if (this.#closed) return;
    const now = performance.now();
    if (this.#quiet === undefined) this.#firstNoticeMs = now;
    clearTimeout(this.#quiet);
    const patience = this.#firstNoticeMs + this.#options.patienceMs - now;
    this.#quiet = setTimeout(() => this.#tell(), Math.max(0, Math.min(this.#options.quietMs, patience)));
  }

  #tell(): void {
    this.#quiet = undefined;
    this.#maybeChanged();
  }
}

/** A file's directory; of a directory, itself too. Either may be missing. */
function directoriesOf(path: string): readonly string[] {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? [dirname(path), path] : [dirname(path)];
}
