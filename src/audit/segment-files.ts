/** The file operations of a segment's writer, so that a full or failing disk can be put in their place. */
import { closeSync, fdatasync, fdatasyncSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';

export interface SegmentFiles {
  /** Creates a file that did not exist, for appending. */
  create(path: string): number;
  /** Appends; may take only a part. Throws an error with a `code`. */
  write(descriptor: number, bytes: Buffer, start: number, length: number): number;
  truncate(descriptor: number, bytes: number): void;
  /** Has the disk, not only the kernel, hold what was written. */
  sync(descriptor: number, done: (error: Error | null) => void): void;
  syncNow(descriptor: number): void;
  close(descriptor: number): void;
  remove(path: string): void;
}

/** The real ones. */
export const diskFiles: SegmentFiles = {
  create: (path) => openSync(path, 'ax', 0o600),
  write: (descriptor, bytes, start, length) => writeSync(descriptor, bytes, start, length),
  truncate: ftruncateSync,
  sync: fdatasync,
  syncNow: fdatasyncSync,
  close: closeSync,
  // Two writers may want the same delivered segment gone.
  remove: (path) => rmSync(path, { force: true }),
};
