/**
 * What the telemetry thread pays per call: reading the record from its segment and writing its OTLP bytes, without sending
 * them. `node test/bench/telemetry-encode.ts` prints µs of CPU per call.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditLog } from '../../src/audit/log.ts';
import { WriterTail } from '../../src/audit/writer-tail.ts';
import { OtlpBatch } from '../../src/telemetry/otlp-request.ts';
import { recordEncoder } from '../../src/telemetry/record-encoder.ts';
import { resourceBytes } from '../../src/telemetry/resource.ts';
import { callRecord } from '../fakes/audit-records.ts';

const CALLS = 200_000;
const ROUNDS = 5;
const CALLERS = 500;

const directory = mkdtempSync(join(tmpdir(), 'bulkhead-telemetry-'));
try {
  const log = new AuditLog({
    directory,
    writer: 'worker-0',
    segmentBytes: 64 * 1024 * 1024,
    maxBytes: 8 * 1024 ** 3,
    whenFull: 'refuse',
    onBlocked: () => undefined,
    onUnblocked: () => undefined,
  });
  // Most gates take no time that a clock read once a turn can see; the upstream leg does.
  const gates = callRecord({}).gates.map((gate) =>
    gate.gate === 'upstream' ? gate : { ...gate, toMicros: gate.fromMicros },
  );
  for (let i = 0; i < CALLS; i++) {
    log.append(callRecord({ gates, caller: `token:user-${i % CALLERS}`, peerPort: 40_000 + (i % CALLERS) }));
    if (i % 50 === 0) log.flush();
  }
  log.flush();
  const resource = resourceBytes({ serviceName: 'bulkhead', serviceVersion: '0', instanceId: '0', processId: 1 });
  const buffer = Buffer.allocUnsafeSlow(512 * 1024);
  for (const signal of ['traces', 'logs'] as const) {
    const encode = recordEncoder(signal);
    const batch = new OtlpBatch(resource, 'bulkhead', '0');
    const perCall: number[] = [];
    let bytes = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const tail = new WriterTail(directory, 'worker-0', undefined, buffer);
      const before = process.cpuUsage();
      bytes = 0;
      for (let more = true; more; ) {
        batch.clear();
        more = false;
        tail.read((frame) => {
          encode(frame, batch.entries);
          batch.endRecord();
          more = batch.isFull;
          return !more;
        });
        bytes += batch.request(0, batch.size).length;
      }
      const { user, system } = process.cpuUsage(before);
      perCall.push((user + system) / CALLS);
      tail.close();
    }
    const sorted = perCall.toSorted((a, b) => a - b);
    const median = sorted[ROUNDS >> 1] ?? 0;
    process.stdout.write(
      `${signal}: ${median.toFixed(2)} µs, ${Math.round(bytes / CALLS)} bytes a call (${sorted.map((x) => x.toFixed(2)).join(' ')})\n`,
    );
  }
  log.close();
} finally {
  rmSync(directory, { recursive: true });
}
