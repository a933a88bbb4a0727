/**
 * The segment that a writer appends to: makes the next one when it is full, and when the directory has reached its size
 * removes segments, of any writer, that are delivered.
 */
import { join } from 'node:path';
import type { EpochMicros } from '../kernel/ids.ts';
import type { ChainEnd } from './recovery.ts';
import { encodeHeader, HASH_BYTES, segmentFileName } from './segment.ts';
import type { SegmentFiles } from './segment-files.ts';
import { deliveredSegments, listAllSegments, type SegmentFile } from './segment-list.ts';

export interface SegmentWriterOptions {
  readonly directory: string;
  readonly writer: string;
  readonly segmentBytes: number;
  readonly maxBytes: number;
  readonly files: SegmentFiles;
}

/** A directory at its size is at least so many segments: the ones being written are not removed, so others must exist. */
const MIN_SEGMENTS = 16;
/** Looking for delivered segments costs a directory listing: at most so often while there are none. */
const RECLAIM_INTERVAL_MS = 50;
/** Seconds between two listings while the directory is less than half full. */
const RELAXED_LIST_TICKS = 30;

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  /** Bytes of all other segments in the directory, as last listed. */
  #otherBytes = 0;
  #ticks = 0;
  #descriptor = -1;
  #path = '';
  #sequence: number;
  #bytes = 0;
  #records = 0;
  #headerHash = '';
  #dirty = false;
  #syncing = false;
  #rotationFailed = false;
  #reclaimFailedAt = Number.NEGATIVE_INFINITY;

  /** Creates the chain's next segment. Throws what the file system throws. */
  constructor(options: SegmentWriterOptions, chain: ChainEnd, now: EpochMicros) {
    this.#options = options;
    this.#sequence = chain.nextSequence - 1;
    this.#create(chain.lastHash, now);
    this.#list();
  }

  /** Records in the segment that is being written. */
  get records(): number {
    return this.#records;
  }

  /** Hash of the segment's header, hex: what its first record is chained to. */
  get headerHash(): string {
    return this.#headerHash;
  }

  /** Of all segments in the directory; what other writers wrote in the last second may not be in it. */
  get totalBytes(): number {
    return this.#otherBytes + this.#bytes;
  }

  get isFull(): boolean {
    const { segmentBytes, maxBytes } = this.#options;
    return this.#bytes >= Math.min(segmentBytes, maxBytes / MIN_SEGMENTS) && !this.#rotationFailed;
  }

  /** Says why so many bytes more cannot be had, after removing what was delivered; undefined when they can. */
  reserve(bytes: number): string | undefined {
    if (this.totalBytes + bytes <= this.#options.maxBytes) return undefined;
    const now = performance.now();
    if (now - this.#reclaimFailedAt >= RECLAIM_INTERVAL_MS) {
      try {
        this.#reclaim(bytes);
      } catch (error) {
        return `the log is full, and delivered segments cannot be removed: ${error instanceof Error ? error.message : String(error)}`;
      }
      if (this.totalBytes + bytes <= this.#options.maxBytes) return undefined;
      this.#reclaimFailedAt = now;
    }
    return `the log has reached its ${this.#options.maxBytes} bytes, and no more of it is delivered and could be removed`;
  }

  /** Appends; may take only a part. */
  write(bytes: Buffer, start: number, length: number): number {
    this.#dirty = true;
    return this.#options.files.write(this.#descriptor, bytes, start, length);
  }

  /** Whole records were taken. */
  written(bytes: number, records: number): void {
    this.#bytes += bytes;
    this.#records += records;
  }

  /** Takes back what was written of records that are to be forgotten. */
  undo(): void {
    this.#options.files.truncate(this.#descriptor, this.#bytes);
  }

  /**
   * Starts the next segment, chained to this one's last hash, and returns its header's hash. Undefined: it could not be made,
   * and the present one is written on; tried again in a second.
   */
  rotate(lastHash: string, now: EpochMicros): string | undefined {
    const finishedBytes = this.#bytes;
    const descriptor = this.#descriptor;
    try {
      this.#create(lastHash, now);
    } catch {
      this.#rotationFailed = true;
      return undefined;
    }
    this.#otherBytes += finishedBytes;
    const { files } = this.#options;
    files.sync(descriptor, () => files.close(descriptor));
    return this.#headerHash;
  }

  /** Called once a second: has the disk take what was written since. */
  sync(onError: (error: Error) => void): void {
    this.#rotationFailed = false;
    // The closer to full, the more often it matters what the others write.
    if (this.totalBytes > this.#options.maxBytes / 2 || ++this.#ticks % RELAXED_LIST_TICKS === 0) this.#list();
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

  #create(previousHash: string, now: EpochMicros): void {
    const { directory, writer, files } = this.#options;
    const name = { writer, sequence: this.#sequence + 1 };
    const path = join(directory, segmentFileName(name));
    const header = encodeHeader(name, now, previousHash);
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
    this.#headerHash = header.toString('hex', header.length - HASH_BYTES);
    this.#dirty = true;
  }

  #list(): readonly SegmentFile[] {
    const others = listAllSegments(this.#options.directory).filter((file) => file.path !== this.#path);
    this.#otherBytes = others.reduce((total, file) => total + file.bytes, 0);
    return others;
  }

  #reclaim(bytes: number): void {
    const { directory, maxBytes, files } = this.#options;
    for (const file of deliveredSegments(directory, this.#list())) {
      if (this.totalBytes + bytes <= maxBytes) return;
      files.remove(file.path);
      this.#otherBytes -= file.bytes;
    }
  }
}
