/**
 * Judge: the OpenTelemetry Collector. Every call that the test makes has its audit record there, exactly one; exactly the spans
 * it should have; nothing of one tenant under another's id; and a Collector that was away for 20 s has lost nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ATTRIBUTE, AUDIT_EVENT } from '../../src/telemetry/names.ts';
import { type CollectedLog, type CollectedSpan, Collector } from './harness/collector.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { cancelledInfer, tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

const TENANTS = ['acme', 'umbrella'] as const;
type TenantName = (typeof TENANTS)[number];

const SERVER_SPAN = 2;
const CLIENT_SPAN = 3;
const ARRIVAL_TIMEOUT_MS = 120_000;

/** What the test did: by the model's name, which no other call has. */
interface MadeCall {
  readonly tenant: TenantName;
  readonly model: string;
  readonly code: string;
}

let upstream: ModelUpstream;
let collector: Collector;
let sidecar: Sidecar;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  collector = await Collector.start();
  const tenant = (id: TenantName) => ({
    id,
    upstream: upstream.address,
    extra: { roles: [{ name: 'all', methods: ['ModelInfer'], models: [`${id}-*`] }] },
  });
  sidecar = await Sidecar.start({
    tenants: TENANTS.map(tenant),
    extra: { telemetry: { otlp: { endpoint: `http://127.0.0.1:${collector.grpcPort}`, protocol: 'grpc' } } },
  });
});

afterAll(async () => {
  await sidecar?.stop();
  await collector?.stop();
  upstream?.stop();
});

/** Calls of every outcome, each under a model name of its own. */
async function makeCalls(tenant: TenantName, round: string, count: number): Promise<readonly MadeCall[]> {
  const client = tenantClient(sidecar, tenant);
  const made: MadeCall[] = [];
  const call = async (model: string, id: string): Promise<void> => {
    const { code } = await client.infer({ modelName: model, id, inputs: [] });
    made.push({ tenant, model, code });
  };
  for (let i = 0; i < count; i++) {
    // The third of four fails at the upstream, the fourth names a model that the tenant may not use.
    if (i % 4 === 3) await call(`foreign-${tenant}-${round}-${i}`, '');
    else await call(`${tenant}-${round}-${i}`, i % 4 === 2 ? 'fail:13' : '');
  }
  client.close();
  return made;
}

const callLogs = (): readonly CollectedLog[] =>
  collector.collected().logs.filter((log) => log.eventName === AUDIT_EVENT.call);

const model = (item: CollectedLog | CollectedSpan): unknown => item.attributes.get(ATTRIBUTE.modelName);

/** Waits until a record of each call is there, then as long again for one too many to show. */
async function arrived(made: readonly MadeCall[]): Promise<ReadonlyMap<unknown, readonly CollectedLog[]>> {
  const names = new Set<unknown>(made.map((call) => call.model));
  await until(
    `records of ${made.length} calls`,
    () => (new Set(callLogs().map(model)).isSupersetOf(names) ? true : undefined),
    ARRIVAL_TIMEOUT_MS,
    1_000,
  ).catch((error: unknown) => {
    const missing = [...names.difference(new Set(callLogs().map(model)))];
    throw new Error(`${missing.length} records are missing, such as ${missing.slice(0, 5).join(', ')}`, {
      cause: error,
    });
  });
  await sleep(1_000);
  return Map.groupBy(
    callLogs().filter((log) => names.has(model(log))),
    model,
  );
}

describe('the Collector behind the sidecar', () => {
  it('gets exactly one audit record and exactly the spans of every call', async () => {
    const made = (await Promise.all(TENANTS.map((tenant) => makeCalls(tenant, 'first', 40)))).flat();
    for (const tenant of TENANTS) {
      expect(await cancelledInfer(sidecar, tenant, `${tenant}-cancelled`, 300)).toBe(1);
      made.push({ tenant, model: `${tenant}-cancelled`, code: 'CANCELLED' });
    }
    const logs = await arrived(made);
    const { spans } = collector.collected();

    expect(Object.groupBy(made, (call) => call.code)).toMatchObject({
      OK: { length: 40 },
      INTERNAL: { length: 20 },
      PERMISSION_DENIED: { length: 20 },
    });
    for (const call of made) {
      const [log, ...more] = logs.get(call.model) ?? [];
      expect(more).toEqual([]);
      expect(log?.attributes.get(ATTRIBUTE.tenantId)).toBe(call.tenant);
      expect(log?.attributes.get(ATTRIBUTE.rpcResponseStatusCode)).toBe(call.code);
      expect(log?.resource.get('service.name')).toBe('bulkhead');

      const trace = spans.filter((span) => span.traceId === log?.traceId);
      const server = trace.filter((span) => span.kind === SERVER_SPAN);
      const client = trace.filter((span) => span.kind === CLIENT_SPAN);
      expect(server).toHaveLength(1);
      expect(server[0]?.spanId).toBe(log?.spanId);
      expect(server[0]?.attributes.get(ATTRIBUTE.tenantId)).toBe(call.tenant);
      expect(server[0]?.name).toBe('inference.GRPCInferenceService/ModelInfer');
      // A refused call never reached the upstream, so it has no span towards it.
      expect(client).toHaveLength(call.code === 'PERMISSION_DENIED' ? 0 : 1);
      const ids = new Set(trace.map((span) => span.spanId));
      expect(ids.size).toBe(trace.length);
      for (const span of trace) expect(span.parentSpanId === '' ? span : ids.has(span.parentSpanId)).toBeTruthy();
      expect(trace.filter((span) => span.parentSpanId === '')).toHaveLength(1);
    }
    const traces = new Set(made.map((call) => logs.get(call.model)?.[0]?.traceId));
    expect(traces.size).toBe(made.length);
  });

  it('has nothing of one tenant under another’s id', async () => {
    const { logs, spans } = collector.collected();
    for (const tenant of TENANTS) {
      const other = tenant === 'acme' ? 'umbrella' : 'acme';
      const own = logs.filter((log) => log.attributes.get(ATTRIBUTE.tenantId) === tenant);
      expect(own.length).toBeGreaterThan(0);
      for (const log of own) expect(log.text).not.toContain(other);
      const ownSpans = spans.filter((span) => span.attributes.get(ATTRIBUTE.tenantId) === tenant);
      expect(ownSpans.length).toBeGreaterThan(0);
      for (const span of ownSpans) expect(JSON.stringify([...span.attributes])).not.toContain(other);
    }
  });

  it('has every record after it was away for 20 s under load', async () => {
    const made: MadeCall[] = [];
    let loading = true;
    const load = TENANTS.map(async (tenant) => {
      for (let round = 0; loading; round++) made.push(...(await makeCalls(tenant, `outage${round}`, 20)));
    });
    await sleep(2_000);
    await collector.pause();
    const before = made.length;
    await sleep(20_000);
    const during = made.length - before;
    await collector.resume();
    await sleep(2_000);
    loading = false;
    await Promise.all(load);

    expect(during).toBeGreaterThan(1_000);
    const logs = await arrived(made);
    expect(logs.size).toBe(made.length);
    // Delivery is at least once: a batch may come twice, but then it is the same record of the log.
    for (const records of logs.values()) {
      expect(new Set(records.map((log) => log.attributes.get(ATTRIBUTE.auditHash))).size).toBe(1);
    }
  });
});
