/**
 * Reads files once: as long as a file's identity on disk (inode, size, times) stands, its text does too. What the SPIFFE Workload
 * API gives is read here as well, by names that are no paths, so that it changes as files do.
 */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { isNewer } from '../identity/client-revocation.ts';
import type { RevocationList } from '../identity/revocation-list-reader.ts';
import { SerialTable } from '../identity/serial-table.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { isWorkloadName, NOT_ASKED, type WorkloadMaterial } from './workload-material.ts';

/** Far above any certificate bundle or tenant's file; keeps a mistaken path from filling the memory. */
const MAX_FILE_BYTES = 4 * 1024 ** 2;

/** A file written less than so long before it was read may change again without its times telling. */
const YOUNG_MS = 50;

/** Whether it may. Its own time anybody can set (`cp -p`, `tar`); the time of that the kernel notes. */
function isYoung({ mtimeMs, ctimeMs }: Stats): boolean {
  return Date.now() - Math.max(mtimeMs, ctimeMs) < YOUNG_MS;
}

/** A file that need not be text. */
export interface BinaryFile {
  readonly path: string;
  readonly bytes: Buffer;
}

interface Content {
  readonly path: string;
  /** Its text; bytes when it is not UTF-8. */
  readonly data: string | Buffer;
  /** SHA-256, hex. */
  readonly sha256: string;
}

export interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** SHA-256, hex. */
  readonly sha256: string;
}

interface Entry {
  readonly identity: string;
  readonly young: boolean;
  readonly content: Result<Content, string>;
}

interface Listing {
  readonly directory: string;
  readonly identity: string;
  readonly young: boolean;
  readonly names: Result<readonly string[], string>;
}

export class FileCache {
  readonly #workload: WorkloadMaterial;
  readonly #entries = new Map<string, Entry>();
  readonly #workloadNames = new Set<string>();
  readonly #identities = new Map<string, string>();
  readonly #young = new Set<string>();
  #suspects: Set<string> | undefined;
  #listing: Listing | undefined;
  /** A file is looked at once a load, so that all of a load sees the same text. */
  readonly #looked = new Set<string>();
  readonly #moved = new Set<string>();
  /** The newest revocation list that each file had of each CA. */
  readonly #lists = new Map<string, RevocationList>();

  constructor(workload: WorkloadMaterial = NOT_ASKED) {
    this.#workload = workload;
  }

  /**
   * Starts a load that looks anew at these files, at those whose times may not tell, and at those that it does not know. Without
   * `suspects` it looks at every file.
   */
  begin(suspects: Iterable<string> | undefined): void {
    this.#suspects = suspects === undefined ? undefined : new Set([...suspects, ...this.#young]);
    this.#looked.clear();
    this.#moved.clear();
  }

  /** What the load looks at anew; undefined: everything. */
  get suspects(): ReadonlySet<string> | undefined {
    return this.#suspects;
  }

  /** Has this load look at one more file anew, unless it has already. */
  suspect(path: string): void {
    this.#suspects?.add(path);
  }

