/**
 * SIGTERM under load: what runs ends well, what comes later is told to go elsewhere, and the process is gone in time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

let upstream: ModelUpstream;
let sidecar: Sidecar;

beforeEach(async () => {
  upstream = await ModelUpstream.start();
  sidecar = await Sidecar.start({
    tenants: [{ id: 'acme', upstream: upstream.address }],
    extra: { shutdown: { drainTimeout: '3s' } },
  });
});

afterEach(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

describe('SIGTERM', () => {
  it('lets every running call finish, and ends by itself with code 0', async () => {
    const clients = Array.from({ length: 4 }, () => tenantClient(sidecar, 'acme'));
    const load = new SteadyLoad(clients, 8, 'digits', 300);
    await until('load', () => (load.calls.length > 64 ? true : undefined), 10_000);
    const asked = Date.now();
    sidecar.child.signal('SIGTERM');
    const exit = await sidecar.child.exit(20_000);
    const took = Date.now() - asked;
    await load.stop();
    for (const client of clients) client.close();

    expect(exit, exit.output).toMatchObject({ code: 0 });
    expect(took).toBeLessThan(3_000);
    const running = load.calls.filter((call) => call.startedAt < asked && call.endedAt >= asked);
    expect(running.length).toBeGreaterThan(16);
    expect(running.filter((call) => call.code !== 'OK')).toEqual([]);
    // Whoever came later is told what clients try again elsewhere for.
    const codes = new Set(load.calls.filter((call) => call.startedAt >= asked).map((call) => call.code));
    expect([...codes].filter((code) => code !== 'OK' && code !== 'UNAVAILABLE')).toEqual([]);
  });

  it('cuts what has not finished at the limit, with a clear status', async () => {
    const client = tenantClient(sidecar, 'acme');
    const call = client.infer({ modelName: 'digits', id: 'delay:15000', inputs: [] });
    await until('the call at the upstream', () => (upstream.seen.length > 0 ? true : undefined), 5_000);
    const asked = Date.now();
    sidecar.child.signal('SIGTERM');
    await sleep(2_000);
    expect(sidecar.child.running).toBe(true);
    expect(await sidecar.admin('/readyz')).toMatchObject({ status: 503 });
    expect(await call).toMatchObject({ code: 'UNAVAILABLE' });
    const exit = await sidecar.child.exit(20_000);
    client.close();
    expect(exit, exit.output).toMatchObject({ code: 0 });
    expect(Date.now() - asked).toBeLessThan(10_000);
  });
});
