/**
 * What one call's record costs the data path: encode, chain, and its share of the turn's write. `node test/bench/record.ts`
 * prints µs of wall time per call, for turns of 50 calls and of 1.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeRecord } from '../../src/audit/codec.ts';
import { AuditLog } from '../../src/audit/log.ts';
import { callRecord } from '../fakes/audit-records.ts';

const ROUNDS = 5;
const CALLS = 200_000;

const directory = mkdtempSync(join(process.env['BENCH_DIR'] ?? tmpdir(), 'bulkhead-record-'));
try {
  const record = callRecord({});
  const buffer = Buffer.allocUnsafeSlow(64 * 1024);
  const bytes = encodeRecord(record, buffer, 0);
  report('encode', () => {
    let end = 0;
    for (let i = 0; i < CALLS; i++) end += encodeRecord(record, buffer, 0);
    return end;
  });
  for (const batch of [50, 1]) {
    const log = new AuditLog({
      directory,
      writer: `bench-${batch}`,
      segmentBytes: 64 * 1024 * 1024,
      maxBytes: 8 * 1024 * 1024 * 1024,
      whenFull: 'refuse',
      onBlocked: (why) => process.stderr.write(`blocked: ${why}\n`),
      onUnblocked: () => undefined,
    });
    report(`append and flush, ${batch} a turn`, () => {
      for (let i = 0; i < CALLS; i += batch) {
        for (let j = 0; j < batch; j++) log.append(record);
        if (!log.flush()) throw new Error(`flush refused: ${log.blocked}`);
      }
      return CALLS;
    });
    log.close();
  }
  process.stdout.write(`payload ${bytes} bytes\n`);
} finally {
  rmSync(directory, { recursive: true });
}

function report(what: string, run: () => number): void {
  const perCall: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.hrtime.bigint();
    run();
    perCall.push(Number(process.hrtime.bigint() - before) / 1_000 / CALLS);
  }
  const sorted = perCall.toSorted((a, b) => a - b);
  const median = sorted[ROUNDS >> 1] ?? 0;
  process.stdout.write(`${what}: ${median.toFixed(2)} µs a call (${sorted.map((x) => x.toFixed(2)).join(' ')})\n`);
}
