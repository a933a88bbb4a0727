/**
 * The telemetry thread: turns what the data-plane threads have written down into OTLP logs and traces, and delivers them. It
 * only reads segments, so a failure here costs no call and loses no record.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { SIGNALS } from '../audit/cursor.ts';
import type { OtlpConfig } from '../config/generation.ts';
import { settleHeap } from '../kernel/heap.ts';
import { Delivery } from './delivery.ts';
import { OtlpExporter } from './otlp-export.ts';
import { OtlpBatch } from './otlp-request.ts';
import { resourceBytes } from './resource.ts';
import type { FromTelemetry, TelemetryBirth, TelemetryStatus, ToTelemetry } from './thread-messages.ts';
import { UsageMetricsExport, type UsageTotals } from './usage-metrics.ts';

const STATUS_MS = 1_000;

if (parentPort === null) throw new Error('thread.ts is started by the supervisor, as a thread');
const port = parentPort;
// The supervisor is the only one who starts this file, with exactly this.
const birth = workerData as TelemetryBirth;
const { auditDirectory, telemetry, serviceVersion, instanceId } = birth;
if (telemetry.otlp === undefined) throw new Error('the telemetry thread has nowhere to deliver to');
const otlp: OtlpConfig = telemetry.otlp;

const resource = resourceBytes({
  serviceName: telemetry.serviceName,
  serviceVersion,
  instanceId,
  processId: process.pid,
});
const deliveries = await Promise.all(
  SIGNALS.map(
    async (signal) =>
      new Delivery({
        signal,
        directory: auditDirectory,
        batch: new OtlpBatch(resource, 'bulkhead', serviceVersion),
        exporter: await OtlpExporter.create(signal, otlp),
      }),
  ),
);

function status(): TelemetryStatus {
  return {
    deliveredRecords: Math.min(...deliveries.map((delivery) => delivery.deliveredRecords)),
    rejectedRecords: deliveries.reduce((sum, delivery) => sum + delivery.rejectedRecords, 0),
    backlogBytes: Math.max(...deliveries.map((delivery) => delivery.backlogBytes())),
    lastError: deliveries.map((delivery) => delivery.lastError).find((error) => error !== undefined),
  };
}

settleHeap();
const say = (message: FromTelemetry): void => port.postMessage(message);
const timer = setInterval(() => say({ type: 'status', status: status() }), STATUS_MS);

/** Made when there is something to send: most do without. */
let usage: Promise<UsageMetricsExport> | undefined;

async function sendUsage(totals: UsageTotals): Promise<string | undefined> {
  usage ??= OtlpExporter.create('metrics', otlp).then(
    (exporter) => new UsageMetricsExport(new OtlpBatch(resource, 'bulkhead', serviceVersion), exporter),
  );
  return (await usage).send(totals);
}

/** Sums that are under way when the thread ends. */
let sending: Promise<void> = Promise.resolve();

port.on('message', (message: ToTelemetry) => {
  switch (message.type) {
    case 'drain':
      for (const delivery of deliveries) delivery.drain(message.timeoutMs);
      return;
    case 'usage':
      sending = sendUsage(message.totals).then(
        (error) => say({ type: 'usage', error }),
        (cause: unknown) => say({ type: 'usage', error: String(cause) }),
      );
      return;
  }
});

await Promise.all(deliveries.map((delivery) => delivery.run()));
clearInterval(timer);
await sending;
say({ type: 'status', status: status() });
say({ type: 'drained', undeliveredBytes: status().backlogBytes });
port.close();
