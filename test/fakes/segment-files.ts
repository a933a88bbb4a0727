/** A disk that can run full or fail when the test says so; otherwise the real one. */
import { diskFiles, type SegmentFiles } from '../../src/audit/segment-files.ts';

export class FailingDisk implements SegmentFiles {
  /** Bytes that still fit; what is beyond fails with `code`. */
  room = Number.POSITIVE_INFINITY;
  code = 'ENOSPC';
  /** Also makes `truncate` fail. */
  truncateFails = false;

  create(path: string): number {
    if (this.room <= 0) throw this.#error();
    return diskFiles.create(path);
  }

  write(descriptor: number, bytes: Buffer, start: number, length: number): number {
    if (this.room <= 0) throw this.#error();
    const written = diskFiles.write(descriptor, bytes, start, Math.min(length, this.room));
    this.room -= written;
    return written;
  }

  truncate(descriptor: number, bytes: number): void {
    if (this.truncateFails) throw this.#error();
    diskFiles.truncate(descriptor, bytes);
  }

  sync = diskFiles.sync;
  syncNow = diskFiles.syncNow;
  close = diskFiles.close;
  remove = diskFiles.remove;

  #error(): Error {
    return Object.assign(new Error(`${this.code}: the disk says no`), { code: this.code });
  }
}
