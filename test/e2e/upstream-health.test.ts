/**
 * Judges: the health services of grpc-js and grpc-go. The sidecar asks them, and sends calls accordingly. (Triton, which has Check and
 * no Watch, is asked in `triton.test.ts`.)
 */
import { afterEach, expect, it } from 'vitest';
import type { InferenceClient } from '../../src/demo/inference-client.ts';
import { auditRecord, auditRecords } from './harness/audit-records.ts';
import { startInteropServer } from './harness/interop-server.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** A sidecar with this tenant, and a client of it that has a connection to each worker, more or less. */
async function start(
  address: string,
  healthCheck: object,
): Promise<{ sidecar: Sidecar; clients: readonly InferenceClient[] }> {
  const upstream = { address, healthCheck: { interval: '500ms', timeout: '500ms', ...healthCheck } };
  const sidecar = await Sidecar.start({ tenants: [{ id: 'acme', upstream: address, extra: { upstream } }] });
  stops.push(() => sidecar.stop());
  const clients = Array.from({ length: 8 }, () => tenantClient(sidecar, 'acme'));
  for (const client of clients) stops.push(() => client.close());
  // Nobody is asked before somebody comes.
  await Promise.all(clients.map((client) => client.infer(DIGITS)));
  return { sidecar, clients };
}

const DIGITS = { modelName: 'digits', id: '', inputs: [] };

/** Waits until the admin port says so of acme's model server, in every way in which it says it. */
async function shown(sidecar: Sidecar, health: object, gauge: number | undefined): Promise<void> {
  await until(
    `${JSON.stringify(health)} on the admin port`,
    async () => {
      const metrics = (await sidecar.admin('/metrics')).text;
      const value = /^bulkhead_upstream_healthy\{tenant="acme"\} (\d)$/m.exec(metrics)?.[1];
      const { tenants } = JSON.parse((await sidecar.admin('/tenants')).text);
      const isShown = JSON.stringify(tenants[0].upstreamHealth) === JSON.stringify(health);
      return isShown && value === (gauge === undefined ? undefined : String(gauge)) ? true : undefined;
    },
    10_000,
  );
}

const events = async (sidecar: Sidecar): Promise<readonly string[]> =>
  (await auditRecords(sidecar)).flatMap((record) =>
    record.type === 'event' && record.event.startsWith('upstream_') ? [`${record.event} ${record.detail}`] : [],
  );

it('grpc-js says that it does not serve, and serves again', async () => {
  const model = await ModelUpstream.start();
  stops.push(() => model.stop());
  const { sidecar, clients } = await start(model.address, {});
  await shown(sidecar, { at: 'healthy' }, 1);
  const running = clients.map((client) => client.infer({ ...DIGITS, id: 'delay:3000' }));
  await until('the calls are there', () => (model.seen.length >= 16 ? true : undefined), 5_000);
  model.health.setStatus('', 'NOT_SERVING');
  await shown(sidecar, { at: 'unhealthy', why: 'NOT_SERVING' }, 0);
  // One worker may have heard of it before the other.
  const refused = await until(
    'refusals by both workers',
    async () => {
      const outcomes = await Promise.all(clients.map((client) => client.infer(DIGITS)));
      return outcomes.every((outcome) => outcome.code !== 'OK') ? outcomes : undefined;
    },
    5_000,
  );
  for (const { code, reason } of refused) expect([code, reason]).toEqual(['UNAVAILABLE', 'UPSTREAM_UNAVAILABLE']);
  // Whoever was there is answered.
  expect((await Promise.all(running)).map(({ code }) => code)).toEqual(clients.map(() => 'OK'));
  model.health.setStatus('', 'SERVING');
  await shown(sidecar, { at: 'healthy' }, 1);
  expect((await Promise.all(clients.map((client) => client.infer(DIGITS)))).map(({ code }) => code)).toEqual(
    clients.map(() => 'OK'),
  );
  await auditRecord(
    sidecar,
    'that it is well',
    (record) => record.type === 'event' && record.event === 'upstream_healthy',
  );
  // Two workers have found out; it is said once.
  expect(await events(sidecar)).toEqual([
    `upstream_unhealthy ${model.address}: NOT_SERVING`,
    `upstream_healthy ${model.address}`,
  ]);
});

it('grpc-go hangs, and is not sent calls until it does no more', async () => {
  const go = await startInteropServer();
  stops.push(() => go.child.stop());
  const { sidecar, clients } = await start(`http://127.0.0.1:${go.port}`, { unhealthyThreshold: 2 });
  await shown(sidecar, { at: 'healthy' }, 1);
  // It has another service than the one that is called: that it says so shows that the call was there.
  const call = async (): Promise<readonly unknown[]> =>
    (await Promise.all(clients.map((client) => client.infer(DIGITS)))).map(({ code }) => code);
  expect(new Set(await call())).toEqual(new Set(['UNIMPLEMENTED']));
  go.child.signal('SIGSTOP');
  stops.push(() => go.child.signal('SIGCONT'));
  await shown(sidecar, { at: 'unhealthy', why: 'no answer within 500 ms' }, 0);
  await until(
    'refusals by both workers',
    async () => ((await call()).every((code) => code === 'UNAVAILABLE') ? true : undefined),
    10_000,
  );
  const begun = performance.now();
  await call();
  expect(performance.now() - begun).toBeLessThan(2_000);
  go.child.signal('SIGCONT');
  await shown(sidecar, { at: 'healthy' }, 1);
  expect(new Set(await call())).toEqual(new Set(['UNIMPLEMENTED']));
});

it('grpc-go does not know the service that it is asked about', async () => {
  const go = await startInteropServer();
  stops.push(() => go.child.stop());
  const { sidecar } = await start(`http://127.0.0.1:${go.port}`, { service: 'no.such.Service' });
  await shown(sidecar, { at: 'unhealthy', why: 'SERVICE_UNKNOWN' }, 0);
});
