/**
 * How far a writer's records have been delivered: one small file per writer and signal, replaced as a whole after the
 * collector acknowledged. It is also a witness: records that it names and that are no longer there were removed.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What is made of the records: each has its own way to the collector, and its own cursor. */
export type Signal = 'logs' | 'traces';
export const SIGNALS: readonly Signal[] = ['logs', 'traces'];

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
export function cursorPath(directory: string, writer: string, signal: Signal): string {
  return join(directory, `${writer}.${signal}.cursor`);
}

/**
 * Reads a cursor. Undefined when nothing was ever delivered, or when a power cut left no whole file: then everything that is
 * there is delivered again, which at-least-once allows.
 */
export function readCursor(directory: string, writer: string, signal: Signal): Cursor | undefined {
  try {
    return parseCursor(readFileSync(cursorPath(directory, writer, signal), 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Replaces a cursor: after `kill -9` it is the old one or the new one, never half of it. */
export function writeCursor(directory: string, writer: string, signal: Signal, cursor: Cursor): void {
  const path = cursorPath(directory, writer, signal);
  const next = `${path}.next`;
  writeFileSync(next, `${JSON.stringify(cursor)}\n`, { mode: 0o600 });
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
  if (!whole || typeof hash !== 'string' || !/^[0-9a-f]{64}$/.test(hash)) return undefined;
  return { sequence: Number(sequence), offset: Number(offset), record: Number(record), hash };
}
