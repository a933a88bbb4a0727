/**
 * What a tenant's file becomes, and what stays the same from one load to the next.
 */
import { existsSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { Generation } from '../../../src/config/generation.ts';
import { ConfigurationLoader, loadConfiguration } from '../../../src/config/load.ts';
import { openTenant } from '../../../src/config/stored-tenant.ts';
import {
  addSmallTenant,
  edit,
  emptyDirectory,
  write,
  writeExample,
  writePki,
  writeSmall,
} from '../../fakes/configuration.ts';

const directories: string[] = [];
let directory = '';
let mainFile = '';
let loader = new ConfigurationLoader();

beforeEach(() => {
  directory = emptyDirectory();
  directories.push(directory);
  mainFile = writeSmall(directory);
  loader = new ConfigurationLoader({ environment: {} });
});
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true });
});

async function load(previous: Generation | undefined): Promise<Generation> {
  const result = await loader.load(mainFile, previous);
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value;
}

const tenantFile = (id: string): string => join(directory, `tenants/${id}.yaml`);
const text = (path: string): string => readFileSync(join(directory, path), 'utf8');
const slots = (generation: Generation): Record<string, number> =>
  Object.fromEntries(generation.tenants.map(({ id, slot }) => [id, slot]));

describe('a tenant’s file', () => {
  test('becomes the tenant’s configuration, with the files that it names inlined', async () => {
    const [acme] = (await load(undefined)).tenants.map(openTenant);
    expect(acme).toEqual({
      id: 'acme',
      slot: 0,
      file: 'tenants/acme.yaml',
      lines: { clientCa: 6, accept: 8, issuers: 9, apiKeys: 15, roles: 18, bindings: 22, quota: 26 },
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      serverNames: ['acme.test', 'alt.acme.test'],
      certificate: { chainPem: text('pki/acme/server.pem'), keyPem: text('pki/acme/server-key.pem') },
      clientCaPem: text('pki/acme/client-ca.pem'),
      trustDomain: 'acme.example',
      accept: ['token', 'api-key'],
      issuers: [
        {
          issuer: 'https://login.acme.test',
          audiences: ['bulkhead'],
          algorithms: ['ES256'],
          jwks: { kind: 'inline', json: text('jwks/acme.json') },
          clockSkewMs: 30_000,
          tenantClaim: undefined,
          requireBound: false,
          profile: 'jwt',
        },
      ],
      apiKeys: [
        {
          id: 'batch',
          sha256: '8a5edab282632443219e051e4ade2d1d5bbc671c781051bf1437897cbdfea0f1',
          expiresAtSeconds: Date.UTC(2035, 0) / 1000,
          revoked: false,
        },
      ],
      roles: [
        {
          name: 'predictor',
          methods: ['inference.GRPCInferenceService/ServerLive', 'inference.GRPCInferenceService/ModelInfer'],
          models: ['fraud-*'],
          versions: ['*'],
          source: 'tenants/acme.yaml:19 roles[0]',
        },
      ],
      bindings: [
        {
          role: 'predictor',
          subjects: ['alice'],
          keys: ['batch'],
          certificates: [],
          source: 'tenants/acme.yaml:23 bindings[0]',
        },
      ],
      quota: { perTenant: { callsPerSecond: 100, burst: 200 }, perCaller: undefined, maxConcurrentCalls: undefined },
      byteAccountBytes: 1024 ** 2,
      upstream: {
        target: { kind: 'tcp', host: '127.0.0.1', port: 8001 },
        tls: undefined,
        display: 'http://127.0.0.1:8001',
        connectTimeoutMs: 2000,
        minConnections: 0,
        maxConnections: 4,
        idleTimeoutMs: 300_000,
        maxPendingCalls: 1024,
        circuit: { failures: 5, openMs: 1_000, maxOpenMs: 30_000 },
        authority: '127.0.0.1:8001',
      },
      trace: { clientContext: 'link' },
      protocols: ['triton'],
      opaqueServices: [],
    });
  });

  test.each([
    ['http://[::1]:8001', { kind: 'tcp', host: '::1', port: 8001 }, '[::1]:8001'],
    ['http://localhost:80/', { kind: 'tcp', host: 'localhost', port: 80 }, 'localhost:80'],
    ['unix:/run/triton.sock', { kind: 'unix', path: '/run/triton.sock' }, 'localhost'],
  ])('may name its upstream %s', async (address, target, authority) => {
    edit(tenantFile('acme'), 'http://127.0.0.1:8001', address);
    const { upstream } = (await load(undefined)).tenants[0] ?? {};
    expect(upstream).toMatchObject({ target, authority, display: address, tls: undefined });
  });

  test.each([
    ['{}', { service: '', intervalMs: 5_000, timeoutMs: 1_000, unhealthyThreshold: 3, healthyThreshold: 1 }],
    [
      '{ service: a.B, interval: 2s, timeout: 2s, unhealthyThreshold: 1, healthyThreshold: 9 }',
      { service: 'a.B', intervalMs: 2_000, timeoutMs: 2_000, unhealthyThreshold: 1, healthyThreshold: 9 },
    ],
  ])('may have its upstream asked how it is: %s', async (written, healthCheck) => {
    edit(tenantFile('acme'), 'http://127.0.0.1:8001', `http://127.0.0.1:8001\n  healthCheck: ${written}`);
    expect((await load(undefined)).tenants[0]?.upstream.healthCheck).toEqual(healthCheck);
  });

  test('may name an upstream with TLS, its CA and our certificate for it', async () => {
    const files =
      'ca: ../pki/acme/client-ca.pem, clientCertificate: { chain: ../pki/acme/server.pem, key: ../pki/acme/server-key.pem }';
    edit(
      tenantFile('acme'),
      '\n  address: http://127.0.0.1:8001',
      ` { address: "https://triton.internal:443", ${files}, authority: models }`,
    );
    const { upstream } = (await load(undefined)).tenants[0] ?? {};
    expect(upstream).toMatchObject({
      target: { kind: 'tcp', host: 'triton.internal', port: 443 },
      tls: { caPem: text('pki/acme/client-ca.pem'), serverName: 'triton.internal' },
      authority: 'models',
    });
    expect(upstream?.tls?.clientCertificate?.chainPem).toBe(text('pki/acme/server.pem'));
  });

  test('may name the URL of a key set', async () => {
    edit(
      tenantFile('acme'),
      'file: ../jwks/acme.json',
      'url: https://login.acme.test/jwks\n      ca: ../pki/acme/client-ca.pem',
    );
    const [acme] = (await load(undefined)).tenants;
    expect(acme?.issuers[0]?.jwks).toEqual({
      kind: 'url',
      url: 'https://login.acme.test/jwks',
      caPem: text('pki/acme/client-ca.pem'),
    });
  });

  test.each([
    ['100/s', 100, 100],
    ['30/m', 0.5, 1],
    ['7200/h', 2, 2],
  ])('may write a rate %s, whose burst is a second’s worth and at least one', async (calls, callsPerSecond, burst) => {
    edit(tenantFile('acme'), '{ calls: 100/s, burst: 200 }', `{ calls: ${calls} }`);
    const [acme] = (await load(undefined)).tenants;
    expect(acme?.quota.perTenant).toEqual({ callsPerSecond, burst });
  });

  test('may write versions as numbers', async () => {
    edit(tenantFile('acme'), '[fraud-*]', '[fraud-*]\n    versions: [latest, 3]');
    const [acme] = (await load(undefined)).tenants.map(openTenant);
    expect(acme?.roles[0]?.versions).toEqual(['latest', '3']);
  });

  test('without accept takes what it configures beside the certificate, and else the certificate', async () => {
    edit(tenantFile('acme'), 'accept: [token, api-key]\n', '');
    expect((await load(undefined)).tenants[0]?.accept).toEqual(['token', 'api-key']);
    addSmallTenant(directory, 'globex');
    const start = text('tenants/globex.yaml').split('accept:')[0] ?? '';
    write(tenantFile('globex'), `${start}upstream: { address: "http://127.0.0.1:1" }\n`);
    expect((await load(undefined)).tenants[1]?.accept).toEqual(['certificate']);
  });
});

