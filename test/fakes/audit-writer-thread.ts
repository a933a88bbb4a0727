/** A thread that opens its audit log in `workerData.directory`, says so, and stays until it is ended. */
import { parentPort, workerData } from 'node:worker_threads';
import { AuditLog } from '../../src/audit/log.ts';
import { eventRecord } from './audit-records.ts';

// The test is the only one who starts this file.
const { directory } = workerData as { readonly directory: string };
const log = new AuditLog({
  directory,
  writer: 'worker-0',
  segmentBytes: 1024 ** 2,
  maxBytes: 1024 ** 3,
  whenFull: 'refuse',
  onBlocked: () => undefined,
  onUnblocked: () => undefined,
});
log.append(eventRecord({ event: 'thread.wrote' }));
parentPort?.postMessage(log.flush());
setInterval(() => undefined, 1_000);
