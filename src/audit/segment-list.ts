/** Which segments a directory has, and which of them may go. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CURSOR_NAMES, readCursor } from './cursor.ts';
import { parseSegmentFileName, type SegmentName } from './segment.ts';

export interface SegmentFile extends SegmentName {
  readonly path: string;
  readonly bytes: number;
}

/** Lists the segments of all writers, each writer's oldest first. */
export function listAllSegments(directory: string): SegmentFile[] {
  const files: SegmentFile[] = [];
  for (const fileName of readdirSync(directory)) {
    const name = parseSegmentFileName(fileName);
    if (name === undefined) continue;
    const path = join(directory, fileName);
    // Another writer may remove a delivered one between the listing and here.
    const bytes = statSync(path, { throwIfNoEntry: false })?.size;
    if (bytes !== undefined) files.push({ ...name, path, bytes });
  }
  return files.sort((a, b) => (a.writer < b.writer ? -1 : a.writer > b.writer ? 1 : a.sequence - b.sequence));
}

/** Lists one writer's segments, oldest first. */
export function listSegments(directory: string, writer: string): SegmentFile[] {
  return listAllSegments(directory).filter((file) => file.writer === writer);
}

/** Names of all writers that have segments in a directory, in order. */
export function listWriters(directory: string): readonly string[] {
  return [...new Set(listAllSegments(directory).map((file) => file.writer))];
}

/**
 * The segments that the collector has acknowledged to their end, as logs and as traces, and whose calls are in the usage, in the order in which they may be removed: a writer's
 * older ones always before its newer ones, so that no chain ever has a hole.
 */
export function deliveredSegments(directory: string, segments: readonly SegmentFile[]): SegmentFile[] {
  const cursors = new Map<string, number>();
  const delivered = segments.filter(({ writer, sequence }) => {
    const cursor = cursors.get(writer) ?? deliveredBefore(directory, writer);
    cursors.set(writer, cursor);
    return sequence < cursor;
  });
  return delivered.sort((a, b) => a.sequence - b.sequence);
}

function deliveredBefore(directory: string, writer: string): number {
  return Math.min(...CURSOR_NAMES.map((name) => readCursor(directory, writer, name)?.sequence ?? 0));
}
