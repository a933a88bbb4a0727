/**
 * A data-plane thread runs out of its heap under load: the others' calls don't notice, it is replaced, what it had reserved is given
 * back, and the log says why.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditRecord, auditRecords } from './harness/audit-records.ts';
import { freePort } from './harness/free-port.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';
import { evaluateInThread } from './harness/worker-inspector.ts';

/** So many that the kernel spreads them over both threads. */
const CLIENTS = 16;
const HEAP = '96MiB';
/** Some 30 MB of objects that stay. */
const BELOW = 'globalThis.kept = Array.from({ length: 400_000 }, (_, i) => ({ i, o: {} })); undefined';
/** A leak: more with every turn of the event loop. */
const BEYOND = `
  (function leak() {
    for (let i = 0; i < 50_000; i++) globalThis.kept.push({ i, o: {} });
    setImmediate(leak);
  })()`;

let upstream: ModelUpstream;
let sidecar: Sidecar;
let inspectorPort: number;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  inspectorPort = await freePort();
  sidecar = await Sidecar.start({
    tenants: [{ id: 'acme', upstream: upstream.address }],
    nodeFlags: [`--inspect=127.0.0.1:${inspectorPort}`],
    extra: { workers: 2, limits: { workerHeap: HEAP } },
  });
});

afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

async function connections(worker: number): Promise<number> {
  const { text } = await sidecar.admin('/metrics');
  const match = new RegExp(`^bulkhead_connections\\{worker="worker-${worker}"\\} (\\d+)$`, 'm').exec(text);
  return Number(match?.[1] ?? '-1');
}

async function usage(): Promise<object | undefined> {
  const { text } = await sidecar.admin('/tenants');
  // Boundary: the admin port's own JSON.
  const { tenants } = JSON.parse(text) as { readonly tenants: readonly object[] };
  return tenants[0];
}

describe('a data-plane thread', () => {
  it('lives with a heap below its limit, and ends alone when it is beyond', async () => {
    const clients = Array.from({ length: CLIENTS }, () => tenantClient(sidecar, 'acme'));
    const loads = clients.map((client) => new SteadyLoad([client], 2, 'digits', 50));
    const moreCalls = async (): Promise<void> => {
      const counts = loads.map((load) => load.calls.length);
      const more = (load: SteadyLoad, i: number): boolean =>
        load.calls.slice(counts[i]).filter((call) => call.code === 'OK').length > 4;
      await until('calls of every client', () => (loads.every(more) ? true : undefined), 20_000);
    };
    await moreCalls();
    const spread = [await connections(0), await connections(1)];
    expect(Math.min(...spread), `spread ${spread.join()}`).toBeGreaterThan(0);

    await evaluateInThread(inspectorPort, /worker\.ts/, BELOW);
    await moreCalls();
    expect(loads.flatMap((load) => load.failed)).toEqual([]);

    await evaluateInThread(inspectorPort, /worker\.ts/, BEYOND);
    const death = await auditRecord(
      sidecar,
      'the death',
      (record) => record.type === 'event' && record.event === 'worker_died',
    );
    expect(death).toMatchObject({ detail: expect.stringContaining('memory limit') });
    await until('readiness', async () => ((await sidecar.admin('/readyz')).status === 200 ? true : undefined), 10_000);
    await moreCalls();
    await Promise.all(loads.map((load) => load.stop()));

    const hit = loads.filter((load) => load.failed.length > 0);
    expect(spread).toContain(hit.length);
    // A thread at its limit does little but collect, and a client may lose its patience before the thread ends.
    const codes = new Set(hit.flatMap((load) => load.failed).map((call) => call.code));
    expect(['UNAVAILABLE', 'CANCELLED', 'DEADLINE_EXCEEDED']).toEqual(expect.arrayContaining([...codes]));
    expect(await usage()).toMatchObject({ callsInProgress: 0, bytesInFlight: 0 });
    expect((await sidecar.admin('/metrics')).text).toMatch(/^bulkhead_worker_restarts_total 1$/m);
    for (const client of clients) client.close();

    // Of every call that a client saw answered there is a record; what the dead thread had in hand has none.
    const answered = loads.flatMap((load) => load.calls).filter((call) => call.code === 'OK').length;
    const recorded = (await auditRecords(sidecar)).filter(
      (record) => record.type === 'call' && record.outcome === 'ok',
    );
    expect(recorded.length).toBeGreaterThanOrEqual(answered);
  });
});
