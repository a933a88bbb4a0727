/**
 * What a segment file looks like. A writer's segments form one chain over restarts: each header carries the last hash of
 * the segment before it, and is itself the first link.
 *
 *     header   "BKAL", version u16, header length u16, sequence u64, created at u64 (µs), previous segment's last hash 32,
 *              writer's name (length u8, ASCII), SHA-256 of all of this
 *     frame    payload length u32, record number u32 (from 1 in each segment), payload,
 *              SHA-256(previous hash ‖ payload length ‖ record number ‖ payload)
 *
 * In the file the previous hash stands right before the frame, so a frame is hashed where it lies, without copying.
 */
import { hash } from 'node:crypto';
import { err, ok, type Result } from '../kernel/result.ts';
import { readU64 } from './call-view.ts';
import { writeU64 } from './codec.ts';

export const HASH_BYTES = 32;
/** Before the payload: its length and the record's number. */
export const FRAME_HEAD_BYTES = 8;
export const FRAME_OVERHEAD_BYTES = FRAME_HEAD_BYTES + HASH_BYTES;
/** Longest header: the fixed part and a name of 63 characters. */
export const MAX_HEADER_BYTES = 57 + 63 + HASH_BYTES;

const MAGIC = 'BKAL';
const VERSION = 1;
const FIXED_HEADER_BYTES = 57;
const WRITER_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const FILE_NAME = /^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)-(\d{10})\.bkal$/;

export interface SegmentName {
  readonly writer: string;
  /** Counts up from 1 over all of a writer's life. */
  readonly sequence: number;
}

export interface SegmentHeader extends SegmentName {
  readonly createdAtMicros: number;
  /** Last hash of the segment before, hex; zeros for the first. */
  readonly previousHash: string;
  /** Hash of the header, hex: the previous hash of the first record. */
  readonly hash: string;
  readonly length: number;
}

/** The previous hash of a writer's first segment. */
export const ZERO_HASH = '0'.repeat(2 * HASH_BYTES);

/** Whether a name can be a writer's: an RFC 1123 label. */
export function isWriterName(name: string): boolean {
  return WRITER_NAME.test(name);
}

/** `worker-0-0000000001.bkal`. */
export function segmentFileName(name: SegmentName): string {
  return `${name.writer}-${String(name.sequence).padStart(10, '0')}.bkal`;
}

/** Parses a file name, or returns undefined when it is not a segment's. */
export function parseSegmentFileName(fileName: string): SegmentName | undefined {
  const match = FILE_NAME.exec(fileName);
  const [, writer, digits] = match ?? [];
  const sequence = Number(digits);
  return writer === undefined || !(sequence > 0) ? undefined : { writer, sequence };
}

/** Makes a segment's header. */
export function encodeHeader(name: SegmentName, createdAtMicros: number, previousHash: string): Buffer {
  const length = FIXED_HEADER_BYTES + name.writer.length + HASH_BYTES;
  const header = Buffer.alloc(length);
  header.write(MAGIC, 0, 'latin1');
  header.writeUInt16LE(VERSION, 4);
  header.writeUInt16LE(length, 6);
  writeU64(header, 8, name.sequence);
  writeU64(header, 16, createdAtMicros);
  header.write(previousHash, 24, 'hex');
  header[56] = name.writer.length;
  header.write(name.writer, FIXED_HEADER_BYTES, 'latin1');
  header.write(sha256(header.subarray(0, length - HASH_BYTES)), length - HASH_BYTES, 'latin1');
  return header;
}

/** Reads a header from a segment's first bytes, or says what is wrong with it. */
export function decodeHeader(bytes: Buffer): Result<SegmentHeader, string> {
  if (bytes.length < FIXED_HEADER_BYTES + HASH_BYTES) return err('header cut short');
  if (bytes.toString('latin1', 0, 4) !== MAGIC) return err('not an audit segment');
  if (bytes.readUInt16LE(4) !== VERSION) return err(`version ${bytes.readUInt16LE(4)} of the format is not known`);
  const nameLength = bytes[56] ?? 0;
  const length = FIXED_HEADER_BYTES + nameLength + HASH_BYTES;
  if (bytes.readUInt16LE(6) !== length) return err('header altered');
  if (bytes.length < length) return err('header cut short');
  const hashAt = length - HASH_BYTES;
  if (sha256(bytes.subarray(0, hashAt)) !== bytes.toString('latin1', hashAt, length)) return err('header altered');
  const sequence = readU64(bytes, 8);
  const createdAtMicros = readU64(bytes, 16);
  const writer = bytes.toString('latin1', FIXED_HEADER_BYTES, hashAt);
  if (sequence === undefined || createdAtMicros === undefined || !isWriterName(writer)) return err('header altered');
  return ok({
    writer,
    sequence,
    createdAtMicros,
    previousHash: bytes.toString('hex', 24, 56),
    hash: bytes.toString('hex', hashAt, length),
    length,
  });
}

/**
 * SHA-256 as a latin1 string of 32 characters. Measured on 250 bytes: 0.36 µs, where the form that returns a Buffer takes
 * 1.26 µs.
 */
export function sha256(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'latin1');
}