describe('a tenant’s slot', () => {
  test('stays when tenants come and go around it', async () => {
    addSmallTenant(directory, 'mid');
    const first = await load(undefined);
    expect(slots(first)).toEqual({ acme: 0, mid: 1 });
    addSmallTenant(directory, 'a-first');
    const second = await load(first);
    expect(slots(second)).toEqual({ 'a-first': 2, acme: 0, mid: 1 });
    rmSync(tenantFile('acme'));
    const third = await load(second);
    expect(slots(third)).toEqual({ 'a-first': 2, mid: 1 });
    addSmallTenant(directory, 'zed');
    expect(slots(await load(third))).toEqual({ 'a-first': 2, mid: 1, zed: 0 });
  });

  test('is not given to another tenant while the generation before may still have calls', async () => {
    const first = await load(undefined);
    rmSync(tenantFile('acme'));
    addSmallTenant(directory, 'zed');
    expect(slots(await load(first))).toEqual({ zed: 1 });
  });

  test('stays when the tenant’s file is renamed', async () => {
    addSmallTenant(directory, 'globex');
    const first = await load(undefined);
    renameSync(tenantFile('acme'), tenantFile('zzz'));
    expect(slots(await load(first))).toEqual({ globex: 1, acme: 0 });
  });
});

describe('a second load', () => {
  test('gives the same generation when nothing has changed, and when only times have', async () => {
    const first = await load(undefined);
    expect(await load(first)).toBe(first);
    utimesSync(tenantFile('acme'), new Date(), new Date(Date.now() + 5000));
    expect(await load(first)).toBe(first);
  });

  test('counts a change, changes the digest of that tenant, and builds no other again', async () => {
    addSmallTenant(directory, 'globex');
    const first = await load(undefined);
    edit(tenantFile('acme'), '100/s', '50/s');
    const second = await load(first);
    expect(second.number).toBe(2);
    expect(second.digest).not.toBe(first.digest);
    expect(second.tenants[0]?.digest).not.toBe(first.tenants[0]?.digest);
    expect(second.tenants[0]?.quota.perTenant?.callsPerSecond).toBe(50);
    expect(second.tenants[1]?.digest).toBe(first.tenants[1]?.digest);
    expect(second.tenants[1]?.certificate).toBe(first.tenants[1]?.certificate);
  });

  test.each(['pki/acme/client-ca.pem', 'jwks/acme.json'])(
    'sees a change of %s, which the tenant’s file names',
    async (file) => {
      const first = await load(undefined);
      const replacement = emptyDirectory();
      directories.push(replacement);
      writeSmall(replacement);
      write(join(directory, file), readFileSync(join(replacement, file), 'utf8'));
      const second = await load(first);
      expect(second.number).toBe(2);
      expect(second.tenants[0]?.digest).not.toBe(first.tenants[0]?.digest);
    },
  );

  test('sees a file of the same size that was written in the same millisecond', async () => {
    const first = await load(undefined);
    const before = text('tenants/acme.yaml');
    const at = new Date();
    writeFileSync(tenantFile('acme'), before.replace('100/s', '101/s'));
    utimesSync(tenantFile('acme'), at, at);
    const second = await load(first);
    writeFileSync(tenantFile('acme'), before.replace('100/s', '102/s'));
    utimesSync(tenantFile('acme'), at, at);
    expect((await load(second)).tenants[0]?.quota.perTenant?.callsPerSecond).toBe(102);
  });

  test('sees a change of the environment', async () => {
    const environment: Record<string, string> = {};
    loader = new ConfigurationLoader({ environment });
    const first = await load(undefined);
    environment['OTEL_SERVICE_NAME'] = 'other';
    const second = await load(first);
    expect([second.number, second.telemetry.serviceName]).toEqual([2, 'other']);
  });

  test('with an error is refused, and the next good one goes on from the last good one', async () => {
    const first = await load(undefined);
    edit(tenantFile('acme'), '100/s', '100');
    const bad = await loader.load(mainFile, first);
    expect(bad.ok).toBe(false);
    edit(tenantFile('acme'), 'calls: 100,', 'calls: 100/s,');
    expect(await load(first)).toBe(first);
  });

  test('notices a file that was missing, and one that is missing now', async () => {
    const ca = text('pki/acme/client-ca.pem');
    rmSync(join(directory, 'pki/acme/client-ca.pem'));
    expect((await loader.load(mainFile, undefined)).ok).toBe(false);
    write(join(directory, 'pki/acme/client-ca.pem'), ca);
    const first = await load(undefined);
    rmSync(join(directory, 'pki/acme/client-ca.pem'));
    expect((await loader.load(mainFile, first)).ok).toBe(false);
  });

  test('judges certificates by the time that it is now, though no file has changed', async () => {
    let now = Date.now();
    loader = new ConfigurationLoader({ environment: {}, nowMs: () => now });
    const first = await load(undefined);
    await setTimeout(60);
    await load(first);
    now += 366 * 86_400_000;
    const late = await loader.load(mainFile, first);
    expect(late.ok ? [] : late.error.map((finding) => finding.path)).toEqual(['certificate.chain', 'clientCa']);
  });

  test('finds a name that two tenants share though one of the files has not changed', async () => {
    addSmallTenant(directory, 'globex');
    const first = await load(undefined);
    await setTimeout(60);
    await load(first);
    writePki(directory, 'globex', ['acme.test', 'alt.globex.test']);
    edit(tenantFile('globex'), '[globex.test,', '[acme.test,');
    const second = await loader.load(mainFile, first);
    expect(second.ok ? [] : second.error.map((finding) => [finding.line, finding.path])).toEqual([
      [2, 'serverNames[0]'],
    ]);
  });

  test('that overlaps the one before waits for it', async () => {
    const [first, second] = await Promise.all([loader.load(mainFile, undefined), loader.load(mainFile, undefined)]);
    expect([first.ok, second.ok]).toEqual([true, true]);
  });
});

