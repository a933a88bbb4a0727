/**
 * Certificates and authorities that come from the SPIFFE Workload API, or from a mounted secret, instead of from files.
 */
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import type { Generation } from '../../../src/config/generation.ts';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import type { StoredTenant } from '../../../src/config/stored-tenant.ts';
import { parseEndpoint } from '../../../src/config/workload-api.ts';
import { bundleName, displayName, svidName } from '../../../src/config/workload-material.ts';
import { err, ok, type Result } from '../../../src/kernel/result.ts';
import { findingsOf } from '../../fakes/config-findings.ts';
import {
  addSmallTenant,
  EGRESS_MAIN,
  edit,
  emptyDirectory,
  SMALL_MAIN,
  write,
  writeEgress,
  writePki,
  writeSmall,
} from '../../fakes/configuration.ts';
import { tenantPki } from '../../fakes/pki.ts';

const FILES = '\n  chain: ../pki/acme/server.pem\n  key: ../pki/acme/server-key.pem';
const SPIFFE = 'spiffe: { workloadApi: "unix:/run/spire/agent.sock" }\n';
const INGRESS = svidName({ by: 'id', spiffeId: 'spiffe://acme.example/ingress' });
const ACME = bundleName('acme.example');

let directory = '';
let mainFile = '';
const tenantFile = (id = 'acme'): string => join(directory, `tenants/${id}.yaml`);
beforeEach(() => {
  directory = emptyDirectory();
  mainFile = writeSmall(directory);
  write(mainFile, SMALL_MAIN + SPIFFE);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const pki = tenantPki('acme');
const svid = ok(pki.server.certPem + pki.server.keyPem);

/** An API of which a test says what it gives; what it does not say is not asked for. */
class Material {
  readonly texts = new Map<string, Result<string, string>>();

  read(name: string): Result<string, string> | undefined {
    return this.texts.get(name);
  }
}

/** Loads, then again with these names suspected. */
function loaderOf(material: Material) {
  const loader = new ConfigurationLoader({ environment: {}, workload: material });
  const load = async (previous?: Generation, suspects?: readonly string[]): Promise<Generation> => {
    const loaded = await loader.load(mainFile, previous, suspects === undefined ? undefined : new Set(suspects));
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
    return loaded.value;
  };
  return { loader, load };
}

const tenant = ({ tenants }: Generation, id = 'acme'): StoredTenant => {
  const found = tenants.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no tenant ${id}`);
  return found;
};

describe('a tenant whose certificate and authorities come from the Workload API', () => {
  beforeEach(() => {
    edit(tenantFile(), FILES, ' { spiffeId: spiffe://acme.example/ingress }');
    edit(tenantFile(), 'clientCa: ../pki/acme/client-ca.pem', 'clientCa: { spiffeBundle: acme.example }');
  });

  it('has what the API gives, and says what that is called', async () => {
    const material = new Material();
    material.texts.set(INGRESS, svid).set(ACME, ok(pki.ca.certPem));
    const { loader, load } = loaderOf(material);
    const acme = tenant(await load());
    expect(acme.certificate).toEqual({ chainPem: pki.server.certPem, keyPem: pki.server.keyPem });
    expect(acme.clientCaPem).toBe(pki.ca.certPem);
    expect([...loader.workloadNames].sort()).toEqual([ACME, INGRESS].sort());
    expect(loader.awaitsWorkload).toBe(false);
    expect(loader.warnings).toEqual([]);
    // Nobody has to look on the disk for it.
    expect([...loader.files.keys()].some((path) => path.includes('spiffe'))).toBe(false);
  });

  it('is another one when the API gives another certificate, and all others are the same', async () => {
    addSmallTenant(directory, 'globex');
    const material = new Material();
    material.texts.set(INGRESS, svid).set(ACME, ok(pki.ca.certPem));
    const { loader, load } = loaderOf(material);
    const first = await load();
    expect(await load(first, [INGRESS])).toBe(first);
    const next = tenantPki('acme');
    material.texts.set(INGRESS, ok(next.server.certPem + next.server.keyPem));
    const second = await load(first, [INGRESS]);
    expect([...loader.touched]).toEqual([INGRESS]);
    expect(tenant(second).certificate?.chainPem).toBe(next.server.certPem);
    expect(tenant(second).digest).not.toBe(tenant(first).digest);
    expect(tenant(second, 'globex')).toBe(tenant(first, 'globex'));
  });

  it('is renewed to exactly what it would be if it were built again, whatever changes in between', async () => {
    edit(
      tenantFile(),
      'address: http://127.0.0.1:8001',
      'address: https://models.test:8001\n  ca: { spiffeBundle: acme.example }\n  clientCertificate: { spiffeHint: out }',
    );
    const hint = svidName({ by: 'hint', hint: 'out' });
    const material = new Material();
    material.texts.set(INGRESS, svid).set(ACME, ok(pki.ca.certPem)).set(hint, svid);
    const { loader, load } = loaderOf(material);
    let generation = await load();
    const next = tenantPki('acme');
    const nextSvid = ok(next.server.certPem + next.server.keyPem);
    const steps: readonly (readonly [string, Result<string, string>])[] = [
      [INGRESS, nextSvid],
      [ACME, ok(next.ca.certPem)],
      [hint, nextSvid],
      [hint, err('gone')],
      [INGRESS, svid],
      [hint, svid],
      [ACME, err('gone')],
      [ACME, ok(pki.ca.certPem)],
    ];
    for (const [name, text] of steps) {
      material.texts.set(name, text);
      const warnings = loader.warnings.length;
      generation = await load(generation, [name]);
      const fresh = loaderOf(material);
      expect(tenant(generation)).toEqual(tenant(await fresh.load()));
      expect(loader.warnings).toEqual(fresh.loader.warnings);
      if (!text.ok) expect(loader.warnings.length).toBeGreaterThan(warnings);
    }
  });

  it('is closed, with a warning, while the API does not give it, and nobody else is', async () => {
    addSmallTenant(directory, 'globex');
    const material = new Material();
    material.texts.set(INGRESS, err('no such certificate')).set(ACME, err('no such trust domain'));
    const { loader, load } = loaderOf(material);
    const generation = await load();
    expect(tenant(generation)).toMatchObject({ certificate: undefined, clientCaPem: '' });
    expect(tenant(generation, 'globex').certificate).toBeDefined();
    expect(loader.warnings.map(({ path, message }) => `${path} ${message}`)).toEqual([
      'certificate.spiffeId no such certificate',
      'clientCa.spiffeBundle no such trust domain',
    ]);
    material.texts.set(INGRESS, svid);
    expect(tenant(await load(generation, [INGRESS])).certificate).toBeDefined();
  });

  it('is checked without the API, which is said', async () => {
    const { loader, load } = loaderOf(new Material());
    expect(tenant(await load()).certificate).toBeUndefined();
    expect(loader.awaitsWorkload).toBe(true);
    expect(loader.warnings).toEqual([]);
  });

  it('has clients of that trust domain only', async () => {
    const material = new Material();
    material.texts.set(INGRESS, svid).set(ACME, ok(pki.ca.certPem));
    edit(tenantFile(), 'trustDomain: acme.example\n', '');
    expect(tenant(await loaderOf(material).load()).trustDomain).toBe('acme.example');
    write(tenantFile(), `${readFileSync(tenantFile(), 'utf8')}trustDomain: globex.example\n`);
    const { lines } = await findingsOf(directory, { workload: material });
    expect(lines).toMatchObject([{ message: expect.stringContaining('is not acme.example'), severity: 'error' }]);
  });

  it('does not share its trust domain with another tenant', async () => {
    addSmallTenant(directory, 'globex');
    edit(tenantFile('globex'), 'clientCa: ../pki/globex/client-ca.pem', 'clientCa: { spiffeBundle: acme.example }');
    edit(tenantFile('globex'), 'trustDomain: globex.example', 'trustDomain: acme.example');
    const { lines } = await findingsOf(directory);
    expect(lines).toMatchObject([{ message: expect.stringContaining('client CA also signs'), severity: 'error' }]);
  });

  it('is not kept from changing by what a federated trust domain writes into its authorities', async () => {
    addSmallTenant(directory, 'globex');
    edit(tenantFile('globex'), 'clientCa: ../pki/globex/client-ca.pem', 'clientCa: ../pki/acme/client-ca.pem');
    edit(tenantFile('globex'), 'trustDomain: globex.example\n', '');
    const material = new Material();
    const theirs = readFileSync(join(directory, 'pki/acme/client-ca.pem'), 'utf8');
    material.texts.set(INGRESS, svid).set(ACME, ok(theirs));
    expect((await findingsOf(directory, { workload: material })).refused).toBe(false);
  });

  it('needs to know where the API is, from the main file or the environment', async () => {
    write(mainFile, SMALL_MAIN);
    const { refused, lines } = await findingsOf(directory);
    expect(refused).toBe(true);
    expect(lines).toMatchObject([{ message: expect.stringContaining('is not known'), severity: 'error' }]);
    expect(lines[0]?.at).toContain('spiffe.workloadApi');
    const environment = { SPIFFE_ENDPOINT_SOCKET: 'unix:///tmp/agent.sock' };
    expect((await findingsOf(directory, { environment })).refused).toBe(false);
    const wrong = await findingsOf(directory, { environment: { SPIFFE_ENDPOINT_SOCKET: '/tmp/agent.sock' } });
    expect(wrong.lines[0]?.message).toContain('(SPIFFE_ENDPOINT_SOCKET)');
  });
});

test('a socket that nothing takes anything from is a warning, and a variable is none', async () => {
  expect(await findingsOf(directory)).toMatchObject({
    refused: false,
    lines: [{ message: expect.stringContaining('nothing takes'), severity: 'warning' }],
  });
  write(mainFile, SMALL_MAIN);
  const environment = { SPIFFE_ENDPOINT_SOCKET: 'unix:/tmp/agent.sock' };
  expect((await findingsOf(directory, { environment })).lines).toEqual([]);
});

test.each([
  ['certificate: {}', /names no certificate/],
  ['certificate: { secret: x, spiffeId: default }', /several/],
  ['certificate: { chain: ../pki/acme/server.pem, spiffeHint: x }', /several/],
  ['certificate: { spiffeId: acme.example/ingress }', /not a SPIFFE id/],
  ['certificate: { spiffeId: "spiffe://acme.example" }', /not a SPIFFE id/],
])('a tenant with %s is refused', async (written, why) => {
  edit(tenantFile(), `certificate:${FILES}`, written);
  const { lines } = await findingsOf(directory);
  expect(lines).toContainEqual(expect.objectContaining({ severity: 'error', message: expect.stringMatching(why) }));
});

test.each([
  ['{}', /no authorities/],
  ['{ secret: x, spiffeBundle: acme.example }', /twice/],
  ['{ spiffeBundle: "spiffe://acme.example" }', /not a trust domain/],
  ['7', /not a path/],
])('a tenant with clientCa: %s is refused', async (written, why) => {
  edit(tenantFile(), 'clientCa: ../pki/acme/client-ca.pem', `clientCa: ${written}`);
  const { lines } = await findingsOf(directory);
  expect(lines).toContainEqual(expect.objectContaining({ severity: 'error', message: expect.stringMatching(why) }));
});

describe('an upstream', () => {
  beforeEach(() => {
    writeEgress(directory);
    const files = '\n        chain: pki/acme/client.pem\n        key: pki/acme/client-key.pem';
    write(mainFile, EGRESS_MAIN + SPIFFE);
    edit(mainFile, files, ' { spiffeId: default }');
    edit(mainFile, 'ca: pki/acme/ingress-ca.pem', 'ca: { spiffeBundle: acme.example }');
  });

  it('has its client certificate and authorities from the Workload API', async () => {
    const material = new Material();
    material.texts.set(svidName({ by: 'default' }), svid).set(ACME, ok(pki.ca.certPem));
    const { load } = loaderOf(material);
    const generation = await load();
    expect(generation.egress[0]?.upstream.tls).toEqual({
      caPem: pki.ca.certPem,
      serverName: 'acme.test',
      clientCertificate: { chainPem: pki.server.certPem, keyPem: pki.server.keyPem },
    });
    edit(mainFile, 'ca: { spiffe', 'spiffeId: spiffe://globex.example/x\n      ca: { spiffe');
    const { lines } = await findingsOf(directory, { workload: material });
    expect(lines).toMatchObject([{ message: expect.stringContaining('is not of the trust domain acme.example') }]);
    edit(mainFile, 'spiffe://globex.example/x', 'spiffe://acme.example/x');
    expect((await load(generation)).egress[0]?.upstream.tls?.spiffeId).toBe('spiffe://acme.example/x');
    material.texts.set(ACME, err('gone'));
    const tls = (await load(generation, [ACME])).egress[0]?.upstream.tls;
    expect(tls?.missing).toContain('acme.example');
  });
});

describe('a mounted secret', () => {
  beforeEach(() => write(mainFile, SMALL_MAIN));

  /** As the kubelet lays a secret out: links through `..data`, which is swapped in one step. */
  function mount(version: string, files: Readonly<Record<string, string>>): void {
    const folder = join(directory, 'secret');
    mkdirSync(join(folder, version), { recursive: true });
    for (const [name, text] of Object.entries(files)) write(join(folder, version, name), text);
    symlinkSync(version, join(folder, '..tmp'));
    renameSync(join(folder, '..tmp'), join(folder, '..data'));
  }

  const contents = (names: readonly string[]): Readonly<Record<string, string>> => {
    const elsewhere = join(directory, 'elsewhere');
    writePki(elsewhere, 'acme', names);
    const read = (name: string): string => readFileSync(join(elsewhere, 'pki/acme', name), 'utf8');
    const files = { 'tls.crt': read('server.pem'), 'tls.key': read('server-key.pem'), 'ca.crt': read('client-ca.pem') };
    rmSync(elsewhere, { recursive: true });
    return files;
  };

  it('is certificate, key and authorities, swapped together', async () => {
    const names = ['acme.test', 'alt.acme.test'];
    const first = contents(names);
    mount('..1', first);
    for (const name of Object.keys(first)) symlinkSync(join('..data', name), join(directory, 'secret', name));
    edit(tenantFile(), `certificate:${FILES}`, 'certificate: { secret: ../secret }');
    edit(tenantFile(), 'clientCa: ../pki/acme/client-ca.pem', 'clientCa: { secret: ../secret }');
    const { loader, load } = loaderOf(new Material());
    const before = await load();
    expect(tenant(before)).toMatchObject({
      certificate: { chainPem: first['tls.crt'], keyPem: first['tls.key'] },
      clientCaPem: first['ca.crt'],
    });
    const second = contents(names);
    mount('..2', second);
    // The kernel may have told of one of them only: the others are looked at with it.
    const after = await load(before, [join(directory, 'secret/tls.crt')]);
    expect(tenant(after)).toMatchObject({
      certificate: { chainPem: second['tls.crt'], keyPem: second['tls.key'] },
      clientCaPem: second['ca.crt'],
    });
    expect([...loader.touched].sort()).toEqual(
      Object.keys(second)
        .map((name) => join(directory, 'secret', name))
        .sort(),
    );
  });

  it('with a certificate and another one’s key is refused, and the last good pair stays', async () => {
    const names = ['acme.test', 'alt.acme.test'];
    mount('..1', contents(names));
    for (const name of ['tls.crt', 'tls.key']) symlinkSync(join('..data', name), join(directory, 'secret', name));
    edit(tenantFile(), `certificate:${FILES}`, 'certificate: { secret: ../secret }');
    const { loader, load } = loaderOf(new Material());
    const before = await load();
    cpSync(join(directory, 'secret/..1'), join(directory, 'secret/..2'), { recursive: true });
    write(join(directory, 'secret/..2/tls.crt'), contents(names)['tls.crt'] ?? '');
    symlinkSync('..2', join(directory, 'secret/..tmp'));
    renameSync(join(directory, 'secret/..tmp'), join(directory, 'secret/..data'));
    const loaded = await loader.load(mainFile, before);
    expect(loaded).toMatchObject({
      ok: false,
      error: [{ path: 'certificate.secret', message: expect.stringContaining('is not the key of the certificate') }],
    });
  });

  it('that is not there is named by its file', async () => {
    edit(tenantFile(), `certificate:${FILES}`, 'certificate: { secret: ../secret }');
    const { lines } = await findingsOf(directory);
    expect(lines.map(({ at }) => at)).toEqual(
      Array(2).fill(expect.stringContaining('tenants/acme.yaml:3:24 certificate.secret')),
    );
    expect(lines[0]?.message).toContain('../secret/tls.crt');
  });
});

describe('the API’s socket', () => {
  test.each([
    ['unix:/run/agent.sock', { kind: 'unix', path: '/run/agent.sock' }],
    ['unix:///run/agent.sock', { kind: 'unix', path: '/run/agent.sock' }],
    ['tcp://127.0.0.1:8000', { kind: 'tcp', host: '127.0.0.1', port: 8000 }],
    ['tcp://[::1]:8000', { kind: 'tcp', host: '::1', port: 8000 }],
  ])('may be %s', (text, target) => {
    expect(parseEndpoint(text)).toEqual(ok(target));
  });

  test.each([
    '',
    'agent.sock',
    'unix:agent.sock',
    'unix://host/agent.sock',
    `unix:/${'x'.repeat(200)}`,
    'tcp://localhost:8000',
    'tcp://127.0.0.1',
    'tcp://127.0.0.1:0',
    'tcp://127.0.0.1:65536',
    'tcp://127.0.0.1:8000/foo',
    'tcp://10.0.0.1:8000',
    'http://127.0.0.1:8000',
  ])('may not be %j', (text) => {
    expect(parseEndpoint(text).ok).toBe(false);
  });
});

test('names are written as people write them', () => {
  expect(
    [svidName({ by: 'default' }), INGRESS, svidName({ by: 'hint', hint: 'in/out' }), ACME].map(displayName),
  ).toEqual(['default', 'spiffe://acme.example/ingress', 'hint in/out', 'the authorities of acme.example']);
});
