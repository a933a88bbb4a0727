/**
 * Two tenants behind one name and one certificate, on two workers: each client is its own tenant's, whoever asks is told no tenant's CA,
 * and it comes and goes by a reload.
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCa, issueServer } from '../../src/identity/issue.ts';
import { auditRecord, auditRecords } from './harness/audit-records.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

const front = createCa({ commonName: 'front CA', days: 1 });
const server = issueServer(front, { dnsNames: ['models.test'], ipAddresses: ['127.0.0.1'], days: 1 });
const SHARED = { certificate: { chain: 'pki/front.pem', key: 'pki/front.key' }, serverNames: ['models.test'] };

let upstream: ModelUpstream;
let sidecar: Sidecar;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  sidecar = await Sidecar.start({
    tenants: ['acme', 'globex'].map((id) => ({
      id,
      upstream: upstream.address,
      extra: { identifiedBy: { spiffe: [`spiffe://${id}.example/*`] } },
    })),
    prepare: (directory) => {
      writeFileSync(join(directory, 'pki/front.pem'), server.certPem);
      writeFileSync(join(directory, 'pki/front.key'), server.keyPem, { mode: 0o600 });
    },
  });
});
afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

/** What a client of a tenant gets under the shared name, with another's certificate if it is said. */
async function infer(tenant: string, serverName = 'models.test'): Promise<string> {
  const client = tenantClient(sidecar, tenant, { serverName, caPem: front.certPem });
  const { code } = await client.infer({ modelName: 'digits', inputs: [] });
  client.close();
  return code;
}

/** What OpenSSL's client prints of a handshake. */
function handshake(...args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const address = `127.0.0.1:${sidecar.port}`;
    const child = execFile('openssl', ['s_client', '-connect', address, '-alpn', 'h2', ...args], (_error, out, err) =>
      resolve(out + err),
    );
    child.stdin?.end();
  });
}

const generation = (number: number): Promise<true> =>
  until(
    `generation ${number}`,
    async () => {
      const { text } = await sidecar.admin('/metrics');
      return text.includes(`bulkhead_config_generation ${number}\n`) ? true : undefined;
    },
    10_000,
  );

describe('a listener that tenants share', () => {
  it('comes by a reload, and lets each client in as its own tenant’s, on every worker', async () => {
    expect(await infer('acme')).toBe('UNAVAILABLE');
    const listen = { address: `127.0.0.1:${sidecar.port}` };
    sidecar.changeMain({ listen: { ...listen, minTlsVersion: 'TLSv1.2', shared: SHARED } });
    await generation(2);
    for (let round = 0; round < 6; round += 1) {
      expect([await infer('acme'), await infer('globex')]).toEqual(['OK', 'OK']);
    }
    const calls = (await auditRecords(sidecar)).filter((record) => record.type === 'call');
    expect(calls).toHaveLength(12);
    for (const { tenant, caller } of calls) expect(caller).toBe(`cert:spiffe://${tenant}.example/client`);
    expect(new Set(calls.map(({ tenant }) => tenant)).size).toBe(2);
    // By its own name and certificate each is served as before.
    const own = tenantClient(sidecar, 'acme');
    expect(await own.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'OK' });
    own.close();
  });

  it.each(['-tls1_2', '-tls1_3'])('tells nobody the name of a tenant’s CA, with %s', async (version) => {
    for (const name of [['-noservername'], ['-servername', 'models.test']]) {
      const said = await handshake(version, ...name);
      expect(said).toContain('No client certificate CA names sent');
      expect(said).toContain('CN = front CA');
      expect(said).not.toMatch(/acme|globex/);
    }
    // Under a tenant's own name its own CA is told, as ever.
    expect(await handshake(version, '-servername', 'acme.models.test')).toContain('acme test CA');
    // A name that is nobody's is shown nothing.
    expect(await handshake(version, '-servername', 'other.test')).toContain('no peer certificate available');
  });

  it('refuses who is nobody’s, and goes by a reload', async () => {
    const stranger = createCa({ commonName: 'stranger', days: 1 });
    const certificate = { ...stranger };
    const client = tenantClient(sidecar, 'acme', { serverName: 'models.test', caPem: front.certPem, certificate });
    expect(await client.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'UNAVAILABLE' });
    client.close();
    const wanted = await auditRecord(
      sidecar,
      'the stranger',
      (record) => record.type === 'refusal' && record.reason === 'TENANT_UNKNOWN',
    );
    expect(wanted).toMatchObject({ serverName: 'models.test', tenantClaim: '' });
    sidecar.changeMain({ listen: { address: `127.0.0.1:${sidecar.port}` } });
    await generation(3);
    for (let round = 0; round < 6; round += 1) expect(await infer('acme')).toBe('UNAVAILABLE');
  });
});
