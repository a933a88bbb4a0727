/**
 * Notices that the configuration may have changed on disk, and which part of it.
 *
 * Directories are watched, not files: an editor writes a new file over the old one, and Kubernetes swaps the symbolic link
 * `..data` under a whole mounted ConfigMap or Secret. Where the kernel's notices do not come (network file systems, links to
 * elsewhere, too many watches), a look at the files' identities every two seconds finds the change.
 */
import { type FSWatcher, readFileSync, statSync, watch } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { identityOf, isDirectory } from './file-cache.ts';

export interface WatchOptions {
  /** Between two looks at the files. */
  readonly pollMs: number;
  /** A change is told when nothing has happened for so long: files are written one after the other. */
  readonly quietMs: number;
  /** A change is told after so long even when something happens all the time. */
  readonly patienceMs: number;
  /** Directories watched by the kernel: its watches are few (fs.inotify.max_user_watches), and everyone of this user shares them. */
  readonly maxDirectories: number;
  /**
   * Notices between two polls; of more, some may have been lost, and any file may have changed. The kernel keeps 16,384 that nobody
   * has read yet (fs.inotify.max_queued_events).
   */
  readonly maxNotices: number;
}

/** `suspects`: the files that may have changed, by absolute path; undefined: any may. */
export type MaybeChanged = (suspects: ReadonlySet<string> | undefined) => void;

/** Watches that one process may take whatever the kernel's limit is, and their share of it. A watch takes 1 KiB of the kernel. */
const MIN_DIRECTORIES = 1_024;
const MAX_DIRECTORIES = 16_384;
const SHARE_OF_WATCHES = 1 / 8;

const DEFAULTS = { pollMs: 2_000, quietMs: 100, patienceMs: 1_000, maxNotices: 8_192 };

/** Looks at so many files a poll; of more, the next ones at the next poll. 1,000 looks take about 3 ms. */
const MAX_STATS_PER_POLL = 1_000;

interface WatchedDirectory {
  readonly watcher: FSWatcher;
  /** Which one was watched: another may be in its place by now. */
  readonly inode: string;
}

export class ConfigurationWatcher {
  readonly #mainFile: string;
  readonly #maybeChanged: MaybeChanged;
  readonly #options: WatchOptions;
  readonly #watched = new Map<string, WatchedDirectory>();
  /** How many of the files are in each directory. */
  readonly #directories = new Map<string, number>();
  readonly #identities = new Map<string, string>();
  /** What was found on disk since, and told. */
  readonly #told = new Map<string, string>();
  #round: Iterator<[string, string]> = this.#identities.entries();
  readonly #poll: NodeJS.Timeout;
  #quiet: NodeJS.Timeout | undefined;
  #firstNoticeMs = 0;
  #noticesSincePoll = 0;
  /** What to tell of: files, directories with all that is in them, or everything. */
  readonly #suspects = new Set<string>();
  readonly #suspectDirectories = new Set<string>();
  #everything = false;
  /** Whether directories may have been replaced under their watches. */
  #verify = false;
  #closed = false;

