/**
 * Certificates by SPIRE's own server and agent, two trust domains that are federated: client → egress → mTLS → ingress → model server,
 * with nothing in any file. A certificate lives for 20 s, so that a test can watch several.
 *
 * BULKHEAD_SPIFFE_SECONDS makes the load of the first test run so long; the certificates of the chain then live for two minutes.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { auditRecord } from './harness/audit-records.ts';
import { run } from './harness/child.ts';
import { EgressSidecar } from './harness/egress-sidecar.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { PlainClient } from './harness/plain-client.ts';
import { Sidecar, tenantYaml } from './harness/sidecar.ts';
import { SpiffeClient } from './harness/spiffe-client.ts';
import { type FetchedSvid, Spire } from './harness/spire.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { until } from './harness/until.ts';

const LONG_SECONDS = Number(process.env['BULKHEAD_SPIFFE_SECONDS'] ?? 0);
const TTL = LONG_SECONDS > 0 ? 120 : 20;
const SERVER_NAME = 'acme.models.test';
const INGRESS_ID = 'spiffe://platform.example/models';
const EGRESS_ID = 'spiffe://acme.example/egress';
const SVID_METRIC = 'bulkhead_svid_not_after_seconds';

let platform: Spire;
let acme: Spire;
let upstream: ModelUpstream;
let ingress: Sidecar;
let egress: EgressSidecar;
const ending: (() => unknown)[] = [];

beforeAll(async () => {
  [platform, acme] = await Promise.all([Spire.start('platform.example'), Spire.start('acme.example')]);
  ending.push(() => Promise.all([platform.stop(), acme.stop()]));
  await platform.federateWith(acme);
  await acme.federateWith(platform);
  // No DNS name: whoever knows SPIFFE needs none.
  await platform.register({ path: 'models', federatesWith: ['acme.example'], ttl: TTL });
  await acme.register({ path: 'egress', federatesWith: ['platform.example'], ttl: TTL });
  upstream = await ModelUpstream.start();
  ending.push(() => upstream.stop());
  ingress = await Sidecar.start({
    tenants: [{ id: 'acme', upstream: upstream.address, extra: FROM_SPIRE }],
    extra: { spiffe: { workloadApi: platform.workloadApi } },
  });
  ending.push(() => ingress.stop());
  egress = await EgressSidecar.start({
    ingress,
    tenant: 'acme',
    upstream: {
      ca: { spiffeBundle: 'platform.example' },
      serverName: SERVER_NAME,
      spiffeId: INGRESS_ID,
      clientCertificate: { spiffeId: EGRESS_ID },
    },
    extra: { spiffe: { workloadApi: acme.workloadApi } },
  });
  ending.push(() => egress.stop());
}, 120_000);

afterAll(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

const FROM_SPIRE = {
  certificate: { spiffeId: INGRESS_ID },
  clientCa: { spiffeBundle: 'acme.example' },
};

/** Ends of a sidecar's certificate, each as it was seen, until `count` have been. */
async function seenEnds(
  sidecar: { readonly adminPort: number },
  svid: string,
  count: number,
): Promise<readonly number[]> {
  const seen = new Set<number>();
  await until(
    `${count} certificates of ${svid}`,
    async () => {
      const end = await metric(sidecar, `${SVID_METRIC}{svid="${svid}"}`);
      if (end !== undefined) seen.add(end);
      return seen.size >= count ? true : undefined;
    },
    (count + 2) * TTL * 1000,
    250,
  );
  return [...seen];
}

