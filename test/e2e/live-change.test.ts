/**
 * Workers and ports change under load: not one call fails, each is on record once, and what comes after a change (SIGTERM,
 * `kill -9`) is as it was before one.
 */
import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CallRecord } from '../../src/audit/record.ts';
import { verifyDirectory } from '../../src/audit/verify.ts';
import type { InferenceClient } from '../../src/demo/inference-client.ts';
import { auditRecord, auditRecords } from './harness/audit-records.ts';
import { accepts } from './harness/child.ts';
import { freePort } from './harness/free-port.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { patientInfer, tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

const CLIENTS = 12;

let upstream: ModelUpstream;
let sidecar: Sidecar | undefined;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
});
afterAll(() => upstream?.stop());
afterEach(async () => {
  await sidecar?.stop();
  sidecar = undefined;
});

async function start(extra: Readonly<Record<string, unknown>>): Promise<Sidecar> {
  sidecar = await Sidecar.start({ tenants: [{ id: 'acme', upstream: upstream.address }], extra });
  return sidecar;
}

/**
 * A client that knows where to go when nobody listens any more where it was. It is asked to leave, like all others; only what the
 * first address refuses to connect goes to the second. (grpc-js with both addresses in one target does the same, but tries the
 * second also when the first is only slow, and then leaves it alone for a second.)
 */
class FollowingClient {
  readonly #sidecar: Sidecar;
  readonly #next: number;
  readonly #first: InferenceClient;
  #second: InferenceClient | undefined;

  constructor(sidecar: Sidecar, next: number) {
    this.#sidecar = sidecar;
    this.#next = next;
    this.#first = tenantClient(sidecar, 'acme');
  }