  /** Begins with the main file's directory; `maybeChanged` is called when a load may give something new. */
  constructor(mainFile: string, maybeChanged: MaybeChanged, options: Partial<WatchOptions> = {}) {
    this.#mainFile = resolve(mainFile);
    this.#maybeChanged = maybeChanged;
    this.#options = { ...DEFAULTS, maxDirectories: options.maxDirectories ?? maxDirectories(), ...options };
    this.#poll = setInterval(() => this.#look(), this.#options.pollMs).unref();
    this.watch(new Map([[this.#mainFile, identityOf(this.#mainFile)]]));
  }

  /**
   * Sets what is watched: files and directories by absolute path, each with what it was when it was loaded (`loader.files`).
   * What is something else by now is told. `touched`: those that may be new, gone or different since the last time
   * (`loader.touched`); without it, all.
   */
  watch(files: ReadonlyMap<string, string>, touched?: ReadonlySet<string>): void {
    if (this.#closed) return;
    this.#told.clear();
    const paths = touched ?? new Set([...this.#identities.keys(), ...files.keys()]);
    for (const path of paths) this.#set(path, files.get(path));
    if (this.#verify) this.#forgetReplaced();
    this.#verify = false;
    const added = this.#watchDirectories();
    // After the watches are set, so that no change falls between the two.
    for (const path of paths) this.#compare(path);
    if (added.size === 0 || touched === undefined) return;
    for (const path of this.#identities.keys()) if (added.has(dirname(path)) || added.has(path)) this.#compare(path);
  }

  /** Ends all watching; nothing is told any more. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#quiet);
    for (const { watcher } of this.#watched.values()) watcher.close();
    this.#watched.clear();
  }

  #set(path: string, identity: string | undefined): void {
    const before = this.#identities.get(path);
    if (before !== undefined) for (const directory of directoriesOf(path, before)) this.#count(directory, -1);
    if (identity === undefined) this.#identities.delete(path);
    else {
      this.#identities.set(path, identity);
      for (const directory of directoriesOf(path, identity)) this.#count(directory, 1);
    }
  }

  #count(directory: string, by: number): void {
    const files = (this.#directories.get(directory) ?? 0) + by;
    if (files > 0) this.#directories.set(directory, files);
    else this.#directories.delete(directory);
  }

  /** Watches all directories that it should. Returns those that it did not watch before. */
  #watchDirectories(): ReadonlySet<string> {
    for (const directory of this.#watched.keys()) if (!this.#directories.has(directory)) this.#forget(directory);
    const added = new Set<string>();
    for (const directory of this.#directories.keys()) {
      if (this.#watched.size >= this.#options.maxDirectories) break;
      if (!this.#watched.has(directory) && this.#watchDirectory(directory)) added.add(directory);
    }
    return added;
  }

  #watchDirectory(directory: string): boolean {
    try {
      const inode = inodeOf(directory);
      const watcher = watch(directory, { persistent: false }, (event, name) => this.#hear(directory, event, name));
      // The poll goes on without it, and the next `watch` tries again.
      watcher.on('error', () => this.#forget(directory));
      this.#watched.set(directory, { watcher, inode });
      return true;
    } catch {
      // Not there, or no watch to be had: the poll sees what this would have seen.
      return false;
    }
  }

  #hear(directory: string, event: string, name: string | null): void {
    this.#noticesSincePoll += 1;
    if (name === null || this.#noticesSincePoll === this.#options.maxNotices + 1) return this.#noticeEverything();
    const path = join(directory, name);
    if (this.#identities.has(path) || name.endsWith('.yaml')) {
      this.#suspects.add(path);
      return this.#notice();
    }
    if (event === 'rename' && name === basename(directory)) {
      // The directory itself has gone, and another may be in its place.
      this.#forget(directory);
      return this.#noticeEverything();
    }
    // Not a log that somebody writes beside the configuration: one of Kubernetes' links.
    if (!name.startsWith('..')) return;
    this.#suspectDirectories.add(directory);
    this.#notice();
  }

  #forget(directory: string): void {
    this.#watched.get(directory)?.watcher.close();
    this.#watched.delete(directory);
  }

  #forgetReplaced(): void {
    for (const [directory, { inode }] of this.#watched) if (inodeOf(directory) !== inode) this.#forget(directory);
  }

  /** One poll: some files' identities against what they were. */
  #look(): void {
    this.#noticesSincePoll = 0;
    const count = Math.min(this.#identities.size, MAX_STATS_PER_POLL);
    for (let step = 0; step < count; step += 1) {
      let next = this.#round.next();
      if (next.done === true) {
        this.#round = this.#identities.entries();
        next = this.#round.next();
      }
      if (next.done !== true) this.#compare(next.value[0]);
    }
  }

  #compare(path: string): void {
    const known = this.#told.get(path) ?? this.#identities.get(path);
    if (known === undefined) return;
    const identity = identityOf(path);
    if (identity === known) return;
    this.#told.set(path, identity);
    // No notice came of it, so of others none may have come either.
    this.#noticeEverything();
  }

  #noticeEverything(): void {
    this.#everything = true;
    this.#verify = true;
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
    const suspects = this.#everything ? undefined : this.#suspectFiles();
    this.#everything = false;
    this.#suspects.clear();
    this.#suspectDirectories.clear();
    this.#maybeChanged(suspects);
  }

  #suspectFiles(): ReadonlySet<string> {
    const files = new Set(this.#suspects);
    if (this.#suspectDirectories.size === 0) return files;
    for (const path of this.#identities.keys()) if (this.#suspectDirectories.has(dirname(path))) files.add(path);
    return files;
  }
}

/** A file's directory; of a directory, itself too. Either may be missing. */
function directoriesOf(path: string, identity: string): readonly string[] {
  return isDirectory(identity) ? [dirname(path), path] : [dirname(path)];
}

function inodeOf(directory: string): string {
  const stat = statSync(directory, { throwIfNoEntry: false });
  return stat === undefined ? '' : `${stat.dev}:${stat.ino}`;
}

function maxDirectories(): number {
  let watches = 0;
  try {
    watches = Number(readFileSync('/proc/sys/fs/inotify/max_user_watches', 'utf8'));
  } catch {
    // Another system, with other limits.
  }
  return Math.min(MAX_DIRECTORIES, Math.max(MIN_DIRECTORIES, Math.floor(watches * SHARE_OF_WATCHES) || 0));
}