async function metric({ adminPort }: { readonly adminPort: number }, name: string): Promise<number | undefined> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/metrics`, { signal: AbortSignal.timeout(5_000) });
  const line = (await response.text()).split('\n').find((text) => text.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

/** A client with a certificate of SPIRE’s, on a connection of its own. */
async function clientOf(svid: FetchedSvid): Promise<SpiffeClient> {
  const authoritiesPem = await platform.server('bundle', 'show');
  const client = new SpiffeClient({
    port: ingress.port,
    serverName: SERVER_NAME,
    serverId: INGRESS_ID,
    authoritiesPem,
    certificate: svid,
  });
  ending.push(() => client.close());
  return client;
}

const infer = { modelName: 'digits', inputs: [] };

describe('with SPIRE’s own server and agent', () => {
  it(
    'certificates of both sides rotate under load, without a failed call',
    async () => {
      const client = new PlainClient(egress.port);
      const load = new SteadyLoad([client], 8, 'digits', 5);
      const begun = Date.now();
      const rotations = LONG_SECONDS > 0 ? Math.ceil(LONG_SECONDS / (TTL / 2)) : 3;
      const [ours, theirs] = await Promise.all([
        seenEnds(ingress, INGRESS_ID, rotations),
        seenEnds(egress, EGRESS_ID, rotations),
      ]);
      // Until those that it began with have ended.
      const firstEnd = Math.max(ours[0] ?? 0, theirs[0] ?? 0) * 1000;
      const end = Math.max(firstEnd + 1_000, begun + LONG_SECONDS * 1000);
      await until('their end', () => (Date.now() > end ? true : undefined), (3 * TTL + LONG_SECONDS) * 1000);
      await load.stop();
      client.close();
      expect(load.failed).toEqual([]);
      expect(load.calls.length).toBeGreaterThan(100);
      expect([ours.length, theirs.length]).toEqual([rotations, rotations]);
      const { text } = await ingress.admin('/config');
      expect(JSON.parse(text).workloadApi).toMatchObject({ missing: [], streams: { svids: { at: 'following' } } });
      // Neither key has left by the ways that an operator sees.
      for (const output of [ingress.child.output, egress.child.output, text])
        expect(output).not.toContain('PRIVATE KEY');
    },
    Math.max(120_000, LONG_SECONDS * 2_000),
  );

  it('an authority is replaced under load: added, used, and taken away, with no failed call', async () => {
    const client = new PlainClient(egress.port);
    const load = new SteadyLoad([client], 4, 'digits', 5);
    // What the old authority has signed, and would be good for longer than the authority is.
    await acme.register({ path: 'keeper', federatesWith: ['platform.example'], ttl: 300 });
    const keeper = await clientOf(await acme.fetch('keeper'));
    const { ended } = await keeper.stream('digits');
    const prepared = await acme.server('localauthority', 'x509', 'prepare');
    const next = authorityOf(prepared);
    await platform.federateWith(acme);
    await followed(2);
    await acme.server('localauthority', 'x509', 'activate', '-authorityID', next);
    const old = authorityOf((await acme.server('localauthority', 'x509', 'show')).split('Old X.509')[1] ?? '');
    await acme.server('localauthority', 'x509', 'taint', '-authorityID', old);
    // A certificate by the new one is there; the calls of the old one's have ended long before it is taken away.
    await seenEnds(egress, EGRESS_ID, 3);
    const fetched = await acme.fetch('egress');
    expect(await keeper.infer(infer)).toMatchObject({ code: 'OK' });
    await acme.server('localauthority', 'x509', 'revoke', '-authorityID', old);
    await platform.federateWith(acme);
    await followed(1);
    expect(await ended).toMatchObject({ code: 'UNAUTHENTICATED', responses: 1 });
    expect((await keeper.infer(infer)).code).not.toBe('OK');
    expect(await (await clientOf(fetched)).infer(infer)).toMatchObject({ code: 'OK' });
    const at = load.calls.length;
    await until('load after it', () => (load.calls.length > at + 50 ? true : undefined), 20_000);
    await load.stop();
    client.close();
    expect(load.failed).toEqual([]);
  }, 180_000);

  it('a client of another trust domain is refused, although SPIRE gave its certificate too', async () => {
    await platform.register({ path: 'stranger', ttl: 120 });
    const stranger = await clientOf(await platform.fetch('stranger'));
    expect(await stranger.infer(infer)).toMatchObject({ code: 'UNAVAILABLE' });
    await refusedFor(/^TLS_CLIENT_CERT_UNTRUSTED /);
    // Counter-proof: what keeps it out is the trust domain whose authorities the tenant names.
    const open = { ...FROM_SPIRE, clientCa: { spiffeBundle: 'platform.example' } };
    ingress.writeTenantFile('acme', tenantYaml({ id: 'acme', upstream: upstream.address, extra: open }));
    await until('it is in', async () => ((await stranger.infer(infer)).code === 'OK' ? true : undefined), 20_000);
    ingress.writeTenantFile('acme', tenantYaml({ id: 'acme', upstream: upstream.address, extra: FROM_SPIRE }));
    await until('it is out', async () => ((await stranger.infer(infer)).code === 'OK' ? undefined : true), 20_000);
  }, 90_000);

  it('a deleted entry cuts its caller off: its stream ends with its certificate, and nothing new begins', async () => {
    const entry = await acme.register({ path: 'leaver', federatesWith: ['platform.example'], ttl: 20 });
    const svid = await acme.fetch('leaver');
    await acme.server('entry', 'delete', '-entryID', entry);
    const client = await clientOf(svid);
    const { ended } = await client.stream('digits');
    expect(await client.infer(infer)).toMatchObject({ code: 'OK' });
    const end = await ended;
    expect(end).toMatchObject({ code: 'UNAUTHENTICATED', responses: 1 });
    const late = end.at - new X509Certificate(svid.certPem).validToDate.getTime();
    expect(late).toBeGreaterThanOrEqual(-1_000);
    expect(late).toBeLessThan(2_000);
    expect((await client.infer(infer)).code).not.toBe('OK');
    expect(await (await clientOf(svid)).infer(infer)).toMatchObject({ code: 'UNAVAILABLE' });
    await expect(acme.fetch('leaver', 1_000)).rejects.toThrow('does not give');
    const record = await auditRecord(
      ingress,
      'its end',
      (one) => one.type === 'call' && one.caller.includes('leaver') && one.grpcStatus === 16,
    );
    expect(record).toMatchObject({ reason: 'authorization_expired', detail: 'why=expired credential=certificate' });
  }, 120_000);

  it('a trust domain that is no longer federated is out, and is in again when it is', async () => {
    const svid = await acme.fetch('egress');
    const client = await clientOf(svid);
    expect(await client.infer(infer)).toMatchObject({ code: 'OK' });
    const { ended } = await client.stream('digits');
    await platform.server('bundle', 'delete', '-id', 'spiffe://acme.example', '-mode', 'dissociate');
    await until('it is out', async () => ((await client.infer(infer)).code === 'OK' ? undefined : true), 40_000);
    expect(await ended).toMatchObject({ code: 'UNAUTHENTICATED', responses: 1 });
    expect((await ingress.admin('/readyz')).text).toContain('the authorities of acme.example');
    expect((await ingress.admin('/readyz')).status).toBe(200);
    await platform.federateWith(acme);
    const [entry] = /(?<=Entry ID\s+: )\S+/.exec(await platform.server('entry', 'show', '-spiffeID', INGRESS_ID)) ?? [];
    await platform.server(
      ...['entry', 'update', '-entryID', entry ?? '', '-parentID', 'spiffe://platform.example/node'],
      ...['-spiffeID', INGRESS_ID, '-selector', `unix:uid:${process.getuid?.() ?? 0}`],
      ...['-x509SVIDTTL', String(TTL), '-federatesWith', 'spiffe://acme.example'],
    );
    const back = new PlainClient(egress.port);
    await until('it is in', async () => ((await back.infer(infer)).code === 'OK' ? true : undefined), 60_000);
    back.close();
  }, 150_000);

  it('while the agent is away calls go on until the certificate ends, and again when it is back', async () => {
    const client = new PlainClient(egress.port);
    await until('it is well', async () => ((await client.infer(infer)).code === 'OK' ? true : undefined), 30_000);
    await acme.stopAgent();
    const url = `http://127.0.0.1:${egress.adminPort}/readyz`;
    const reasons = async (): Promise<string> => (await fetch(url)).text();
    await until('it says so', async () => ((await reasons()).includes('fails since') ? true : undefined), 20_000);
    expect(await client.infer(infer)).toMatchObject({ code: 'OK' });
    await until(
      'it ends',
      async () => ((await metric(egress, 'bulkhead_workload_missing')) === 1 ? true : undefined),
      60_000,
    );
    const refused = await client.infer(infer);
    expect(refused).toMatchObject({ code: 'UNAVAILABLE' });
    expect(await reasons()).toContain('does not give spiffe://acme.example/egress');
    await acme.startAgent();
    await until('it is back', async () => ((await client.infer(infer)).code === 'OK' ? true : undefined), 90_000);
    client.close();
  }, 240_000);

  it('a start without its certificate says which socket, why, and what to do', async () => {
    const main = join(ingress.directory, 'start.yaml');
    const before: object = parse(readFileSync(join(ingress.directory, 'bulkhead.yaml'), 'utf8'));
    const nobody = await Spire.start('nobody.example');
    ending.push(() => nobody.stop());
    writeFileSync(main, stringify({ ...before, spiffe: { workloadApi: nobody.workloadApi, startTimeout: '3s' } }));
    const { code, output } = await run(
      'the sidecar',
      { command: process.execPath, args: ['src/main.ts', 'run', '--config', main] },
      30_000,
    );
    expect(code).toBe(1);
    expect(output).toContain(`${nobody.workloadApi} has given no certificate within 3 s: PERMISSION_DENIED`);
    expect(output).toContain('register an entry for this process');
  }, 60_000);
});

function authorityOf(output: string): string {
  const id = /Authority ID: (\S+)/.exec(output)?.[1];
  if (id === undefined) throw new Error(`spire-server names no authority:\n${output}`);
  return id;
}

/** The ingress has so many authorities of acme's. */
async function followed(count: number): Promise<void> {
  await until(
    `${count} authorities`,
    async () => {
      const { workloadApi } = JSON.parse((await ingress.admin('/config')).text);
      return workloadApi.authorities[0]?.certificates === count ? true : undefined;
    },
    40_000,
  );
}

async function refusedFor(why: RegExp): Promise<void> {
  await auditRecord(
    ingress,
    `a refusal for ${String(why)}`,
    (one) => one.type === 'refusal' && one.tenantClaim === 'acme' && why.test(`${one.reason} ${one.detail}`),
  );
}
