import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { scanSegment } from '../../src/audit/segment-scan.ts';
import { verifyDirectory } from '../../src/audit/verify.ts';
import { WriterTail } from '../../src/audit/writer-tail.ts';
import { openLog, write } from '../fakes/audit-logs.ts';
import { callRecord } from '../fakes/audit-records.ts';

const directory = mkdtempSync(join(tmpdir(), 'bulkhead-fuzz-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const SEGMENT = join(directory, 'worker-0-0000000001.bkal');
const RECORDS = 20;

function original(): Buffer {
  const log = openLog(directory);
  for (let i = 0; i < RECORDS; i++) write(log, callRecord({ requestBytes: i, detail: 'x'.repeat(i * 7) }));
  log.close();
  return readFileSync(SEGMENT);
}

const intact = original();

/** Cuts, copies, moves and alters pieces of the segment. */
const damage = fc.array(
  fc.record({
    kind: fc.constantFrom('alter', 'cut', 'insert', 'swap'),
    at: fc.nat({ max: intact.length - 1 }),
    length: fc.integer({ min: 1, max: 400 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 50 }),
  }),
  { minLength: 1, maxLength: 4 },
);

function damaged(changes: readonly { kind: string; at: number; length: number; bytes: Uint8Array }[]): Buffer {
  let bytes = Buffer.from(intact);
  for (const change of changes) {
    const at = Math.min(change.at, bytes.length);
    const end = Math.min(at + change.length, bytes.length);
    const [before, piece, after] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
    if (change.kind === 'alter')
      bytes = Buffer.concat([before, change.bytes, bytes.subarray(at + change.bytes.length)]);
    if (change.kind === 'cut') bytes = Buffer.concat([before, after]);
    if (change.kind === 'insert') bytes = Buffer.concat([before, change.bytes, piece, after]);
    if (change.kind === 'swap') bytes = Buffer.concat([after, before, piece]);
  }
  return bytes;
}

test('a damaged segment yields only records that were written, in order from the first, and is never called whole', async () => {
  await fc.assert(
    fc.asyncProperty(damage, async (changes) => {
      const bytes = damaged(changes);
      writeFileSync(SEGMENT, bytes);
      let count = 0;
      for (const frame of scanSegment(SEGMENT)) {
        const end = frame.offset + 8 + frame.payload.length;
        expect(bytes.subarray(frame.offset, end)).toEqual(intact.subarray(frame.offset, end));
        expect(frame.number).toBe(++count);
      }
      const report = await verifyDirectory(directory);
      if (bytes.equals(intact)) expect(report).toMatchObject({ ok: true, writers: [{ records: RECORDS }] });
      else if (report.ok) expect(report.writers[0]?.records ?? 0).toBeLessThan(RECORDS);
    }),
    { numRuns: 500 },
  );
});

test('the tail reads on, ends, and stays within the file, whatever the file says', () => {
  const buffer = Buffer.alloc(256 * 1024);
  fc.assert(
    fc.property(damage, (changes) => {
      writeFileSync(SEGMENT, damaged(changes));
      const tail = new WriterTail(directory, 'worker-0', undefined, buffer);
      let records = 0;
      tail.read((frame) => {
        expect(frame.hashAt + 32).toBeLessThanOrEqual(buffer.length);
        return ++records < 10_000;
      });
      tail.close();
      expect(records).toBeLessThanOrEqual(RECORDS + 10);
    }),
    { numRuns: 500 },
  );
});
