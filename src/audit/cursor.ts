/**
 * How far a writer's records have been delivered: one small file per writer, replaced as a whole after the collector
 * acknowledged. It is also a witness: records that it names and that are no longer there were removed.
 */
import { closeSync, fdatasyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** The next byte to deliver. Everything before it has been delivered. */
export interface Cursor {
  readonly sequence: number;
  readonly offset: number;
  /** Last record delivered from this segment; 0: none yet. */
  readonly record: number;
  /** Its chain hash, hex; the segment's header hash when `record` is 0, and empty when the segment was not yet read. */
  readonly hash: string;
}

/** `worker-0.cursor`. */
export function cursorPath(directory: string, writer: string): string {
  return join(directory, `${writer}.cursor`);
}

/** Reads a writer's cursor; undefined when nothing was ever delivered. A damaged file is an error: guessing would lose or repeat. */
export function readCursor(directory: string, writer: string): Cursor | undefined {
  const path = cursorPath(directory, writer);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  const cursor = parseCursor(text);
  if (cursor === undefined)
    throw new Error(`${path} is not a cursor; remove it to deliver the writer's segments again`);
  return cursor;
}

/** Replaces a writer's cursor: it is the old one or the new one, never half of it, also after a power cut. */
export function writeCursor(directory: string, writer: string, cursor: Cursor): void {
  const path = cursorPath(directory, writer);
  const next = `${path}.next`;
  const descriptor = openSync(next, 'w', 0o600);
  try {
    writeSync(descriptor, `${JSON.stringify(cursor)}\n`);
    fdatasyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(next, path);
}

function parseCursor(text: string): Cursor | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  const { sequence, offset, record, hash } = Object.fromEntries(Object.entries(parsed));
  const whole = [sequence, offset, record].every((number) => Number.isSafeInteger(number) && Number(number) >= 0);
  if (!whole || typeof hash !== 'string' || !/^(?:[0-9a-f]{64})?$/.test(hash)) return undefined;
  return { sequence: Number(sequence), offset: Number(offset), record: Number(record), hash };
}
