import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeRecord, MAX_PAYLOAD_BYTES } from '../../../src/audit/codec.ts';
import { decodeRecord } from '../../../src/audit/decode-record.ts';
import type { CallRecord } from '../../../src/audit/record.ts';
import { StableRuns } from '../../../src/audit/stable-runs.ts';
import { callRecord } from '../../fakes/audit-records.ts';

const FIELDS = [
  'certificateSha256',
  'tenant',
  'caller',
  'peerAddress',
  'method',
  'model',
  'modelVersion',
  'rule',
  'upstream',
] as const satisfies readonly (keyof CallRecord)[];

describe('the part of a record that seldom changes', () => {
  it('is encoded once for calls that are alike, and anew when a single text differs', () => {
    let encodings = 0;
    const runs = new StableRuns((_record, target, at) => {
      encodings += 1;
      target.fill(encodings, at, at + 3);
      return at + 3;
    });
    const target = Buffer.alloc(8);
    const record = callRecord({});
    const write = (written: CallRecord): string => {
      target.fill(0);
      expect(runs.write(written, target, 2)).toBe(5);
      return target.toString('hex');
    };
    expect([write(record), write({ ...record, requestBytes: 7 })]).toEqual(['0000010101000000', '0000010101000000']);
    for (const field of FIELDS) {
      const before = encodings;
      write({ ...record, [field]: `${record[field]}x` });
      write(record);
      expect([field, encodings]).toEqual([field, before + 2]);
    }
  });

  it('is the record’s own, whichever calls came over its connection and over others with a port like it', () => {
    const text = fc.constantFrom('', 'a', 'b', 'Zoë 🐙', 'x'.repeat(300));
    const different = fc.record({
      tenant: text,
      caller: text,
      model: text,
      rule: text,
      peerPort: fc.constantFrom(1, 2, 65, 66),
      certificateSha256: fc.constantFrom('', 'a'.repeat(64), 'b'.repeat(64)),
    });
    fc.assert(
      fc.property(fc.array(different, { maxLength: 30 }), (calls) => {
        for (const call of calls) {
          const record = callRecord(call);
          const target = Buffer.alloc(MAX_PAYLOAD_BYTES);
          const decoded = decodeRecord(target.subarray(0, encodeRecord(record, target, 0)));
          expect(decoded).toEqual({ ok: true, value: record });
        }
      }),
    );
  });
});
