/**
 * Tenants change under load, one and hundreds at a time: every worker has what is configured, also one that was born in between,
 * and a certificate that was replaced is what the next handshake gets.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { type ClientHttp2Session, connect } from 'node:http2';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { issueServer } from '../../src/identity/issue.ts';
import { auditRecord } from './harness/audit-records.ts';
import { freePort } from './harness/free-port.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar, tenantYaml } from './harness/sidecar.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';
import { killThread } from './harness/worker-inspector.ts';

/** More than a worker is handed in two messages. */
const TENANTS = 250;
/** Connections, so many that each of two workers has some. */
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

const ids = Array.from({ length: TENANTS }, (_, index) => `tenant-${index}`);

function write(running: Sidecar, id: string, models: readonly string[]): void {
  const roles = [{ name: 'all', methods: ['ModelInfer'], models }];
  running.writeTenantFile(id, tenantYaml({ id, upstream: upstream.address, extra: { roles } }));
}

/** What fresh connections to whichever worker are told of a model. */
async function verdicts(running: Sidecar, id: string, model: string): Promise<ReadonlySet<string>> {
  const codes = new Set<string>();
  for (let connection = 0; connection < CLIENTS; connection++) {
    const client = tenantClient(running, id);
    codes.add((await client.infer({ modelName: model, inputs: [] })).code);
    client.close();
  }
  return codes;
}

async function metric(running: Sidecar, name: string): Promise<number> {
  const { text } = await running.admin('/metrics');
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

const generation = (running: Sidecar, least: number): Promise<true> =>
  until(
    `generation ${least}`,
    async () => ((await metric(running, 'bulkhead_config_generation')) >= least ? true : undefined),
    20_000,
  );

it('hundreds change at once, and a worker that is born between two changes has them all', async () => {
  const inspectorPort = await freePort();
  const running = await Sidecar.start({
    tenants: ids.map((id) => ({ id, upstream: upstream.address })),
    nodeFlags: [`--inspect=127.0.0.1:${inspectorPort}`],
  });
  sidecar = running;
  const clients = ['tenant-0', 'tenant-249'].map((id) => tenantClient(running, id));
  const load = new SteadyLoad(clients, 8, 'digits', 20);
  await until('load', () => (load.calls.length > 50 ? true : undefined), 10_000);

  for (const id of ids) write(running, id, ['digits', 'first']);
  await generation(running, 2);
  await until(
    'the last one’s change',
    async () => ((await verdicts(running, 'tenant-249', 'other')).has('OK') ? undefined : true),
    10_000,
  );
  for (const id of ['tenant-0', 'tenant-120', 'tenant-249']) {
    expect(await verdicts(running, id, 'first'), id).toEqual(new Set(['OK']));
    expect(await verdicts(running, id, 'other'), id).toEqual(new Set(['PERMISSION_DENIED']));
  }
  expect(load.failed).toEqual([]);
  await load.stop();
  for (const client of clients) client.close();

  await killThread(inspectorPort, /worker\.ts/);
  await auditRecord(running, 'the death', (one) => one.type === 'event' && one.event === 'worker_died');
  const listening = async (): Promise<true | undefined> =>
    (await running.admin('/readyz')).text.includes('workers listen') ? undefined : true;
  await until('its successor', listening, 10_000);
  const before = await metric(running, 'bulkhead_config_generation');
  write(running, 'tenant-0', ['second']);
  await generation(running, before + 1);
  expect(await verdicts(running, 'tenant-0', 'second')).toEqual(new Set(['OK']));
  expect(await verdicts(running, 'tenant-0', 'first')).toEqual(new Set(['PERMISSION_DENIED']));
  expect(await verdicts(running, 'tenant-120', 'first')).toEqual(new Set(['OK']));
  expect(await verdicts(running, 'tenant-120', 'second')).toEqual(new Set(['PERMISSION_DENIED']));
  // Nobody else has died of a change that it could not follow.
  expect(await metric(running, 'bulkhead_worker_restarts_total')).toBe(1);
});

it('a replaced certificate is what the next handshake gets, while open connections live on', async () => {
  const running = await Sidecar.start({ tenants: [{ id: 'acme', upstream: upstream.address }] });
  sidecar = running;
  const { pki } = running.tenant('acme');
  const identity = { ca: pki.ca.certPem, cert: pki.client.certPem, key: pki.client.keyPem, servername: pki.serverName };
  const presented = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ ...identity, host: '127.0.0.1', port: running.port, ALPNProtocols: ['h2'] }, () => {
        resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? '');
        socket.destroy();
      });
      socket.once('error', reject);
    });
  const first = await presented();
  const session = await opened(running, identity);
  let leaving = false;
  session.on('goaway', () => (leaving = true));
  session.on('close', () => (leaving = true));
  const client = tenantClient(running, 'acme');
  const load = new SteadyLoad([client], 8, 'digits', 20);
  await until('load', () => (load.calls.length > 20 ? true : undefined), 10_000);

  const next = issueServer(pki.ca, { dnsNames: [pki.serverName], ipAddresses: ['127.0.0.1'], days: 1 });
  const replace = (name: string, text: string): void => {
    const file = join(running.directory, 'pki/acme', name);
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  };
  replace('server.key', next.keyPem);
  replace('server.pem', next.certPem);
  await generation(running, 2);
  // Every worker: so many handshakes reach them all.
  for (let handshake = 0; handshake < CLIENTS; handshake++) expect(await presented()).not.toBe(first);

  const at = load.calls.length;
  await until('load after it', () => (load.calls.length > at + 50 ? true : undefined), 10_000);
  await load.stop();
  expect(load.failed).toEqual([]);
  await new Promise<void>((resolve, reject) => session.ping((error) => (error === null ? resolve() : reject(error))));
  expect([leaving, session.closed]).toEqual([false, false]);
  client.close();
  session.destroy();
});

function opened(running: Sidecar, identity: object): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const session = connect(`https://127.0.0.1:${running.port}`, identity);
    session.once('remoteSettings', () => resolve(session));
    session.once('error', reject);
  });
}
