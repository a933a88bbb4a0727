/**
 * Usage in the real Collector and at the Prometheus endpoint: the same as on record, and over a `kill -9` it goes on where it was.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type CollectedPoint, Collector } from './harness/collector.ts';
import { recordedSums } from './harness/killed-lives.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

let collector: Collector;
let upstream: ModelUpstream;
let audit: string;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  collector = await Collector.start();
  audit = mkdtempSync(join(tmpdir(), 'bulkhead-usage-metrics-'));
});
afterAll(async () => {
  upstream?.stop();
  await collector?.stop();
  rmSync(audit, { recursive: true, force: true });
});

async function start(protocol: 'grpc' | 'http/protobuf'): Promise<Sidecar> {
  const port = protocol === 'grpc' ? collector.grpcPort : collector.httpPort;
  return Sidecar.start({
    tenants: [{ id: 'acme', upstream: upstream.address }],
    extra: {
      audit: { directory: audit },
      telemetry: { otlp: { endpoint: `http://127.0.0.1:${port}`, protocol }, usage: { interval: '1s' } },
    },
  });
}

async function call(sidecar: Sidecar, times: number): Promise<void> {
  const client = tenantClient(sidecar, 'acme');
  for (let i = 0; i < times; i++)
    expect((await client.infer({ modelName: 'digits', id: 'x', inputs: [] })).code).toBe('OK');
  client.close();
}

const points = (metric: string, value: string): readonly CollectedPoint[] =>
  collector
    .collected()
    .points.filter((point) => point.metric === metric && [...point.attributes.values()].includes(value));

function sent(calls: number): Promise<CollectedPoint> {
  return until(
    `a sum of ${calls} calls`,
    () => points('bulkhead.usage.calls', 'ok').find((point) => point.value === calls),
    20_000,
  );
}

it('usage comes to the Collector, by either protocol, and goes on over a kill', async () => {
  const first = await start('http/protobuf');
  await call(first, 20);
  const before = await sent(20);
  process.kill(first.child.pid, 'SIGKILL');
  await first.end();
  const second = await start('grpc');
  await call(second, 13);
  const after = await sent(33);

  expect(after).toMatchObject({ isMonotonic: true, temporality: 2, unit: '{call}', startNanos: before.startNanos });
  expect([...after.attributes]).toEqual([
    ['bulkhead.tenant.id', 'acme'],
    ['bulkhead.outcome', 'ok'],
  ]);
  const [, requestBytes = '', responseBytes = ''] = (await recordedSums(audit)).get('acme')?.split(' ') ?? [];
  expect(points('bulkhead.usage.bytes', 'request').at(-1)?.value).toBe(Number(requestBytes));
  const { text } = await second.admin('/metrics');
  expect(text).toContain('bulkhead_usage_calls_total{tenant="acme",outcome="ok"} 33\n');
  expect(text).toContain(`bulkhead_usage_bytes_total{tenant="acme",direction="response"} ${responseBytes}\n`);
  await second.stop();
  rmSync(first.directory, { recursive: true, force: true });
  // A series never goes back.
  const values = points('bulkhead.usage.calls', 'ok').map(({ value }) => value);
  expect(values).toEqual(values.toSorted((a, b) => a - b));
});
