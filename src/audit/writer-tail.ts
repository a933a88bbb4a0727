/**
 * Follows one writer's segments from a cursor on: what is new since the last look, in order, over segments and restarts of
 * the writer. It reads and never waits; nothing wakes it.
 */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_PAYLOAD_BYTES } from './codec.ts';
import type { Cursor } from './cursor.ts';
import {
  decodeHeader,
  FRAME_HEAD_BYTES,
  FRAME_OVERHEAD_BYTES,
  MAX_HEADER_BYTES,
  type SegmentHeader,
  segmentFileName,
  ZERO_HASH,
} from './segment.ts';
import { listSegments, type SegmentFile } from './segment-list.ts';

/** One record as it lies in the tail's buffer; valid until the visitor returns. */
export interface TailFrame {
  readonly writer: string;
  readonly sequence: number;
  number: number;
  bytes: Buffer;
  start: number;
  end: number;
  hashAt: number;
}

/** Takes a record. False: no more for now; the record was taken. */
export type FrameVisitor = (frame: TailFrame) => boolean;

/**
 * Hears that records between what was last handed out (undefined: nothing yet) and this segment are not there any more, or are not what
 * was handed out.
 */
export type GapListener = (last: Cursor | undefined, next: SegmentHeader) => void;

interface OpenSegment {
  readonly descriptor: number;
  readonly sequence: number;
  readonly nextPath: string;
}

export class WriterTail {
  readonly writer: string;
  readonly #directory: string;
  /** Shared by all tails of a thread: nothing in it outlives a `read`. */
  readonly #buffer: Buffer;
  readonly #onGap: GapListener | undefined;
  #segment: OpenSegment | undefined;
  /** Sequence of the segment that is read, or will be when there is one at or above it. */
  #sequence: number;
  #offset: number;
  #cursor: Cursor | undefined;
  #skipped = 0;
  #quietReads = 0;

  constructor(directory: string, writer: string, cursor: Cursor | undefined, buffer: Buffer, onGap?: GapListener) {
    if (buffer.length < MAX_PAYLOAD_BYTES + FRAME_OVERHEAD_BYTES)
      throw new RangeError('a frame does not fit the buffer');
    this.writer = writer;
    this.#directory = directory;
    this.#buffer = buffer;
    this.#onGap = onGap;
    this.#cursor = cursor;
    this.#sequence = cursor?.sequence ?? 1;
    this.#offset = cursor?.offset ?? 0;
  }

  /** Up to where records were handed out; undefined before the first header was read. */
  get cursor(): Cursor | undefined {
    return this.#cursor;
  }

  /** Segments whose rest could not be read as records and was left behind. */
  get skipped(): number {
    return this.#skipped;
  }

  /** Hands out what is new, until there is nothing more or the visitor has enough. */
  read(visit: FrameVisitor): void {
    for (;;) {
      const segment = this.#segment ?? this.#open();
      if (segment === undefined) return;
      // Looked at before reading: once the next segment exists, nothing more is written to this one.
      const isFinal = existsSync(segment.nextPath) || this.#hasGapBehind(segment);
      const end = this.#readSegment(segment, visit);
      if (end === 'enough') return;
      if (!isFinal) return;
      if (end === 'rest') this.#skipped++;
      this.#next(segment);
    }
  }

  /** Has the next `read` look at once whether the next segment was taken away and a later one is there. */
  lookBehindGap(): void {
    this.#quietReads = QUIET_READS_BEFORE_LISTING - 1;
  }

  close(): void {
    if (this.#segment !== undefined) closeSync(this.#segment.descriptor);
    this.#segment = undefined;
  }

  /** Reads to the end of what is there. `rest`: some bytes at the end are no whole record. */
  #readSegment(segment: OpenSegment, visit: FrameVisitor): 'end' | 'rest' | 'enough' {
    for (;;) {
      const read = readSync(segment.descriptor, this.#buffer, 0, this.#buffer.length, this.#offset);
      if (read === 0) return 'end';
      this.#quietReads = 0;
      const consumed = this.#frames(segment, read, visit);
      if (consumed === 'enough') return 'enough';
      if (consumed === 0) return 'rest';
    }
  }

  #frames(segment: OpenSegment, length: number, visit: FrameVisitor): number | 'enough' {
    const buffer = this.#buffer;
    let at = 0;
    if (this.#offset === 0) {
      const header = decodeHeader(buffer.subarray(0, Math.min(length, MAX_HEADER_BYTES)));
      if (!header.ok) return 0;
      if (header.value.previousHash !== (this.#cursor?.hash ?? ZERO_HASH)) this.#onGap?.(this.#cursor, header.value);
      at = header.value.length;
      this.#offset = at;
      this.#cursor = { sequence: segment.sequence, offset: at, record: 0, hash: header.value.hash };
    }
    const frame = {
      writer: this.writer,
      sequence: segment.sequence,
      number: 0,
      bytes: buffer,
      start: 0,
      end: 0,
      hashAt: 0,
    };
    const first = at;
    let wantsMore = true;
    while (wantsMore && length - at >= FRAME_OVERHEAD_BYTES) {
      const payload = readU32(buffer, at);
      if (payload === 0 || payload > MAX_PAYLOAD_BYTES || length - at < payload + FRAME_OVERHEAD_BYTES) break;
      frame.number = readU32(buffer, at + 4);
      frame.start = at + FRAME_HEAD_BYTES;
      frame.end = frame.start + payload;
      frame.hashAt = frame.end;
      at += payload + FRAME_OVERHEAD_BYTES;
      wantsMore = visit(frame);
    }
    if (at > first) {
      this.#offset += at - first;
      const hash = buffer.toString('hex', frame.hashAt, at);
      this.#cursor = { sequence: segment.sequence, offset: this.#offset, record: frame.number, hash };
    }
    return wantsMore ? at : 'enough';
  }

  #open(): OpenSegment | undefined {
    const found = this.#firstSegmentFrom(this.#sequence);
    if (found === undefined) return undefined;
    if (found.sequence !== this.#sequence) {
      this.#sequence = found.sequence;
      this.#offset = 0;
    }
    let descriptor: number;
    try {
      descriptor = openSync(found.path, 'r');
    } catch (error) {
      // Removed between the listing and here, as delivered ones are.
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
    const nextPath = join(this.#directory, segmentFileName({ writer: this.writer, sequence: found.sequence + 1 }));
    this.#segment = { descriptor, sequence: found.sequence, nextPath };
    return this.#segment;
  }

  #next(segment: OpenSegment): void {
    closeSync(segment.descriptor);
    this.#segment = undefined;
    this.#sequence = segment.sequence + 1;
    this.#offset = 0;
  }

  /** The next segment may have been taken away, and the writer be further on; seldom, so it is seldom looked for. */
  #hasGapBehind(segment: OpenSegment): boolean {
    if (++this.#quietReads % QUIET_READS_BEFORE_LISTING !== 0) return false;
    return this.#firstSegmentFrom(segment.sequence + 1) !== undefined;
  }

  #firstSegmentFrom(sequence: number): SegmentFile | undefined {
    return listSegments(this.#directory, this.writer).find((file) => file.sequence >= sequence);
  }
}

/** About a second. */
const QUIET_READS_BEFORE_LISTING = 20;

function readU32(bytes: Buffer, at: number): number {
  return (
    (bytes[at] ?? 0) +
    (bytes[at + 1] ?? 0) * 0x100 +
    (bytes[at + 2] ?? 0) * 0x1_0000 +
    (bytes[at + 3] ?? 0) * 0x100_0000
  );
}
