/** Audit logs as tests want them: nothing is blocked unless the test says so, and what they wrote is read back. */
import { type Cursor, CursorFile, type CursorName } from '../../src/audit/cursor.ts';
import { AuditLog, type AuditLogOptions } from '../../src/audit/log.ts';
import { readRecords, type StoredRecord } from '../../src/audit/reader.ts';
import type { AuditRecord } from '../../src/audit/record.ts';

export function openLog(directory: string, different: Partial<AuditLogOptions> = {}): AuditLog {
  return new AuditLog({
    directory,
    writer: 'worker-0',
    segmentBytes: 1024 * 1024,
    maxBytes: 64 * 1024 * 1024,
    whenFull: 'refuse',
    onBlocked: () => undefined,
    onUnblocked: () => undefined,
    ...different,
  });
}

/** Appends and flushes; the flush must be acknowledged. */
export function write(log: AuditLog, ...records: readonly AuditRecord[]): void {
  for (const record of records) log.append(record);
  if (!log.flush()) throw new Error(`not written: ${log.blocked}`);
}

/** Everything that can be read; a record that cannot be is an error. */
export async function readAll(directory: string): Promise<readonly StoredRecord[]> {
  const records: StoredRecord[] = [];
  for await (const item of readRecords(directory, {})) {
    if (!('record' in item)) throw new Error(`${item.file} record ${item.number}: ${item.why}`);
    records.push(item);
  }
  return records;
}

/** Says that a writer's records are delivered up to there. */
export function writeCursor(directory: string, writer: string, name: CursorName, cursor: Cursor): void {
  const file = new CursorFile(directory, writer, name);
  file.write(cursor);
  file.close();
}
