/**
 * The segment that a writer appends to, and the ones before it: makes the next one when it is full, and removes delivered
 * ones when the writer's share of the disk is used up.
 */
import { join } from 'node:path';
import type { EpochMicros } from '../kernel/ids.ts';
import { readCursor } from './cursor.ts';
import { type ChainEnd, listSegments, type SegmentFile } from './recovery.ts';
import { encodeHeader, HASH_BYTES, segmentFileName } from './segment.ts';
import type { SegmentFiles } from './segment-files.ts';

export interface SegmentWriterOptions {
  readonly directory: string;
  readonly writer: string;
  readonly segmentBytes: number;
  readonly maxBytes: number;
  readonly files: SegmentFiles;
}

/** Looking for delivered segments costs a directory listing: at most so often while the log is full. */
const RECLAIM_INTERVAL_MS = 50;

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  #older: readonly SegmentFile[];
  #olderBytes: number;
  #descriptor = -1;
  #path = '';
  #sequence: number;
  #bytes = 0;
  #records = 0;
  #lastHash: string;
  #dirty = false;
  #syncing = false;
  #rotationFailed = false;
  #reclaimedAt = Number.NEGATIVE_INFINITY;

  /** Creates the chain's next segment. Throws what the file system throws. */
  constructor(options: SegmentWriterOptions, chain: ChainEnd, now: EpochMicros) {
    this.#options = options;
    this.#older = chain.segments;
    this.#olderBytes = sum(chain.segments);
    this.#sequence = chain.nextSequence - 1;
    this.#lastHash = chain.lastHash;
    this.#create(now);
  }

  /** Records in the segment that is being written. */
  get records(): number {
    return this.#records;
  }

  get lastHash(): string {
    return this.#lastHash;
  }

  get totalBytes(): number {
    return this.#olderBytes + this.#bytes;
  }

  get isFull(): boolean {
    const { segmentBytes, maxBytes } = this.#options;
    return this.#bytes >= Math.min(segmentBytes, maxBytes / 4) && !this.#rotationFailed;
  }

  /** Says why so many bytes more cannot be had, after removing what was delivered; undefined when they can. */
  reserve(bytes: number): string | undefined {
    if (this.totalBytes + bytes <= this.#options.maxBytes) return undefined;
    const now = performance.now();
    if (now - this.#reclaimedAt >= RECLAIM_INTERVAL_MS) {
      this.#reclaimedAt = now;
      try {
        this.#reclaim(bytes);
      } catch (error) {
        return `the log is full, and delivered segments cannot be removed: ${error instanceof Error ? error.message : error}`;
      }
      if (this.totalBytes + bytes <= this.#options.maxBytes) return undefined;
    }
    return `the log has reached its ${this.#options.maxBytes} bytes and nothing more of it is delivered`;
  }

  /** Appends; may take only a part. */
  write(bytes: Buffer, start: number, length: number): number {
    this.#dirty = true;
    return this.#options.files.write(this.#descriptor, bytes, start, length);
  }

  /** Whole records were taken. */
  written(bytes: number, records: number, lastHash: string): void {
    this.#bytes += bytes;
    this.#records += records;
    this.#lastHash = lastHash;
  }

  /** Takes back what was written of records that are to be forgotten. */
  undo(): void {
    this.#options.files.truncate(this.#descriptor, this.#bytes);
  }

  /**
   * Starts the next segment. False: it could not be made, and the present one is written on; tried again in a second.
   */
  rotate(now: EpochMicros): boolean {
    const finished = { sequence: this.#sequence, path: this.#path, bytes: this.#bytes };
    const descriptor = this.#descriptor;
    try {
      this.#create(now);
    } catch {
      this.#rotationFailed = true;
      return false;
    }
    this.#older = [...this.#older, finished];
    this.#olderBytes += finished.bytes;
    const { files } = this.#options;
    files.sync(descriptor, () => files.close(descriptor));
    return true;
  }

  /** Called once a second: has the disk take what was written since. */
  sync(onError: (error: Error) => void): void {
    this.#rotationFailed = false;
    if (!this.#dirty || this.#syncing) return;
    this.#dirty = false;
    this.#syncing = true;
    this.#options.files.sync(this.#descriptor, (error) => {
      this.#syncing = false;
      // The segment may have been finished and closed meanwhile; it was synced then.
      if (error !== null && !('code' in error && error.code === 'EBADF')) onError(error);
    });
  }

  close(): void {
    try {
      this.#options.files.syncNow(this.#descriptor);
    } finally {
      this.#options.files.close(this.#descriptor);
    }
  }

  #create(now: EpochMicros): void {
    const { directory, writer, files } = this.#options;
    const name = { writer, sequence: this.#sequence + 1 };
    const path = join(directory, segmentFileName(name));
    const header = encodeHeader(name, now, this.#lastHash);
    const descriptor = files.create(path);
    try {
      const written = files.write(descriptor, header, 0, header.length);
      if (written !== header.length) throw new Error(`${path}: no space for its header`);
    } catch (error) {
      files.close(descriptor);
      files.remove(path);
      throw error;
    }
    this.#descriptor = descriptor;
    this.#path = path;
    this.#sequence = name.sequence;
    this.#bytes = header.length;
    this.#records = 0;
    this.#lastHash = header.toString('hex', header.length - HASH_BYTES);
    this.#dirty = true;
  }

  #reclaim(bytes: number): void {
    const { directory, writer, maxBytes, files } = this.#options;
    const delivered = readCursor(directory, writer)?.sequence ?? 0;
    // Listed anew, because an operator may have moved some away.
    this.#older = listSegments(directory, writer).filter((file) => file.sequence < this.#sequence);
    this.#olderBytes = sum(this.#older);
    for (const oldest of [...this.#older]) {
      if (oldest.sequence >= delivered || this.totalBytes + bytes <= maxBytes) return;
      files.remove(oldest.path);
      this.#older = this.#older.slice(1);
      this.#olderBytes -= oldest.bytes;
    }
  }
}

function sum(files: readonly SegmentFile[]): number {
  return files.reduce((total, file) => total + file.bytes, 0);
}