  /** A file that nothing names any more. */
  forget(path: string): void {
    if (!this.#entries.delete(path)) return;
    if (this.#workloadNames.delete(path)) return;
    if (path !== this.#listing?.directory) this.#identities.delete(path);
    this.#young.delete(path);
    this.#moved.add(path);
  }

  /** Every path in use, whether it could be read or not, with what it was on disk. Always the same map, as of now. */
  get identities(): ReadonlyMap<string, string> {
    return this.#identities;
  }

  /** Files that this load found to be new, different, or forgot. */
  get moved(): ReadonlySet<string> {
    return this.#moved;
  }

  /** The text of a file, or why it cannot be read. */
  read(path: string): Result<SourceFile, string> {
    const { content } = this.#look(path);
    if (!content.ok) return content;
    const { data, sha256 } = content.value;
    return typeof data === 'string' ? ok({ path, text: data, sha256 }) : err('is not UTF-8 text');
  }

  /** The octets of a file, or why it cannot be read. */
  readBytes(path: string): Result<BinaryFile, string> {
    const { content } = this.#look(path);
    if (!content.ok) return content;
    const { data } = content.value;
    return ok({ path, bytes: typeof data === 'string' ? Buffer.from(data, 'utf8') : data });
  }

  /**
   * The names in the directory, of which a configuration has one: sorted, and the same array as long as they are the same. Every
   * load looks at it.
   */
  list(directory: string): Result<readonly string[], string> {
    const known = this.#listing;
    const listing = currentListing(directory, known);
    if (listing === known) return known.names;
    this.#listing = listing;
    if (known !== undefined && known.directory !== directory && !this.#entries.has(known.directory)) {
      this.#identities.delete(known.directory);
      this.#moved.add(known.directory);
    }
    if (this.#identities.get(directory) !== listing.identity) this.#moved.add(directory);
    this.#identities.set(directory, listing.identity);
    return listing.names;
  }

  /** Whether a revocation list is older than one that was read from the same file before; remembers the newer one. */
  isOlderList(path: string, list: RevocationList): boolean {
    const name = `${list.authority} ${path}`;
    const before = this.#lists.get(name);
    if (before !== undefined && isNewer(before, list)) return true;
    // Not the entries: which list it was is enough.
    this.#lists.set(name, { ...list, revoked: NO_SERIALS });
    return false;
  }

  /** What the Workload API gives by a name, or why it does not; undefined: it has not been asked. */
  readWorkload(name: string): Result<string, string> | undefined {
    const { content, identity } = this.#look(name);
    if (identity === UNASKED) return undefined;
    return content.ok ? ok(content.value.data.toString()) : content;
  }

  /** All names in use of what the Workload API gives. Always the same set, as of now. */
  get workloadNames(): ReadonlySet<string> {
    return this.#workloadNames;
  }

  /** Whether one of them had not been asked for when it was looked at. */
  get hasUnasked(): boolean {
    return [...this.#workloadNames].some((name) => this.#entries.get(name)?.identity === UNASKED);
  }

  /** Changes when the file may have changed. */
  revision(path: string): string {
    return revisionOf(this.#look(path));
  }

  #look(path: string): Entry {
    const known = this.#entries.get(path);
    if (known !== undefined && !this.#isSuspect(path)) return known;
    const entry = this.#current(path, known);
    this.#looked.add(path);
    if (entry === known) return entry;
    this.#entries.set(path, entry);
    if (isWorkloadName(path)) {
      this.#workloadNames.add(path);
      if (known === undefined || revisionOf(entry) !== revisionOf(known)) this.#moved.add(path);
      return entry;
    }
    this.#identities.set(path, entry.identity);
    if (entry.young) this.#young.add(path);
    else this.#young.delete(path);
    const moved = known === undefined || entry.identity !== known.identity || revisionOf(entry) !== revisionOf(known);
    if (moved) this.#moved.add(path);
    return entry;
  }

  #isSuspect(path: string): boolean {
    return !this.#looked.has(path) && (this.#suspects === undefined || this.#suspects.has(path));
  }

  #current(path: string, known: Entry | undefined): Entry {
    if (isWorkloadName(path)) return workloadEntry(path, this.#workload.read(path));
    try {
      const stat = statSync(path);
      const identity = identify(stat);
      if (known !== undefined && known.identity === identity && !known.young) return known;
      const young = isYoung(stat);
      return { identity, young, content: readContent(path) };
    } catch (cause) {
      return { identity: ABSENT, young: false, content: err(reason(cause)) };
    }
  }
}

function currentListing(directory: string, known: Listing | undefined): Listing {
  try {
    const stat = statSync(directory);
    const identity = identify(stat);
    const same = known?.directory === directory && known.identity === identity;
    if (same && !known.young) return known;
    const young = isYoung(stat);
    const names = readdirSync(directory).toSorted();
    return {
      directory,
      identity,
      young,
      names: same && known.names.ok && equal(known.names.value, names) ? known.names : ok(names),
    };
  } catch (cause) {
    return { directory, identity: identityOf(directory), young: false, names: err(reason(cause)) };
  }
}

function equal(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, index) => name === b[index]);
}

function revisionOf({ content, identity }: Entry): string {
  return content.ok ? content.value.sha256 : `${identity} ${content.error}`;
}

function workloadEntry(path: string, text: Result<string, string> | undefined): Entry {
  if (text === undefined) return { identity: UNASKED, young: false, content: err('has not been asked for') };
  if (!text.ok) return { identity: ABSENT, young: false, content: text };
  const sha256 = createHash('sha256').update(text.value).digest('hex');
  return { identity: sha256, young: false, content: ok({ path, data: text.value, sha256 }) };
}

const ABSENT = 'absent';
const UNASKED = 'unasked';
const DIRECTORY = 'directory:';

function identify(stat: Stats): string {
  return `${stat.isDirectory() ? DIRECTORY : ''}${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeMs}:${stat.ctimeMs}`;
}

/** What tells one state of a file or directory from another. Links are followed: a swapped link is another file. */
export function identityOf(path: string): string {
  try {
    return identify(statSync(path));
  } catch {
    return ABSENT;
  }
}

/** Whether an identity is a directory's. */
export function isDirectory(identity: string): boolean {
  return identity.startsWith(DIRECTORY);
}

function readContent(path: string): Result<Content, string> {
  const opened = readOpened(path);
  if (!opened.ok) return opened;
  const content = opened.value;
  const data = isUtf8(content) ? content.toString('utf8') : content;
  return ok({ path, data, sha256: createHash('sha256').update(content).digest('hex') });
}

/** What is judged is what was opened: by then another may have its name. And nobody waits for who would write to a pipe. */
function readOpened(path: string): Result<Buffer, string> {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) return err('is not a file');
    if (stat.size > MAX_FILE_BYTES) return err(`is larger than ${MAX_FILE_BYTES / 1024 ** 2} MiB`);
    return ok(readFileSync(file));
  } finally {
    closeSync(file);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: 'may not be read by this user',
  EPERM: 'may not be read by this user',
  ENOTDIR: 'does not exist: a part of the path is no directory',
  EISDIR: 'is a directory',
  ELOOP: 'is a symbolic link that leads back to itself',
};

/** What a failed file operation means, without the path, which the finding has already. */
export function reason(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return REASONS[code] ?? (cause instanceof Error ? cause.message : String(cause));
}

const NO_SERIALS = SerialTable.of([]);
