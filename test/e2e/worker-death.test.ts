/**
 * A data-plane thread dies under load: the others' calls don't notice, it is replaced, and the log says so.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditRecord } from './harness/audit-records.ts';
import { freePort } from './harness/free-port.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';
import { killThread } from './harness/worker-inspector.ts';

/** So many that the kernel spreads them over both threads. */
const CLIENTS = 16;

let upstream: ModelUpstream;
let sidecar: Sidecar;
let inspectorPort: number;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  inspectorPort = await freePort();
  sidecar = await Sidecar.start({
    tenants: [{ id: 'acme', upstream: upstream.address }],
    nodeFlags: [`--inspect=127.0.0.1:${inspectorPort}`],
    extra: { workers: 2 },
  });
});

afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

async function connections(worker: number): Promise<number> {
  const { text } = await sidecar.admin('/metrics');
  return Number(
    new RegExp(`^bulkhead_connections\\{worker="worker-${worker}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? '-1',
  );
}

describe('a data-plane thread that dies', () => {
  it('takes its own connections with it and no other call, and is replaced', async () => {
    const clients = Array.from({ length: CLIENTS }, () => tenantClient(sidecar, 'acme'));
    const loads = clients.map((client) => new SteadyLoad([client], 2, 'digits', 50));
    await until('load', () => (loads.every((load) => load.calls.length > 4) ? true : undefined), 10_000);
    const spread = [await connections(0), await connections(1)];
    expect(spread[0] ?? 0, `spread ${spread.join()}`).toBeGreaterThan(0);
    expect(spread[1] ?? 0, `spread ${spread.join()}`).toBeGreaterThan(0);

    await killThread(inspectorPort, /worker\.ts/);
    await auditRecord(sidecar, 'the death', (record) => record.type === 'event' && record.event === 'worker_died');
    await until('readiness', async () => ((await sidecar.admin('/readyz')).status === 200 ? true : undefined), 10_000);
    const counts = loads.map((load) => load.calls.length);
    const servedAgain = (load: SteadyLoad, i: number): boolean =>
      load.calls.slice(counts[i]).filter((call) => call.code === 'OK').length > 4;
    await until('every client’s calls after it', () => (loads.every(servedAgain) ? true : undefined), 15_000);
    await Promise.all(loads.map((load) => load.stop()));
    for (const client of clients) client.close();

    const hit = loads.filter((load) => load.failed.length > 0);
    expect(spread).toContain(hit.length);
    // Only what was running on the dead thread's connections failed, with a status that clients retry.
    for (const load of hit)
      expect(load.failed.every((call) => call.code === 'UNAVAILABLE' || call.code === 'CANCELLED')).toBe(true);
    expect((await sidecar.admin('/metrics')).text).toMatch(/^bulkhead_worker_restarts_total 1$/m);
  });
});
