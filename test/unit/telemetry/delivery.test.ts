import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readCursor, type Signal } from '../../../src/audit/cursor.ts';
import type { AuditRecord } from '../../../src/audit/record.ts';
import { segmentFileName } from '../../../src/audit/segment.ts';
import type { OtlpConfig } from '../../../src/config/generation.ts';
import { Delivery } from '../../../src/telemetry/delivery.ts';
import { OtlpExporter } from '../../../src/telemetry/otlp-export.ts';
import { FULL_BATCH_BYTES, OtlpBatch } from '../../../src/telemetry/otlp-request.ts';
import { resourceBytes } from '../../../src/telemetry/resource.ts';
import { openLog, write } from '../../fakes/audit-logs.ts';
import { callRecord, eventRecord, refusalRecord } from '../../fakes/audit-records.ts';
import { OtlpSink } from '../../fakes/otlp-sink.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

const RESOURCE = resourceBytes({ serviceName: 'bulkhead', serviceVersion: '0.1.0', instanceId: 'test', processId: 1 });

let directory: string;
let sink: OtlpSink;
let running: { readonly delivery: Delivery; readonly done: Promise<void> }[];

beforeEach(() => {
  directory = temporaryDirectory();
  sink = new OtlpSink();
  running = [];
});

afterEach(async () => {
  for (const { delivery } of running) delivery.drain(0);
  await Promise.all(running.map(({ done }) => done));
  await sink.close();
});

function config(endpoint: string, protocol: OtlpConfig['protocol'] = 'grpc'): OtlpConfig {
  return {
    protocol,
    endpoint,
    headers: { 'x-collector-token': 's3cret' },
    caPem: undefined,
    clientCertificate: undefined,
    timeoutMs: 2_000,
  };
}

async function deliver(signal: Signal, otlp: OtlpConfig) {
  const batch = new OtlpBatch(RESOURCE, 'bulkhead', '0.1.0');
  const delivery = new Delivery({ signal, directory, batch, exporter: await OtlpExporter.create(signal, otlp) });
  const started = { delivery, batch, done: delivery.run() };
  running.push(started);
  return started;
}

function calls(from: number, to: number): AuditRecord[] {
  return Array.from({ length: to - from }, (_, i) => callRecord({ requestBytes: from + i }));
}

