/**
 * Reads files once: as long as a file's identity on disk (inode, size, times) stands, its text does too.
 */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { readFileSync, type Stats, statSync } from 'node:fs';
import { err, ok, type Result } from '../kernel/result.ts';

/** Far above any certificate bundle or tenant's file; keeps a mistaken path from filling the memory. */
const MAX_FILE_BYTES = 4 * 1024 ** 2;

/** A file written less than so long before it was read may change again without its times telling. */
const YOUNG_MS = 50;

export interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** SHA-256, hex. */
  readonly sha256: string;
}

interface Entry {
  readonly identity: string;
  readonly young: boolean;
  readonly content: Result<SourceFile, string>;
}

export class FileCache {
  #entries = new Map<string, Entry>();
  /** Entries used since `begin`: a file is looked at once a load, so that all of a load sees the same text. */
  #seen = new Map<string, Entry>();

  /** Starts a load: every file is looked at anew. */
  begin(): void {
    this.#seen = new Map();
  }

  /** Ends a load: files that it did not use are forgotten. */
  end(): void {
    this.#entries = this.#seen;
  }

  /** Every path that this load used, whether it could be read or not, with what it was on disk then. */
  identities(): ReadonlyMap<string, string> {
    return new Map(this.#seen.entries().map(([path, { identity }]) => [path, identity]));
  }

  /** The text of a file, or why it cannot be read. */
  read(path: string): Result<SourceFile, string> {
    return this.#look(path).content;
  }

  /** Changes when the file may have changed. */
  revision(path: string): string {
    const { content, identity } = this.#look(path);
    return content.ok ? content.value.sha256 : `${identity} ${content.error}`;
  }

  #look(path: string): Entry {
    const seen = this.#seen.get(path);
    if (seen !== undefined) return seen;
    const known = this.#entries.get(path);
    const entry = this.#current(path, known);
    this.#seen.set(path, entry);
    return entry;
  }

  #current(path: string, known: Entry | undefined): Entry {
    try {
      const stat = statSync(path);
      const identity = identify(stat);
      if (known !== undefined && known.identity === identity && !known.young) return known;
      const young = Date.now() - stat.mtimeMs < YOUNG_MS;
      return { identity, young, content: stat.isFile() ? readText(path, stat.size) : err('is not a file') };
    } catch (cause) {
      return { identity: ABSENT, young: false, content: err(reason(cause)) };
    }
  }
}

const ABSENT = 'absent';

function identify(stat: Stats): string {
  return `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeMs}:${stat.ctimeMs}`;
}

/** What tells one state of a file or directory from another. Links are followed: a swapped link is another file. */
export function identityOf(path: string): string {
  try {
    return identify(statSync(path));
  } catch {
    return ABSENT;
  }
}

function readText(path: string, bytes: number): Result<SourceFile, string> {
  if (bytes > MAX_FILE_BYTES) return err(`is larger than ${MAX_FILE_BYTES / 1024 ** 2} MiB`);
  const content = readFileSync(path);
  if (!isUtf8(content)) return err('is not UTF-8 text');
  return ok({ path, text: content.toString('utf8'), sha256: createHash('sha256').update(content).digest('hex') });
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
