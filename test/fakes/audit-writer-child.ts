/**
 * A process that writes its audit log as fast as it can and tells after each acknowledged flush how far it is: for tests that
 * kill it. `node audit-writer-child.ts DIRECTORY START`.
 */
import { writeSync } from 'node:fs';
import { AuditLog } from '../../src/audit/log.ts';
import { callRecord } from './audit-records.ts';

const [directory = '', start = '0'] = process.argv.slice(2);
const log = new AuditLog({
  directory,
  writer: 'worker-0',
  segmentBytes: 256 * 1024,
  maxBytes: 1024 ** 3,
  whenFull: 'refuse',
  onBlocked: () => process.exit(3),
  onUnblocked: () => undefined,
});

for (let next = Number(start); ; ) {
  const batch = 1 + (next % 97);
  for (let i = 0; i < batch; i++) log.append(callRecord({ requestBytes: next + i }));
  if (!log.flush()) process.exit(4);
  next += batch;
  writeSync(1, `${next}\n`);
}
