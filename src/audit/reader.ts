/** Reads records back, for people and scripts: `bulkhead audit show`. */
import { basename } from 'node:path';
import { decodeRecord } from './decode-record.ts';
import type { AuditRecord } from './record.ts';
import { listSegments, listWriters } from './segment-list.ts';
import { scanSegment } from './segment-scan.ts';

/** What to show; absent fields let everything through. */
export interface RecordFilter {
  /** Calls of this tenant, and refusals that claim it. */
  readonly tenant?: string;
  /** Records of this time or later, µs since the epoch. */
  readonly sinceMicros?: number;
  /** Calls of this method (`package.Service/Method`). */
  readonly method?: string;
  /** Calls that rules in shadow would have decided so, against what was decided. */
  readonly shadow?: 'allow' | 'deny' | 'any';
}

/** A record and where it stands. */
export interface StoredRecord {
  readonly writer: string;
  readonly segment: number;
  readonly number: number;
  readonly hash: string;
  readonly record: AuditRecord;
}

/** Something that ends a segment's reading before its end. */
export interface UnreadableRecord {
  readonly file: string;
  readonly number: number;
  readonly why: string;
}

/**
 * Yields the records that match, writer by writer, oldest first within each. Where a segment's chain breaks it yields
 * what is wrong and goes on with the next segment: `verify` judges, this shows.
 */
export async function* readRecords(
  directory: string,
  filter: RecordFilter,
): AsyncGenerator<StoredRecord | UnreadableRecord, void, void> {
  for (const writer of listWriters(directory)) {
    for (const segment of listSegments(directory, writer)) {
      yield* readSegment(segment.path, writer, segment.sequence, filter);
      await Promise.resolve();
    }
  }
}

function* readSegment(
  path: string,
  writer: string,
  segment: number,
  filter: RecordFilter,
): Generator<StoredRecord | UnreadableRecord, void, void> {
  const scan = scanSegment(path);
  for (;;) {
    const step = scan.next();
    if (step.done === true) {
      const { rest, records } = step.value;
      if (rest.kind === 'bad') yield { file: basename(path), number: rest.record, why: rest.why };
      if (rest.kind === 'torn') yield { file: basename(path), number: records + 1, why: 'not all of it is there' };
      return;
    }
    const { number, hash, payload } = step.value;
    const record = decodeRecord(payload);
    if (!record.ok) yield { file: basename(path), number, why: record.error };
    else if (matches(record.value, filter)) yield { writer, segment, number, hash, record: record.value };
  }
}

function matches(record: AuditRecord, filter: RecordFilter): boolean {
  const at = record.type === 'call' ? record.startedAt + record.durationMicros : record.at;
  if (filter.sinceMicros !== undefined && at < filter.sinceMicros) return false;
  if (filter.method !== undefined && (record.type !== 'call' || record.method !== filter.method)) return false;
  if (filter.shadow !== undefined && !wasShadowed(record, filter.shadow)) return false;
  if (filter.tenant === undefined) return true;
  switch (record.type) {
    case 'call':
      return record.tenant === filter.tenant;
    case 'refusal':
      return record.tenantClaim === filter.tenant;
    case 'event':
      return false;
  }
}

function wasShadowed(record: AuditRecord, verdict: 'allow' | 'deny' | 'any'): boolean {
  if (record.type !== 'call' || record.shadow === undefined) return false;
  return verdict === 'any' || record.shadow.verdict === verdict;
}
