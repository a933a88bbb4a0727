/**
 * One tenant fills the memory that all may hold, over all workers of a real sidecar: it loses calls, and its neighbour none. What a
 * worker held when it dies is given back.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { METHOD } from '../bench/load.ts';
import { modelInfer } from '../bench/message.ts';
import { type Answer, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { RawUpstream } from '../fakes/raw-upstream.ts';
import { freePort } from './harness/free-port.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';
import { killThread } from './harness/worker-inspector.ts';

const MIB = 1024 * 1024;
const CEILING = 64 * MIB;
/** So many that the kernel spreads them over both threads. */
const CONNECTIONS = 12;
const CALLS = 12;

let deaf: RawUpstream;
let upstream: ModelUpstream;
let sidecar: Sidecar;
let inspectorPort: number;

beforeAll(async () => {
  // Acme's model server takes calls, and of their bytes no more than the first window.
  deaf = await RawUpstream.start();
  deaf.script = () => undefined;
  upstream = await ModelUpstream.start();
  inspectorPort = await freePort();
  sidecar = await Sidecar.start({
    tenants: [
      { id: 'acme', upstream: deaf.config().display },
      { id: 'globex', upstream: upstream.address },
    ],
    nodeFlags: [`--inspect=127.0.0.1:${inspectorPort}`],
    extra: { workers: 2, limits: { maxHeld: '64MiB', streamWindow: '1MiB', connectionWindow: '64MiB' } },
  });
});

afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
  await deaf?.stop();
});

async function gauge(name: string): Promise<number> {
  const { text } = await sidecar.admin('/metrics');
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

async function greedy(): Promise<RawGrpcClient> {
  const { pki } = sidecar.tenant('acme');
  return RawGrpcClient.connect({
    port: sidecar.port,
    serverName: pki.serverName,
    caPem: pki.ca.certPem,
    certPem: pki.client.certPem,
    keyPem: pki.client.keyPem,
  });
}

it('sheds the tenant that fills the memory of all, on whichever worker its calls are, and no call of another', async () => {
  const neighbour = new SteadyLoad([tenantClient(sidecar, 'globex'), tenantClient(sidecar, 'globex')], 2, 'digits', 5);
  const message = modelInfer(MIB - 5);
  const shed: Answer[] = [];
  const clients: RawGrpcClient[] = [];
  let most = 0;
  for (let n = 0; n < CONNECTIONS; n++) {
    const client = await greedy();
    clients.push(client);
    for (let call = 0; call < CALLS; call++) {
      void client.call(METHOD, { chunks: [message] }).then((answer) => shed.push(answer));
    }
    most = Math.max(most, await gauge('bulkhead_held_bytes_of_all'));
  }
  const wanted = CONNECTIONS * CALLS - CEILING / MIB;
  await until('the calls that are too many end', () => (shed.length >= wanted ? true : undefined), 20_000);
  most = Math.max(most, await gauge('bulkhead_held_bytes_of_all'));
  expect(new Set(shed.map(({ status, reason }) => `${status} ${reason}`))).toEqual(
    new Set(['8 TENANT_BUFFER_EXCEEDED']),
  );
  expect(await gauge('bulkhead_held_bytes_ceiling')).toBe(CEILING);
  expect(await gauge('bulkhead_held_bytes_of_all')).toBeLessThanOrEqual(CEILING);
  // What two workers read before each heard of the other; they share two cores with this test.
  expect(most).toBeLessThan(CEILING * 1.25);
  expect(await gauge('bulkhead_denials_total{tenant="acme",reason="buffer_exceeded"}')).toBeGreaterThanOrEqual(wanted);

  // A worker dies with what it held, and the total is that of the other.
  const before = await gauge('bulkhead_held_bytes_of_all');
  await until(
    'its death',
    async () => {
      // On a busy machine the inspector's word may come too late to be heard.
      await killThread(inspectorPort, /worker\.ts/);
      return (await gauge('bulkhead_worker_restarts_total')) > 0 ? true : undefined;
    },
    20_000,
    1_000,
  );
  const fell = async (): Promise<true | undefined> =>
    (await gauge('bulkhead_held_bytes_of_all')) < before - 5 * MIB ? true : undefined;
  await until(`its part of ${before} bytes is given back`, fell, 20_000);
  for (const client of clients) client.close();
  await until(
    'the rest, but for idle buffers',
    async () => ((await gauge('bulkhead_held_bytes{tenant="acme"}')) < 4 * MIB ? true : undefined),
    20_000,
  );

  const calls = await neighbour.stop();
  expect(calls.length).toBeGreaterThan(100);
  // Only the thread that was killed has cost a neighbour anything.
  expect(calls.filter(({ code }) => code !== 'OK' && code !== 'UNAVAILABLE')).toEqual([]);
  expect(await gauge('bulkhead_denials_total{tenant="globex",reason="buffer_exceeded"}')).toBe(0);
});
