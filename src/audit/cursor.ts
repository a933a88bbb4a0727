/**
 * How far a writer's records have been delivered, or added to the usage: one small file per writer and reader, written over in place with one
 * small write after the collector acknowledged, and with a check sum in case a power cut tears it. (Replacing it by a rename
 * took 0.7 ms on ext4, which writes the data out first.) It is also a witness: records that it names and that are no longer
 * there were removed.
 */
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from './segment.ts';

/** What is made of the records: each has its own way to the collector, and its own cursor. */
export type Signal = 'logs' | 'traces';
export const SIGNALS: readonly Signal[] = ['logs', 'traces'];
/** Who reads the records and has a cursor: a segment that one of them still needs is not removed. */
export type CursorName = Signal | 'usage';
export const CURSOR_NAMES: readonly CursorName[] = [...SIGNALS, 'usage'];

/** The next byte to deliver. Everything before it has been delivered. */
export interface Cursor {
  readonly sequence: number;
  readonly offset: number;
  /** Last record delivered from this segment; 0: none yet. */
  readonly record: number;
  /** Its chain hash, hex; the segment's header hash when `record` is 0. */
  readonly hash: string;
}

/** `worker-0.logs.cursor`. */
export function cursorPath(directory: string, writer: string, name: CursorName): string {
  return join(directory, `${writer}.${name}.cursor`);
}

/** Longer than any cursor's text, shorter than a disk's sector. */
const FILE_BYTES = 256;
/** A reader may meet a write half-way. */
const READ_ATTEMPTS = 3;

/**
 * Reads a cursor. Undefined when nothing was ever delivered, or when a power cut left no whole file: then everything that is
 * there is delivered again, which at-least-once allows.
 */
export function readCursor(directory: string, writer: string, name: CursorName): Cursor | undefined {
  const path = cursorPath(directory, writer, name);
  try {
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      const cursor = parseCursor(readFileSync(path, 'utf8'));
      if (cursor !== undefined) return cursor;
    }
    return undefined;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A cursor's file, kept open by the one who delivers. */
export class CursorFile {
  readonly #descriptor: number;

  constructor(directory: string, writer: string, name: CursorName) {
    this.#descriptor = openSync(cursorPath(directory, writer, name), constants.O_RDWR | constants.O_CREAT, 0o600);
  }

  /** Moves the cursor. After `kill -9` the file has the old or the new one. */
  write(cursor: Cursor): void {
    const text = JSON.stringify({ ...cursor, check: checkOf(cursor) });
    const bytes = Buffer.from(`${text.padEnd(FILE_BYTES - 1)}\n`, 'latin1');
    const written = writeSync(this.#descriptor, bytes, 0, bytes.length, 0);
    if (written !== bytes.length) throw new Error('no space for the cursor');
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function checkOf({ sequence, offset, record, hash }: Cursor): string {
  const text = `${sequence} ${offset} ${record} ${hash}`;
  return Buffer.from(sha256(Buffer.from(text, 'latin1')), 'latin1').toString('hex', 0, 8);
}

function parseCursor(text: string): Cursor | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { sequence, offset, record, hash, check } = Object.fromEntries(Object.entries(parsed));
  const whole = [sequence, offset, record].every((number) => Number.isSafeInteger(number) && Number(number) >= 0);
  if (!whole || typeof hash !== 'string' || !/^[0-9a-f]{64}$/.test(hash)) return undefined;
  const cursor = { sequence: Number(sequence), offset: Number(offset), record: Number(record), hash };
  return check === checkOf(cursor) ? cursor : undefined;
}
