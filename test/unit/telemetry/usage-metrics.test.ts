import { expect, it } from 'vitest';
import { COUNTERS } from '../../../src/telemetry/names.ts';
import type { ExportOutcome } from '../../../src/telemetry/otlp-export.ts';
import { OtlpBatch } from '../../../src/telemetry/otlp-request.ts';
import { resourceBytes } from '../../../src/telemetry/resource.ts';
import { totalsOf, USAGE_METRICS, UsageMetricsExport } from '../../../src/telemetry/usage-metrics.ts';
import { type Numbers, noNumbers, UNITS } from '../../../src/usage/units.ts';
import { decodeMetrics, type SunkPoint } from '../../fakes/otlp-sink.ts';

function exportInto(
  points: SunkPoint[],
  outcome: ExportOutcome = { kind: 'delivered', rejected: 0 },
): UsageMetricsExport {
  const resource = resourceBytes({ serviceName: 'bulkhead', serviceVersion: '0', instanceId: 'i', processId: 1 });
  const exporter = {
    export: ({ bytes }: { readonly bytes: Buffer }) => {
      // A request is sent later: it must not be what comes next.
      points.push(...decodeMetrics(Buffer.from(bytes)));
      return Promise.resolve(outcome);
    },
  };
  return new UsageMetricsExport(new OtlpBatch(resource, 'bulkhead', '0'), exporter);
}

/** 1, 2, 3, … in the order of the units. */
function numbered(scale = 1): Numbers {
  return noNumbers().map((_, index) => (index + 1) * scale);
}

it('sends cumulative sums of each tenant, exact at any size', async () => {
  const points: SunkPoint[] = [];
  const at = { sinceMicros: 1_700_000_000_000_000, atMicros: 1_700_000_060_000_000 };
  const huge = noNumbers().fill(2 ** 53 - 1);
  const tenants = [['acme', numbered()] as const, ['umbra', huge] as const];
  expect(await exportInto(points).send({ ...at, tenants })).toBeUndefined();
  expect(points).toHaveLength(2 * (4 + 2 + 2));
  for (const point of points) {
    expect(point).toMatchObject({ isCumulative: true, isMonotonic: true, startNanos: 1_700_000_000_000_000_000n });
    expect(point.nanos).toBe(1_700_000_060_000_000_000n);
    expect(point.resource['service.name']).toBe('bulkhead');
    if (point.attributes['bulkhead.tenant.id'] === 'umbra') expect(point.value).toBe(2n ** 53n - 1n);
  }
  const acme = points.filter(({ attributes }) => attributes['bulkhead.tenant.id'] === 'acme');
  const at1 = (unit: (typeof UNITS)[number]): bigint => BigInt(UNITS.indexOf(unit) + 1);
  expect(acme.map(({ metric, attributes, value }) => [metric, Object.values(attributes)[1], value])).toEqual([
    ['bulkhead.usage.calls', 'ok', at1('ok')],
    ['bulkhead.usage.calls', 'denied', at1('denied')],
    ['bulkhead.usage.calls', 'failed', at1('failed')],
    ['bulkhead.usage.calls', 'cancelled', at1('cancelled')],
    ['bulkhead.usage.bytes', 'request', at1('requestBytes')],
    ['bulkhead.usage.bytes', 'response', at1('responseBytes')],
    ['bulkhead.usage.messages', 'request', at1('requestMessages')],
    ['bulkhead.usage.messages', 'response', at1('responseMessages')],
  ]);
});

it('sends every tenant once, in requests that a collector takes, however many there are', async () => {
  const points: SunkPoint[] = [];
  const tenants = Array.from({ length: 12_345 }, (_, index) => [`tenant-${index}`, numbered(index)] as const);
  expect(await exportInto(points).send({ sinceMicros: 1, atMicros: 2, tenants })).toBeUndefined();
  expect(points).toHaveLength(12_345 * 8);
  const bytes = points.filter(
    ({ metric, attributes }) => metric.endsWith('bytes') && attributes['network.io.direction'] === 'request',
  );
  expect(new Set(bytes.map(({ attributes }) => attributes['bulkhead.tenant.id'])).size).toBe(12_345);
});

it('says why a collector did not take them, and sends the next', async () => {
  const points: SunkPoint[] = [];
  const refused = exportInto(points, { kind: 'unavailable', why: 'HTTP 404' });
  const totals = { sinceMicros: 1, atMicros: 2, tenants: [['acme', numbered()] as const] };
  expect(await refused.send(totals)).toBe('HTTP 404');
  expect(await refused.send(totals)).toBe('HTTP 404');
  expect(points).toHaveLength(16);
});

it('has no label but the tenant and what comes from a closed list, in both worlds', () => {
  for (const { prometheus, label } of USAGE_METRICS) expect(COUNTERS[prometheus].labels).toEqual(['tenant', label]);
});

it('is of configured tenants only, as many as metrics have at most', () => {
  const totals = new Map([
    ['acme', numbered()],
    ['gone', numbered()],
  ]);
  expect(totalsOf(totals, ['acme', 'new']).map(([tenant]) => tenant)).toEqual(['acme']);
  const many = Array.from({ length: 20_001 }, (_, index) => `t${index}`);
  expect(totalsOf(new Map(many.map((tenant) => [tenant, numbered()])), many)).toHaveLength(20_000);
});
