/**
 * What a writer finds of itself at start: where its chain ended. A tail that a crash tore is moved aside, never appended to
 * and never thrown away.
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync, readSync, truncateSync, unlinkSync, writeSync } from 'node:fs';
import { CURSOR_NAMES, type Cursor, readCursor } from './cursor.ts';
import { segmentFileName, ZERO_HASH } from './segment.ts';
import { listSegments, type SegmentFile } from './segment-list.ts';
import { type ScanEnd, scanSegment } from './segment-scan.ts';

export interface ChainEnd {
  /** Sequence of the next segment. */
  readonly nextSequence: number;
  /** What its header has to carry. */
  readonly lastHash: string;
  /** What had to be moved aside, for the event record; undefined when the chain ended clean. */
  readonly recovered: string | undefined;
}

/** Finds where a writer's chain ended, and moves a torn tail aside. The caller holds the writer's lock. */
export function recoverChain(directory: string, writer: string): ChainEnd {
  const segments = listSegments(directory, writer);
  const last = segments.at(-1);
  if (last === undefined) return afterCursor(directory, writer);
  const end = scanToEnd(last.path);
  if (!end.header.ok) return withoutHeader(directory, writer, segments, last, end.header.error);
  if (end.rest.kind === 'none') {
    return { nextSequence: last.sequence + 1, lastHash: end.lastHash, recovered: undefined };
  }
  const aside = moveAside(last.path, end.intactBytes);
  truncateSync(last.path, end.intactBytes);
  sync(last.path);
  const cut = last.bytes - end.intactBytes;
  const why = end.rest.kind === 'torn' ? 'record cut short' : end.rest.why;
  return {
    nextSequence: last.sequence + 1,
    lastHash: end.lastHash,
    recovered: `${segmentFileName({ writer, sequence: last.sequence })}: ${cut} bytes after record ${end.records} (${why}) moved to ${aside}`,
  };
}

/** All segments were delivered and removed, or moved away: whoever has read furthest still knows the chain's last hash. */
function afterCursor(directory: string, writer: string): ChainEnd {
  const cursors = CURSOR_NAMES.flatMap((name) => readCursor(directory, writer, name) ?? []);
  const cursor = cursors.reduce<Cursor | undefined>((last, next) => (isBehind(last, next) ? next : last), undefined);
  if (cursor === undefined) return { nextSequence: 1, lastHash: ZERO_HASH, recovered: undefined };
  return { nextSequence: cursor.sequence + 1, lastHash: cursor.hash, recovered: undefined };
}

function isBehind(last: Cursor | undefined, next: Cursor): boolean {
  if (last === undefined || last.sequence < next.sequence) return true;
  return last.sequence === next.sequence && last.offset < next.offset;
}

/** The last segment has no usable header: the crash came while it was made. Its number is taken again. */
function withoutHeader(
  directory: string,
  writer: string,
  segments: readonly SegmentFile[],
  last: SegmentFile,
  why: string,
): ChainEnd {
  const aside = moveAside(last.path, 0);
  unlinkSync(last.path);
  const before = segments.at(-2);
  const end = before === undefined ? undefined : scanToEnd(before.path);
  const chain = end === undefined ? afterCursor(directory, writer) : { lastHash: end.lastHash || ZERO_HASH };
  return {
    nextSequence: last.sequence,
    lastHash: chain.lastHash,
    recovered: `${segmentFileName({ writer, sequence: last.sequence })}: ${last.bytes} bytes (${why}) moved to ${aside}`,
  };
}

function scanToEnd(path: string): ScanEnd {
  const scan = scanSegment(path);
  for (;;) {
    const step = scan.next();
    if (step.done === true) return step.value;
  }
}

/** Copies a file's bytes from an offset on to the first free `.torn` name beside it, and returns that name. */
function moveAside(path: string, from: number): string {
  for (let attempt = 0; attempt < MAX_TORN_FILES; attempt++) {
    const aside = `${path}.torn${attempt === 0 ? '' : `-${attempt}`}`;
    try {
      copyFrom(path, from, openSync(aside, 'wx', 0o600));
      return aside;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
  }
  throw new Error(`${path}: ${MAX_TORN_FILES} torn tails beside it already`);
}

const MAX_TORN_FILES = 1000;

function copyFrom(path: string, from: number, target: number): void {
  const source = openSync(path, 'r');
  const chunk = Buffer.allocUnsafeSlow(256 * 1024);
  try {
    for (let at = from; ; ) {
      const read = readSync(source, chunk, 0, chunk.length, at);
      if (read === 0) break;
      for (let written = 0; written < read; ) written += writeSync(target, chunk, written, read - written);
      at += read;
    }
    fdatasyncSync(target);
  } finally {
    closeSync(source);
    closeSync(target);
  }
}

function sync(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
