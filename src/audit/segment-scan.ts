/**
 * Reads a segment from its first byte and checks every link of its chain. Recovery after a crash, `audit verify` and
 * `audit show` all go through here, so they agree on what is intact.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import type { Result } from '../kernel/result.ts';
import { MAX_PAYLOAD_BYTES } from './codec.ts';
import {
  decodeHeader,
  FRAME_HEAD_BYTES,
  FRAME_OVERHEAD_BYTES,
  HASH_BYTES,
  MAX_HEADER_BYTES,
  type SegmentHeader,
  sha256,
} from './segment.ts';

/** One intact record. `payload` is valid until the scan goes on. */
export interface Frame {
  readonly number: number;
  readonly offset: number;
  readonly payload: Buffer;
  /** Chain hash, hex. */
  readonly hash: string;
}

/** How a scan ended. */
export interface ScanEnd {
  readonly header: Result<SegmentHeader, string>;
  /** Intact records. */
  readonly records: number;
  /** Up to where the file is intact. */
  readonly intactBytes: number;
  /** Last intact hash, hex; empty when not even the header is intact. */
  readonly lastHash: string;
  readonly rest: ScanRest;
}

export type ScanRest =
  | { readonly kind: 'none' }
  /** The last frame is not all there: what a crash leaves behind. */
  | { readonly kind: 'torn'; readonly bytes: number }
  /** The next frame is there, but it is not what was written. */
  | { readonly kind: 'bad'; readonly record: number; readonly why: string };

const CHUNK_BYTES = 1024 * 1024;

/** Yields a segment's intact records in order, and returns how it ended. Throws what the file system throws. */
export function* scanSegment(path: string): Generator<Frame, ScanEnd, void> {
  const descriptor = openSync(path, 'r');
  try {
    return yield* scanDescriptor(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function* scanDescriptor(descriptor: number): Generator<Frame, ScanEnd, void> {
  const window = new FileWindow(descriptor);
  window.need(MAX_HEADER_BYTES);
  const header = decodeHeader(window.available());
  if (!header.ok) {
    const rest: ScanRest =
      header.error === 'header cut short'
        ? { kind: 'torn', bytes: window.available().length }
        : { kind: 'bad', record: 0, why: header.error };
    return { header, records: 0, intactBytes: 0, lastHash: '', rest };
  }
  window.advance(header.value.length - HASH_BYTES);
  let records = 0;
  // Each round starts at the previous hash, which is what the frame after it is hashed together with.
  for (;;) {
    const frame = readFrame(window, records + 1);
    if (frame.kind !== 'frame') {
      const lastHash = window.available().toString('hex', 0, HASH_BYTES);
      return { header, records, intactBytes: window.offset + HASH_BYTES, lastHash, rest: frame };
    }
    records++;
    yield {
      number: records,
      offset: window.offset + HASH_BYTES,
      payload: frame.payload,
      hash: frame.hash,
    };
    window.advance(FRAME_OVERHEAD_BYTES + frame.payload.length);
  }
}

type ReadFrame = ScanRest | { readonly kind: 'frame'; readonly payload: Buffer; readonly hash: string };

function readFrame(window: FileWindow, expectedNumber: number): ReadFrame {
  window.need(HASH_BYTES + FRAME_HEAD_BYTES);
  const head = window.available();
  const left = head.length - HASH_BYTES;
  if (left === 0) return { kind: 'none' };
  if (left < FRAME_HEAD_BYTES) return { kind: 'torn', bytes: left };
  const length = head.readUInt32LE(HASH_BYTES);
  if (length === 0 || length > MAX_PAYLOAD_BYTES) {
    return { kind: 'bad', record: expectedNumber, why: `length ${length} is impossible: bytes were altered` };
  }
  const end = HASH_BYTES + FRAME_HEAD_BYTES + length;
  window.need(end + HASH_BYTES);
  const bytes = window.available();
  if (bytes.length < end + HASH_BYTES) return { kind: 'torn', bytes: bytes.length - HASH_BYTES };
  const expected = bytes.toString('latin1', end, end + HASH_BYTES);
  const number = bytes.readUInt32LE(HASH_BYTES + 4);
  if (sha256(bytes.subarray(0, end)) !== expected || number !== expectedNumber) {
    return { kind: 'bad', record: expectedNumber, why: mismatch(expectedNumber, number) };
  }
  return {
    kind: 'frame',
    payload: bytes.subarray(HASH_BYTES + FRAME_HEAD_BYTES, end),
    hash: bytes.toString('hex', end, end + HASH_BYTES),
  };
}

function mismatch(expected: number, found: number): string {
  if (found === expected) return 'its bytes or its hash were altered';
  if (found === expected + 1) return `record ${expected} was removed: record ${found} follows here`;
  if (found > expected)
    return `records ${expected} to ${found - 1} were removed or moved: record ${found} follows here`;
  return `record ${found} is here: a record was repeated or moved`;
}

/** A file read front to back through a buffer that holds at least what is needed next. */
class FileWindow {
  readonly #descriptor: number;
  #buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES + MAX_PAYLOAD_BYTES + 2 * HASH_BYTES + FRAME_HEAD_BYTES);
  #start = 0;
  #end = 0;
  #fileOffset = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** File offset of the first available byte. */
  get offset(): number {
    return this.#fileOffset - (this.#end - this.#start);
  }

  available(): Buffer {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  advance(bytes: number): void {
    this.#start += bytes;
  }

  /** Reads on until `bytes` are available, or the file ends. */
  need(bytes: number): void {
    while (this.#end - this.#start < bytes) {
      if (this.#start > 0) {
        this.#buffer.copyWithin(0, this.#start, this.#end);
        this.#end -= this.#start;
        this.#start = 0;
      }
      const read = readSync(
        this.#descriptor,
        this.#buffer,
        this.#end,
        this.#buffer.length - this.#end,
        this.#fileOffset,
      );
      if (read === 0) return;
      this.#fileOffset += read;
      this.#end += read;
    }
  }
}
