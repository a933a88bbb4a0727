/**
 * A certificate in a mounted Kubernetes secret, as cert-manager writes it and the kubelet swaps it: renewed under load and under a
 * storm of handshakes, each of which must get one whole pair.
 */
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCa, type IssuedCertificate, issueClient, issueServer } from '../../src/identity/issue.ts';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar } from './harness/sidecar.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

const SERVER_NAME = 'acme.models.test';
const SWAPS = 24;

const issuer = createCa({ commonName: 'cert-manager’s CA', days: 30 });
const client = issueClient(issuer, { spiffeId: 'spiffe://acme.example/client', days: 1 });

let upstream: ModelUpstream;
let sidecar: Sidecar;
let secret: string;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  sidecar = await Sidecar.start({
    tenants: [
      {
        id: 'acme',
        upstream: upstream.address,
        extra: { certificate: { secret: '../secret' }, clientCa: { secret: '../secret' } },
      },
    ],
    prepare: (directory) => {
      secret = join(directory, 'secret');
      mkdirSync(secret);
      swap(0);
      for (const name of ['tls.crt', 'tls.key', 'ca.crt']) symlinkSync(join('..data', name), join(secret, name));
    },
  });
}, 60_000);

afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

/** As the kubelet does it: a new directory, a link swapped in one step, the old directory removed. Returns the certificate. */
function swap(version: number): IssuedCertificate {
  const issued = issueServer(issuer, { dnsNames: [SERVER_NAME], days: 30 });
  const folder = join(secret, `..v${version}`);
  mkdirSync(folder);
  writeFileSync(join(folder, 'tls.crt'), issued.certPem);
  writeFileSync(join(folder, 'tls.key'), issued.keyPem, { mode: 0o600 });
  writeFileSync(join(folder, 'ca.crt'), issuer.certPem);
  symlinkSync(`..v${version}`, join(secret, '..data_tmp'));
  renameSync(join(secret, '..data_tmp'), join(secret, '..data'));
  rmSync(join(secret, `..v${version - 1}`), { recursive: true, force: true });
  return issued;
}

/** Shakes hands. Resolves with the server's certificate; rejects when the handshake fails, as it does with another one's key. */
function shake(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      port: sidecar.port,
      host: '127.0.0.1',
      servername: SERVER_NAME,
      ca: issuer.certPem,
      cert: client.certPem,
      key: client.keyPem,
      ALPNProtocols: ['h2'],
    });
    socket.once('secureConnect', () => {
      resolve(socket.getPeerX509Certificate()?.toString() ?? '');
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

describe('a mounted secret', () => {
  it('is swapped again and again, and every handshake gets one whole pair while calls run', async () => {
    const caller = tenantClient(sidecar, 'acme', { caPem: issuer.certPem, certificate: client });
    const load = new SteadyLoad([caller], 4, 'digits', 5);
    const issued = new Set<string>();
    const shown = new Set<string>();
    const failures: string[] = [];
    let shaking = true;
    const storm = Array.from({ length: 2 }, async () => {
      while (shaking) {
        await shake().then(
          (pem) => shown.add(pem),
          (cause: unknown) => failures.push(String(cause)),
        );
      }
    });
    issued.add(await shake());
    for (let version = 1; version <= SWAPS; version += 1) {
      const { certPem } = swap(version);
      issued.add(certPem);
      // Before every one has been seen the next may come: the sidecar owes the last one, not all of them.
      if (version % 3 === 0) await until('it', async () => ((await shake()) === certPem ? true : undefined), 20_000);
    }
    shaking = false;
    await Promise.all(storm);
    await load.stop();
    caller.close();
    expect(failures).toEqual([]);
    expect(load.failed).toEqual([]);
    expect([...shown].filter((pem) => !issued.has(pem))).toEqual([]);
    expect(shown.size).toBeGreaterThan(SWAPS / 3);
    expect(sidecar.child.output).not.toContain('is refused');
  }, 120_000);

  it('keeps the last whole pair when its next version is torn', async () => {
    const before = await shake();
    const folder = join(secret, '..torn');
    mkdirSync(folder);
    writeFileSync(join(folder, 'tls.crt'), issueServer(issuer, { dnsNames: [SERVER_NAME], days: 30 }).certPem);
    writeFileSync(join(folder, 'tls.key'), issueServer(issuer, { dnsNames: [SERVER_NAME], days: 30 }).keyPem);
    writeFileSync(join(folder, 'ca.crt'), issuer.certPem);
    symlinkSync('..torn', join(secret, '..data_tmp'));
    renameSync(join(secret, '..data_tmp'), join(secret, '..data'));
    await until(
      'the refusal',
      async () =>
        (await sidecar.admin('/config')).text.includes('is not the key of the certificate') ? true : undefined,
      20_000,
    );
    expect(await shake()).toBe(before);
    const { certPem } = swap(SWAPS + 1);
    await until('the next', async () => ((await shake()) === certPem ? true : undefined), 20_000);
  }, 60_000);
});