test('the loader names every file that it looked at, and the tenants’ directory, whether they are there or not', async () => {
  rmSync(join(directory, 'jwks/acme.json'));
  await loader.load(mainFile, undefined);
  const names = [...loader.files.keys()].map((path) => relative(directory, path)).toSorted();
  expect(names).toEqual([
    'bulkhead.yaml',
    'jwks/acme.json',
    'pki/acme/client-ca.pem',
    'pki/acme/server-key.pem',
    'pki/acme/server.pem',
    'tenants',
    'tenants/acme.yaml',
  ]);
});

test('findings name files from where the main file’s path was typed', async () => {
  edit(tenantFile('acme'), '100/s', '100');
  const typed = relative(process.cwd(), mainFile);
  const result = await loadConfiguration(typed, undefined);
  const file = result.ok ? '' : (result.error[0]?.file ?? '');
  expect(file.endsWith('/tenants/acme.yaml')).toBe(true);
  expect(file.startsWith('/')).toBe(false);
  expect(existsSync(file)).toBe(true);
});

test('the example configuration is good, and has no warning', async () => {
  const example = emptyDirectory();
  directories.push(example);
  mainFile = writeExample(example);
  const generation = await load(undefined);
  expect(loader.warnings).toEqual([]);
  expect(generation.tenants.map(({ id }) => id)).toEqual(['acme', 'globex']);
});