  async infer(request: Parameters<InferenceClient['infer']>[0]): ReturnType<InferenceClient['infer']> {
    if (this.#second !== undefined) return this.#second.infer(request);
    const result = await this.#first.infer(request);
    if (!result.message.includes(`ECONNREFUSED 127.0.0.1:${this.#sidecar.port}`)) return result;
    this.#second ??= tenantClient(this.#sidecar, 'acme', { target: `127.0.0.1:${this.#next}` });
    return this.#second.infer(request);
  }

  close(): void {
    this.#first.close();
    this.#second?.close();
  }
}

interface Described {
  readonly generation: number;
  readonly workers: number;
  readonly leavingWorkers: number;
  readonly refusedChange: readonly { readonly path: string; readonly message: string }[];
}

async function described(sidecar: Sidecar, port?: number): Promise<Described> {
  const { text } = await sidecar.admin('/config', port);
  // Boundary: the admin port's own JSON.
  return JSON.parse(text) as Described;
}

const generation = (sidecar: Sidecar, expected: number): Promise<Described> =>
  until(
    `generation ${expected}`,
    async () => {
      const state = await described(sidecar);
      return state.generation === expected ? state : undefined;
    },
    15_000,
  );

async function connections(sidecar: Sidecar): Promise<ReadonlyMap<string, number>> {
  const { text } = await sidecar.admin('/metrics');
  const lines = text.matchAll(/^bulkhead_connections\{worker="(worker-\d+)"\} (\d+)$/gm);
  return new Map([...lines].map(([, worker, count]) => [worker ?? '', Number(count)]));
}

async function moreCalls(loads: readonly SteadyLoad[]): Promise<void> {
  const counts = loads.map((load) => load.calls.length);
  const each = (load: SteadyLoad, index: number): boolean => load.calls.length > (counts[index] ?? 0) + 5;
  await until('calls of every client', () => (loads.every(each) ? true : undefined), 15_000);
}

async function callRecords(sidecar: Sidecar): Promise<readonly CallRecord[]> {
  return (await auditRecords(sidecar)).filter((record) => record.type === 'call');
}

describe('a change of workers and ports under load', () => {
  it('fails no call, and has each on record once', async () => {
    const running = await start({ workers: 1 });
    const next = await freePort();
    const clients = Array.from({ length: CLIENTS }, () => new FollowingClient(running, next));
    const loads = clients.map((client) => new SteadyLoad([client], 2, 'digits', 20));
    await moreCalls(loads);
    expect([...(await connections(running)).keys()]).toEqual(['worker-0']);

    running.changeMain({ workers: 3 });
    await generation(running, 2);
    expect([...(await connections(running)).keys()]).toEqual(['worker-0', 'worker-1', 'worker-2']);
    // Who connects now may come to any of them.
    for (let late = 0; late < CLIENTS; late++) {
      const client = new FollowingClient(running, next);
      clients.push(client);
      loads.push(new SteadyLoad([client], 2, 'digits', 20));
    }
    await moreCalls(loads);
    const spread = await connections(running);
    expect(Math.min(...spread.values()), JSON.stringify([...spread])).toBeGreaterThan(0);

    running.changeMain({ workers: 2, listen: { address: `127.0.0.1:${next}` } });
    await generation(running, 3);
    expect(await accepts(running.port)).toBe(false);
    await moreCalls(loads);

    running.changeMain({ workers: 1 });
    await generation(running, 4);
    await moreCalls(loads);
    await until('one worker', async () => ((await connections(running)).size === 1 ? true : undefined), 15_000);
    await moreCalls(loads);
    await Promise.all(loads.map((load) => load.stop()));
    for (const client of clients) client.close();

    expect(loads.flatMap((load) => load.failed)).toEqual([]);
    const calls = loads.reduce((sum, load) => sum + load.calls.length, 0);
    const records = await callRecords(running);
    expect(records.filter((record) => record.outcome !== 'ok')).toEqual([]);
    expect(records.length).toBe(calls);
    const { text } = await running.admin('/metrics');
    expect(text).toMatch(new RegExp(`^bulkhead_calls_total\\{tenant="acme",[^}]*code="OK"\\} ${calls}$`, 'm'));
    expect(text).toMatch(/^bulkhead_worker_restarts_total 0$/m);
    expect(text).toMatch(/^bulkhead_bytes_in_flight\{tenant="acme"\} 0$/m);

    running.child.signal('SIGTERM');
    expect(await running.child.exit(20_000)).toMatchObject({ code: 0 });
    expect((await verifyDirectory(running.auditDirectory)).ok).toBe(true);
    const retired = (await auditRecords(running)).filter(
      (record) => record.type === 'event' && record.event === 'worker_retired',
    );
    expect(retired).toHaveLength(2);
  });

  it('is right also while workers drain: new ones come beside those that leave', async () => {
    const running = await start({ workers: 2 });
    const before = upstream.seen.length;
    const request = { modelName: 'digits', id: 'hold', inputs: [] };
    const held = Array.from({ length: CLIENTS }, () => patientInfer(running, 'acme', request));
    await until(
      'calls on both workers',
      async () => (Math.min(...(await connections(running)).values()) > 0 ? true : undefined),
      15_000,
    );
    await until(
      'all calls at the upstream',
      () => (upstream.seen.length >= before + CLIENTS ? true : undefined),
      15_000,
    );
    running.changeMain({ workers: 1 });
    expect(await generation(running, 2)).toMatchObject({ workers: 1, leavingWorkers: 1 });
    running.changeMain({ workers: 3 });
    expect(await generation(running, 3)).toMatchObject({ workers: 3, leavingWorkers: 1 });
    expect([...(await connections(running)).keys()]).toEqual(['worker-0', 'worker-1', 'worker-2', 'worker-3']);
    running.changeMain({ workers: 2 });
    expect(await generation(running, 4)).toMatchObject({ workers: 2 });
    expect(upstream.release()).toBe(CLIENTS);
    expect(await Promise.all(held)).toEqual(held.map(() => 0));
    await until(
      'two workers',
      async () => ((await described(running)).leavingWorkers === 0 ? true : undefined),
      15_000,
    );
    expect([...(await connections(running)).keys()]).toEqual(['worker-0', 'worker-2']);
    expect((await callRecords(running)).length).toBe(CLIENTS);
  });

  it('leaves SIGTERM and kill -9 as they were', async () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const running = await start({ workers: 1, shutdown: { drainTimeout: '3s' } });
      running.changeMain({ workers: 3, shutdown: { drainTimeout: '3s' } });
      await generation(running, 2);
      const next = await freePort();
      running.changeMain({ workers: 2, listen: { address: `127.0.0.1:${next}` } });
      await generation(running, 3);
      const clients = Array.from({ length: CLIENTS }, () =>
        tenantClient(running, 'acme', { target: `127.0.0.1:${next}` }),
      );
      const loads = clients.map((client) => new SteadyLoad([client], 2, 'digits', 30));
      await moreCalls(loads);
      const asked = Date.now();
      running.child.signal(signal);
      const exit = await running.child.exit(20_000);
      expect(Date.now() - asked).toBeLessThan(10_000);
      await Promise.all(loads.map((load) => load.stop()));
      for (const client of clients) client.close();
      if (signal === 'SIGTERM') {
        expect(exit, exit.output).toMatchObject({ code: 0 });
        const hadBegun = loads.flatMap((load) => load.failed).filter((call) => call.startedAt < asked);
        expect(hadBegun).toEqual([]);
      }
      const answered = loads.flatMap((load) => load.calls).filter((call) => call.code === 'OK').length;
      const recorded = (await callRecords(running)).filter((record) => record.outcome === 'ok').length;
      expect(recorded).toBeGreaterThanOrEqual(answered);
      // What was killed may have recorded calls whose answers were under way.
      expect(recorded - answered).toBeLessThanOrEqual(signal === 'SIGTERM' ? 0 : CLIENTS * 2);
      expect((await verifyDirectory(running.auditDirectory)).ok).toBe(true);
      await running.stop();
    }
  });

