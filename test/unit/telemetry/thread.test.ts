import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { OtlpConfig } from '../../../src/config/generation.ts';
import type { FromTelemetry, TelemetryBirth, ToTelemetry } from '../../../src/telemetry/thread-messages.ts';
import { openLog, write } from '../../fakes/audit-logs.ts';
import { callRecord } from '../../fakes/audit-records.ts';
import { OtlpSink } from '../../fakes/otlp-sink.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

const THREAD = new URL('../../../src/telemetry/thread.ts', import.meta.url);

let sink: OtlpSink;
let threads: Worker[];

beforeEach(() => {
  sink = new OtlpSink();
  threads = [];
});

afterEach(async () => {
  await Promise.all(threads.map((thread) => thread.terminate()));
  await sink.close();
});

function start(auditDirectory: string, endpoint: string): { readonly thread: Worker; readonly heard: FromTelemetry[] } {
  const otlp: OtlpConfig = {
    protocol: 'http/protobuf',
    endpoint,
    headers: {},
    caPem: undefined,
    clientCertificate: undefined,
    timeoutMs: 2_000,
  };
  const workerData: TelemetryBirth = {
    auditDirectory,
    telemetry: { serviceName: 'bulkhead', otlp, traceSampleRatio: 1 },
    serviceVersion: '0.1.0',
    instanceId: 'test-1',
  };
  const thread = new Worker(THREAD, { workerData });
  const heard: FromTelemetry[] = [];
  thread.on('message', (message: FromTelemetry) => heard.push(message));
  threads.push(thread);
  return { thread, heard };
}

it('delivers, tells how far it is, and drains when told to', async () => {
  const directory = temporaryDirectory();
  const { thread, heard } = start(directory, await sink.listenHttp());
  const log = openLog(directory);
  write(log, callRecord({}), callRecord({ sampled: false }));
  await sink.until(() => sink.logs.length >= 2 && sink.spans.length >= 7);
  write(log, callRecord({}));
  log.close();
  const drain: ToTelemetry = { type: 'drain', timeoutMs: 3_000 };
  const exited = new Promise((resolve) => thread.once('exit', resolve));
  thread.postMessage(drain);
  expect(await exited).toBe(0);
  expect(sink.logs).toHaveLength(3);
  expect(sink.spans).toHaveLength(14);
  expect(heard.at(-1)).toEqual({ type: 'drained', undeliveredBytes: 0 });
  expect(heard.at(-2)).toEqual({
    type: 'status',
    status: { deliveredRecords: 3, rejectedRecords: 0, backlogBytes: 0, lastError: undefined },
  });
});

it('loses nothing when it dies: the next one goes on from the cursor', async () => {
  const directory = temporaryDirectory();
  const endpoint = await sink.listenHttp();
  const log = openLog(directory, { segmentBytes: 10_000 });
  const written = 600;
  for (let round = 0, next = 0; round < 3; round++) {
    const { thread } = start(directory, endpoint);
    for (; next < ((round + 1) * written) / 3; next++) write(log, callRecord({ requestBytes: next }));
    await sink.until(() => sink.logs.length > round * 150);
    await thread.terminate();
  }
  start(directory, endpoint);
  const numbers = () => new Set(sink.logs.map(({ attributes }) => attributes['bulkhead.request.bytes']));
  await sink.until(() => numbers().size >= written);
  log.close();
  expect(numbers().size).toBe(written);
});