function deliveredCalls(): number[] {
  return sink.logs
    .filter(({ eventName }) => eventName === 'bulkhead.audit.call')
    .map(({ attributes }) => Number(attributes['bulkhead.request.bytes']))
    .sort((a, b) => a - b);
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

/** A loopback port that nothing listens on, as an endpoint. */
async function deadEndpoint(): Promise<string> {
  const gone = new OtlpSink();
  const endpoint = await gone.listenGrpc();
  await gone.close();
  return endpoint;
}

describe.each(['grpc', 'http/protobuf'] as const)('delivering over %s', (protocol) => {
  const listen = (port?: number) => (protocol === 'grpc' ? sink.listenGrpc(port) : sink.listenHttp(port));

  it('brings every record of every writer once, as a log and as spans, and moves the cursors to the end', async () => {
    const otlp = config(await listen(), protocol);
    const logs = [openLog(directory), openLog(directory, { writer: 'main' })] as const;
    const [traces, audit] = [await deliver('traces', otlp), await deliver('logs', otlp)];
    write(logs[0], ...calls(0, 300));
    write(logs[1], eventRecord({}), refusalRecord({}));
    await sink.until(() => sink.logs.length >= 302 && sink.spans.length >= 300 * 7);
    write(logs[0], ...calls(300, 310));
    await sink.until(() => sink.logs.length >= 312 && sink.spans.length >= 310 * 7);
    for (const log of logs) log.close();
    await Promise.all([traces, audit].map(({ delivery, done }) => (delivery.drain(5_000), done)));
    expect(sink.logs).toHaveLength(312);
    expect(sink.spans).toHaveLength(310 * 7);
    expect(deliveredCalls()).toEqual(numbers(0, 310));
    expect(sink.requests[0]?.headers['x-collector-token']).toBe('s3cret');
    for (const { delivery } of [traces, audit]) {
      expect(delivery.backlogBytes()).toBe(0);
      expect(delivery).toMatchObject({ deliveredRecords: 312, rejectedRecords: 0, lastError: undefined });
    }
    expect(readCursor(directory, 'worker-0', 'logs')).toMatchObject({ sequence: 1, record: 310 });
  });

  it('loses nothing while the collector is away, holds one batch of it, and catches up', async () => {
    const endpoint = await listen();
    const port = Number(new URL(endpoint).port);
    const { delivery, batch } = await deliver('logs', config(endpoint, protocol));
    const log = openLog(directory, { segmentBytes: 128 * 1024 });
    write(log, ...calls(0, 100));
    await sink.until(() => sink.logs.length >= 100);
    await sink.close();
    for (let i = 100; i < 10_000; i += 100) {
      write(log, ...calls(i, i + 100));
      if (i % 1_000 === 0) await sleep(30);
    }
    await expect.poll(() => delivery.lastError, { timeout: 5_000 }).toBeDefined();
    expect(delivery.backlogBytes()).toBeGreaterThan(2 * 1024 * 1024);
    expect(batch.entries.length).toBeLessThan(FULL_BATCH_BYTES + 64 * 1024);
    await listen(port);
    await sink.until(() => new Set(deliveredCalls()).size >= 10_000, 15_000);
    log.close();
    expect([...new Set(deliveredCalls())]).toEqual(numbers(0, 10_000));
    expect(delivery.deliveredRecords).toBeLessThanOrEqual(10_000);
  });

  it('starts again where the cursor stands, and repeats at most what was not acknowledged', async () => {
    const otlp = config(await listen(), protocol);
    const log = openLog(directory, { segmentBytes: 20_000 });
    for (let round = 0; round < 4; round++) {
      write(log, ...calls(round * 100, round * 100 + 100));
      const { delivery, done } = await deliver('logs', otlp);
      await sink.until(() => sink.logs.length >= (round + 1) * 100);
      delivery.drain(2_000);
      await done;
    }
    log.close();
    expect(deliveredCalls()).toEqual(numbers(0, 400));
  });

  it('finds the record that the collector will not take, delivers all others, and goes on', async () => {
    const otlp = config(await listen(), protocol);
    sink.refuse = ({ logs }) => {
      const poisoned = logs.some(({ attributes }) => attributes['bulkhead.request.bytes'] === 33);
      if (!poisoned) return undefined;
      return protocol === 'grpc' ? { kind: 'grpc', code: 3, details: 'no' } : { kind: 'http', status: 400 };
    };
    const log = openLog(directory);
    write(log, ...calls(0, 64));
    const { delivery } = await deliver('logs', otlp);
    await sink.until(() => sink.logs.length >= 63);
    write(log, ...calls(64, 70));
    await sink.until(() => sink.logs.length >= 69);
    log.close();
    expect(deliveredCalls()).toEqual(numbers(0, 70).filter((number) => number !== 33));
    expect(delivery.rejectedRecords).toBe(1);
  });

  it('counts what the collector takes only in part, and does not send it again', async () => {
    const otlp = config(await listen(), protocol);
    sink.refuse = () => ({ kind: 'partial', rejected: 2 });
    const log = openLog(directory);
    write(log, ...calls(0, 10));
    const { delivery } = await deliver('logs', otlp);
    await sink.until(() => sink.logs.length >= 10 && delivery.deliveredRecords === 10);
    await sleep(150);
    log.close();
    expect(sink.logs).toHaveLength(10);
    expect(delivery).toMatchObject({ rejectedRecords: 2, lastError: expect.stringContaining('rejected 2') });
  });

  it('keeps the logs for a collector that has no place for them yet, while the spans go on', async () => {
    const otlp = config(await listen(), protocol);
    let takesLogs = false;
    sink.refuse = ({ signal }) => {
      if (signal === 'traces' || takesLogs) return undefined;
      return protocol === 'grpc'
        ? { kind: 'grpc', code: 12, details: 'unknown service' }
        : { kind: 'http', status: 404 };
    };
    const log = openLog(directory);
    write(log, ...calls(0, 10));
    await deliver('traces', otlp);
    const { delivery } = await deliver('logs', otlp);
    await sink.until(() => sink.spans.length >= 70);
    expect(sink.logs).toHaveLength(0);
    expect(delivery.rejectedRecords).toBe(0);
    takesLogs = true;
    await sink.until(() => sink.logs.length >= 10);
    log.close();
  });
});

describe('draining', () => {
  it('delivers what is there, although it came a moment ago', async () => {
    const otlp = config(await sink.listenGrpc());
    const { delivery, done } = await deliver('logs', otlp);
    await sleep(20);
    const log = openLog(directory, { writer: 'worker-3' });
    write(log, ...calls(0, 5));
    log.close();
    delivery.drain(5_000);
    await done;
    expect(deliveredCalls()).toEqual(numbers(0, 5));
  });

  it('ends in time when the collector is away or does not answer, and leaves the rest for later', async () => {
    const log = openLog(directory);
    write(log, ...calls(0, 5));
    log.close();
    const { delivery, done } = await deliver('logs', config(await deadEndpoint()));
    await sleep(50);
    const before = performance.now();
    delivery.drain(300);
    await done;
    expect(performance.now() - before).toBeLessThan(1_500);
    expect(delivery.backlogBytes()).toBeGreaterThan(0);
    expect(readCursor(directory, 'worker-0', 'logs')).toBeUndefined();
  });
});

describe('following segments', () => {
  it('passes over a torn tail and a segment that somebody took away, and counts nothing twice', async () => {
    const otlp = config(await sink.listenGrpc());
    for (let segment = 0; segment < 4; segment++) {
      const log = openLog(directory);
      write(log, ...calls(segment * 10, segment * 10 + 10));
      log.close();
    }
    unlinkSync(join(directory, segmentFileName({ writer: 'worker-0', sequence: 2 })));
    await deliver('logs', otlp);
    await sink.until(() => sink.logs.length >= 30);
    expect(deliveredCalls()).toEqual([...numbers(0, 10), ...numbers(20, 40)]);
  });

  it('passes over tens of thousands of calls that are not sampled, in rounds, and finds the one that is', async () => {
    const otlp = config(await sink.listenGrpc());
    const log = openLog(directory, { segmentBytes: 4 * 1024 * 1024 });
    write(
      log,
      ...Array.from({ length: 45_000 }, () => callRecord({ sampled: false })),
      callRecord({ caller: 'key:last' }),
    );
    const { delivery } = await deliver('traces', otlp);
    await sink.until(() => sink.spans.length >= 7);
    log.close();
    await expect.poll(() => delivery.deliveredRecords).toBe(45_001);
    expect(sink.requests).toHaveLength(1);
    expect(sink.spans[0]?.attributes['bulkhead.caller.id']).toBe('key:last');
  });

  it('moves no cursor before the collector has answered', async () => {
    const endpoint = await sink.listenGrpc();
    sink.refuse = () => ({ kind: 'grpc', code: 14, details: 'later' });
    const log = openLog(directory);
    write(log, ...calls(0, 10));
    await deliver('logs', config(endpoint));
    await sleep(200);
    expect(sink.requests.length).toBeGreaterThan(0);
    expect(readCursor(directory, 'worker-0', 'logs')).toBeUndefined();
    sink.refuse = () => undefined;
    await sink.until(() => sink.logs.length >= 10);
    log.close();
  });
});