  it('is refused as a whole when the new address is taken, and everyone is told', async () => {
    const running = await start({ workers: 2 });
    const client = tenantClient(running, 'acme');
    const load = new SteadyLoad([client], 4, 'digits', 20);
    await moreCalls([load]);
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const address = taken.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;

    running.changeMain({ workers: 3, listen: { address: `127.0.0.1:${port}` } });
    const refused = await until(
      'the refusal',
      async () => (await described(running)).refusedChange.find(({ path }) => path === 'listen.address'),
      15_000,
    );
    expect(refused.message).toContain('EADDRINUSE');
    await auditRecord(running, 'the refusal', ({ type, ...record }) => {
      return type === 'event' && 'event' in record && record.event === 'configuration_refused';
    });
    expect(running.child.output).toContain('the changed configuration is refused');
    expect((await running.admin('/metrics')).text).toMatch(/^bulkhead_config_reload_failures_total 1$/m);
    expect(await described(running)).toMatchObject({ generation: 1, workers: 2 });
    // The third worker had come for it, and goes again.
    await until('two workers', async () => ((await connections(running)).size === 2 ? true : undefined), 15_000);
    await moreCalls([load]);

    await new Promise((resolve) => taken.close(resolve));
    running.child.signal('SIGHUP');
    await generation(running, 2);
    const follower = tenantClient(running, 'acme', { target: `127.0.0.1:${port}` });
    expect(await follower.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'OK' });
    await load.stop();
    client.close();
    follower.close();
    expect(load.failed.filter((call) => call.code !== 'UNAVAILABLE')).toEqual([]);
  });

  it('moves the admin port, also from one address to all of them', async () => {
    const running = await start({});
    const next = await freePort();
    running.changeMain({ admin: { address: `127.0.0.1:${next}` } });
    await until('the new port', async () => ((await accepts(next)) ? true : undefined), 15_000);
    await until('the old one', async () => ((await accepts(running.adminPort)) ? undefined : true), 15_000);
    expect(await described(running, next)).toMatchObject({ generation: 2 });
    running.changeMain({ admin: { address: `0.0.0.0:${next}` } });
    await until(
      'generation 3',
      async () => ((await described(running, next).catch(() => undefined))?.generation === 3 ? true : undefined),
      15_000,
    );
    expect(running.child.output).not.toContain('refused');
    expect(running.child.output).not.toContain('next start');
  });
});
