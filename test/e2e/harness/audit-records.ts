/**
 * The sidecar's own audit log, read from its files as `bulkhead audit show` does, while it runs.
 */
import { readRecords } from '../../../src/audit/reader.ts';
import type { AuditRecord } from '../../../src/audit/record.ts';
import { until } from './until.ts';

/** Whose files are read. */
interface Recorded {
  readonly auditDirectory: string;
}

/** Every record so far. Throws when one cannot be read. */
export async function auditRecords(sidecar: Recorded): Promise<readonly AuditRecord[]> {
  const records: AuditRecord[] = [];
  for await (const stored of readRecords(sidecar.auditDirectory, {})) {
    if ('record' in stored) records.push(stored.record);
    // A record that is just being written stands at a segment's end; the next look has it whole.
    else if (stored.why !== 'not all of it is there') throw new Error(`${stored.file}:${stored.number}: ${stored.why}`);
  }
  return records;
}

/** Waits for a record that satisfies the test's demand. Refusals are gathered for a second before they are written. */
export function auditRecord(
  sidecar: Recorded,
  what: string,
  wanted: (record: AuditRecord) => boolean,
): Promise<AuditRecord> {
  return until(`an audit record of ${what}`, async () => (await auditRecords(sidecar)).find(wanted), 10_000);
}
