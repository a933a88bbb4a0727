/**
 * A load that is told what may have changed: it looks at that, and is right about everything.
 */
import { existsSync, mkdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Finding } from '../../../src/config/finding.ts';
import type { Generation } from '../../../src/config/generation.ts';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { openTenant, type StoredTenant } from '../../../src/config/stored-tenant.ts';
import {
  addSmallTenant,
  edit,
  emptyDirectory,
  keySet,
  write,
  writePki,
  writeSmall,
} from '../../fakes/configuration.ts';

let directory = '';
let mainFile = '';
let loader = new ConfigurationLoader();
let first: Generation;

const path = (name: string): string => join(directory, name);
const tenantFile = (id: string): string => path(`tenants/${id}.yaml`);

beforeEach(async () => {
  directory = emptyDirectory();
  mainFile = writeSmall(directory);
  for (const id of ['globex', 'umbrella']) addSmallTenant(directory, id);
  loader = new ConfigurationLoader({ environment: {} });
  first = await load(undefined);
  // Until no file is so young that its times may not tell.
  await setTimeout(60);
  first = await load(first);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

async function load(previous: Generation | undefined, ...suspects: readonly string[]): Promise<Generation> {
  const result = await loader.load(mainFile, previous, suspects.length === 0 ? undefined : new Set(suspects));
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value;
}

async function refused(...suspects: readonly string[]): Promise<readonly Finding[]> {
  const result = await loader.load(mainFile, first, new Set(suspects));
  return result.ok ? [] : result.error;
}

const tenant = (generation: Generation, id: string): StoredTenant | undefined =>
  generation.tenants.find((one) => one.id === id);
const rate = (generation: Generation, id: string): number | undefined =>
  tenant(generation, id)?.quota.perTenant?.callsPerSecond;

describe('looks at what is suspected', () => {
  test('and at nothing else, until it is to look at everything', async () => {
    edit(tenantFile('acme'), '100/s', '50/s');
    edit(tenantFile('globex'), '100/s', '60/s');
    const second = await load(first, tenantFile('acme'));
    expect([rate(second, 'acme'), rate(second, 'globex')]).toEqual([50, 100]);
    const third = await load(second);
    expect([rate(third, 'acme'), rate(third, 'globex')]).toEqual([50, 60]);
    expect([second.number, third.number]).toEqual([2, 3]);
  });

  test('and gives the very same tenants beside it', async () => {
    edit(tenantFile('acme'), '100/s', '50/s');
    const second = await load(first, tenantFile('acme'));
    expect(tenant(second, 'globex')).toBe(tenant(first, 'globex'));
    expect(tenant(second, 'umbrella')).toBe(tenant(first, 'umbrella'));
    expect(tenant(second, 'acme')).not.toBe(tenant(first, 'acme'));
  });

  test('and gives the same generation when it is as it was', async () => {
    utimesSync(tenantFile('acme'), new Date(), new Date(Date.now() + 5_000));
    expect(await load(first, tenantFile('acme'), path('nothing/of/ours'))).toBe(first);
  });

  test('and at the main file, always', async () => {
    edit(mainFile, '50%', '25%');
    expect((await load(first, tenantFile('acme'))).telemetry.traceSampleRatio).toBe(0.25);
  });

  test('and sees tenants come and go', async () => {
    addSmallTenant(directory, 'hooli');
    rmSync(tenantFile('globex'));
    const second = await load(first, tenantFile('hooli'), tenantFile('globex'));
    expect(second.tenants.map(({ id }) => id)).toEqual(['acme', 'hooli', 'umbrella']);
    expect(tenant(second, 'umbrella')).toBe(tenant(first, 'umbrella'));
  });

  test('and takes a renamed file for a change: its name stands in records', async () => {
    renameSync(tenantFile('acme'), tenantFile('zebra'));
    const second = await load(first, tenantFile('acme'), tenantFile('zebra'));
    expect(tenant(second, 'acme')).toMatchObject({ file: 'tenants/zebra.yaml', slot: tenant(first, 'acme')?.slot });
    expect(second.tenants.map(openTenant).find(({ id }) => id === 'acme')?.roles[0]?.source).toContain('zebra.yaml');
  });
});

describe('looks at more than is suspected', () => {
  test('at all files of the same tenant, so that a certificate meets its key', async () => {
    writePki(directory, 'acme', ['acme.test', 'alt.acme.test']);
    write(path('jwks/acme.json'), keySet());
    // Neither is at odds with what the tenant had: only who looks at all of them sees the new certificate.
    const second = await load(first, path('jwks/acme.json'));
    expect(tenant(second, 'acme')?.certificate?.chainPem).not.toBe(tenant(first, 'acme')?.certificate?.chainPem);
    expect(tenant(second, 'acme')?.clientCaPem).not.toBe(tenant(first, 'acme')?.clientCaPem);
  });

  test('at all tenants that name a file which was found changed by the way', async () => {
    edit(tenantFile('umbrella'), '../jwks/umbrella.json', '../jwks/globex.json');
    const second = await load(first, tenantFile('umbrella'));
    write(path('jwks/globex.json'), keySet());
    edit(tenantFile('globex'), '100/s', '60/s');
    const third = await load(second, tenantFile('globex'));
    const keys = ['globex', 'umbrella'].map((id) => JSON.stringify(tenant(third, id)?.issuers[0]?.jwks));
    expect(keys[0]).toBe(keys[1]);
    expect(keys[0]).not.toBe(JSON.stringify(tenant(second, 'globex')?.issuers[0]?.jwks));
  });

  test('at a file that may have changed without its times telling', async () => {
    // Its times say so, however long the load takes to begin.
    const at = new Date(Date.now() + 60_000);
    edit(tenantFile('acme'), '100/s', '101/s');
    utimesSync(tenantFile('acme'), at, at);
    const second = await load(first, tenantFile('acme'));
    edit(tenantFile('acme'), '101/s', '102/s');
    utimesSync(tenantFile('acme'), at, at);
    expect(rate(await load(second, tenantFile('globex')), 'acme')).toBe(102);
  });

  test('at everything before it refuses', async () => {
    // The name goes from globex to acme: with acme alone it would be there twice.
    edit(tenantFile('globex'), '[globex.test, alt.globex.test]', '[globex.test]');
    writePki(directory, 'acme', ['acme.test', 'alt.globex.test']);
    edit(tenantFile('acme'), 'alt.acme.test', 'alt.globex.test');
    const second = await load(first, tenantFile('acme'));
    expect(tenant(second, 'globex')?.serverNames).toEqual(['globex.test']);
  });

  test('at everything after a load that could not look at all that it was told of', async () => {
    const main = path('bulkhead.yaml');
    write(main, 'listen: [');
    edit(tenantFile('acme'), '100/s', '50/s');
    expect((await refused(main, tenantFile('acme'))).map(({ file }) => file)).toEqual([mainFile]);
    writeSmallMainAgain();
    expect(rate(await load(first, main), 'acme')).toBe(50);
  });

  test('at everything when the tenants’ directory is back', async () => {
    renameSync(path('tenants'), path('elsewhere'));
    expect((await refused(path('tenants'))).map((finding) => finding.path)).toEqual(['tenants']);
    edit(path('elsewhere/acme.yaml'), '100/s', '50/s');
    renameSync(path('elsewhere'), path('tenants'));
    expect(rate(await load(first, path('tenants')), 'acme')).toBe(50);
  });

  function writeSmallMainAgain(): void {
    const other = emptyDirectory();
    renameSync(writeSmall(other), path('bulkhead.yaml'));
    rmSync(other, { recursive: true });
  }
});

describe('checks every tenant against every other', () => {
  test.each([
    ['server name', 'alt.acme.test', 'alt.globex.test', 'serverNames[1]'],
    ['API key', 'id: batch', 'id: batch-globex', 'apiKeys[0].id'],
    ['tenant id', 'tenant: acme', 'tenant: globex', 'tenant'],
  ])('a %s that another has is refused, and taken when it is repaired', async (_, before, after, place) => {
    writePki(directory, 'acme', ['acme.test', 'alt.acme.test', 'alt.globex.test']);
    edit(tenantFile('acme'), before, after);
    if (place.startsWith('apiKeys')) edit(tenantFile('acme'), 'keys: [batch]', 'keys: [batch-globex]');
    const findings = await refused(tenantFile('acme'));
    expect(findings.map((finding) => relative(directory, finding.file))).toEqual(['tenants/globex.yaml']);
    expect(findings[0]?.path).toBe(place);
    edit(tenantFile('acme'), after, before);
    if (place.startsWith('apiKeys')) edit(tenantFile('acme'), 'keys: [batch-globex]', 'keys: [batch]');
    expect((await load(first, tenantFile('acme'))).tenants).toHaveLength(3);
  });

  test('a second issuer’s tenant without a claim is told of in both files, also the one that did not change', async () => {
    edit(tenantFile('acme'), 'https://login.acme.test', 'https://login.globex.test');
    const findings = await refused(tenantFile('acme'));
    expect(findings.map((finding) => relative(directory, finding.file))).toEqual([
      'tenants/acme.yaml',
      'tenants/globex.yaml',
    ]);
  });

  test('what was refused stays refused until it is repaired, whatever else changes', async () => {
    edit(tenantFile('acme'), '100/s', 'fast');
    expect(await refused(tenantFile('acme'))).toHaveLength(1);
    edit(tenantFile('globex'), '100/s', '60/s');
    expect(await refused(tenantFile('globex'))).toHaveLength(1);
    edit(tenantFile('acme'), 'fast', '70/s');
    const second = await load(first, tenantFile('acme'));
    expect([rate(second, 'acme'), rate(second, 'globex'), second.number]).toEqual([70, 60, 2]);
  });

  test('two changes, one after the other, are two generations in their order', async () => {
    edit(tenantFile('acme'), '100/s', '50/s');
    const one = loader.load(mainFile, first, new Set([tenantFile('acme')]));
    const second = await one;
    if (!second.ok) throw new Error('refused');
    edit(tenantFile('acme'), '50/s', '40/s');
    const third = await load(second.value, tenantFile('acme'));
    expect([second.value.number, third.number, rate(second.value, 'acme'), rate(third, 'acme')]).toEqual([
      2, 3, 50, 40,
    ]);
    expect(third.digest).not.toBe(second.value.digest);
  });
});

describe('the loader’s files', () => {
  test('follow what the tenants name', async () => {
    mkdirSync(path('keys'));
    renameSync(path('jwks/acme.json'), path('keys/acme.json'));
    edit(tenantFile('acme'), '../jwks/acme.json', '../keys/acme.json');
    await load(first, tenantFile('acme'));
    expect(loader.files.has(path('keys/acme.json'))).toBe(true);
    expect(loader.files.has(path('jwks/acme.json'))).toBe(false);
    expect([...loader.touched].map((file) => relative(directory, file)).toSorted()).toEqual([
      'jwks/acme.json',
      'keys/acme.json',
      'tenants/acme.yaml',
    ]);
  });

  test('stay while another tenant names them', async () => {
    edit(tenantFile('umbrella'), '../jwks/umbrella.json', '../jwks/globex.json');
    const second = await load(first, tenantFile('umbrella'));
    expect(loader.files.has(path('jwks/umbrella.json'))).toBe(false);
    rmSync(tenantFile('globex'));
    await load(second, tenantFile('globex'));
    expect(loader.files.has(path('jwks/globex.json'))).toBe(true);
    expect(loader.files.has(path('pki/globex/server.pem'))).toBe(false);
    expect(loader.files.has(tenantFile('globex'))).toBe(false);
  });

  test('are the same, however they were come by', async () => {
    rmSync(tenantFile('globex'));
    addSmallTenant(directory, 'hooli');
    await load(first, tenantFile('globex'), tenantFile('hooli'));
    const fresh = new ConfigurationLoader({ environment: {} });
    await fresh.load(mainFile, undefined);
    expect(new Map(loader.files)).toEqual(new Map(fresh.files));
    expect(existsSync(tenantFile('globex'))).toBe(false);
  });
});

test('a load by suspects comes to what a load of everything does, over many changes', async () => {
  let generation = first;
  const changes: readonly (() => readonly string[])[] = [
    () => (edit(tenantFile('acme'), '100/s', '90/s'), [tenantFile('acme')]),
    () => (addSmallTenant(directory, 'hooli'), [tenantFile('hooli')]),
    () => (writePki(directory, 'hooli', ['hooli.test', 'alt.hooli.test']), [path('pki/hooli/client-ca.pem')]),
    () => (write(path('jwks/acme.json'), keySet()), [path('jwks/acme.json')]),
    () => (rmSync(tenantFile('globex')), [tenantFile('globex')]),
    () => (writeFileSync(tenantFile('acme.copy'), 'x'), rmSync(tenantFile('acme.copy')), [tenantFile('acme.copy')]),
  ];
  for (const change of changes) {
    generation = await load(generation, ...change());
    const whole = await new ConfigurationLoader({ environment: {} }).load(mainFile, undefined);
    expect(whole.ok && whole.value.digest).toBe(generation.digest);
  }
  expect(generation.number).toBe(6);
});
