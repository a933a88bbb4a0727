/**
 * What must not be the same in two tenants' files.
 */
import { cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findingsOf } from '../../fakes/config-findings.ts';
import { addSmallTenant, edit, emptyDirectory, write, writeSmall } from '../../fakes/configuration.ts';

const root = emptyDirectory();
const template = join(root, 'template');
let made = 0;

beforeAll(() => {
  writeSmall(template);
  addSmallTenant(template, 'globex');
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

async function found(spoil: (directory: string) => void): Promise<readonly (readonly [string, string])[]> {
  made += 1;
  const directory = join(root, String(made));
  mkdirSync(directory);
  cpSync(template, directory, { recursive: true });
  spoil(directory);
  const { lines } = await findingsOf(directory);
  return lines.map((line) => [line.at, line.message]);
}

const globex = (before: string, after: string) => (directory: string) =>
  edit(join(directory, 'tenants/globex.yaml'), before, after);
const acme = (before: string, after: string) => (directory: string) =>
  edit(join(directory, 'tenants/acme.yaml'), before, after);

test('two tenants that share nothing have no finding', async () => {
  expect(await found(() => undefined)).toEqual([]);
});

test('a tenant id may stand in one file only', async () => {
  expect(await found(globex('tenant: globex\n', 'tenant: acme\n'))).toEqual([
    ['tenants/globex.yaml:1:9 tenant', 'the tenant id acme is already used by tenants/acme.yaml'],
  ]);
});

test('a server name belongs to one tenant, however it is written', async () => {
  const findings = await found(globex('[globex.test,', '[ACME.test, globex.test,'));
  expect(findings).toContainEqual([
    'tenants/globex.yaml:2:15 serverNames[0]',
    'the server name acme.test is already used by tenants/acme.yaml',
  ]);
});

test('an API key’s id names one tenant’s key', async () => {
  const findings = await found((directory) => {
    globex('id: batch-globex', 'id: batch')(directory);
    globex('keys: [batch-globex]', 'keys: [batch]')(directory);
  });
  expect(findings).toEqual([
    ['tenants/globex.yaml:16:11 apiKeys[0].id', 'the API key id batch is already used by tenants/acme.yaml'],
  ]);
});

const sharedIssuer = globex('https://login.globex.test', 'https://login.acme.test');

test('an issuer of two tenants is refused in each file that has no tenant claim', async () => {
  expect((await found(sharedIssuer)).map(([at]) => at)).toEqual([
    'tenants/acme.yaml:10:13 issuers[0].issuer',
    'tenants/globex.yaml:10:13 issuers[0].issuer',
  ]);
  const one = await found((directory) => {
    sharedIssuer(directory);
    globex('    algorithms', '    tenantClaim: tenant\n    algorithms')(directory);
  });
  expect(one.map(([at]) => at)).toEqual(['tenants/acme.yaml:10:13 issuers[0].issuer']);
});

test('an issuer of two tenants is allowed when both have a tenant claim', async () => {
  const findings = await found((directory) => {
    sharedIssuer(directory);
    globex('    algorithms', '    tenantClaim: tenant\n    algorithms')(directory);
    acme('    algorithms', '    tenantClaim: tenant\n    algorithms')(directory);
  });
  expect(findings).toEqual([]);
});

const sharedCa = (directory: string): void =>
  write(join(directory, 'pki/globex/client-ca.pem'), readFileSync(join(directory, 'pki/acme/client-ca.pem'), 'utf8'));

test('a client CA of two tenants is allowed when each has a trust domain of its own', async () => {
  expect(await found(sharedCa)).toEqual([]);
});

test('a client CA of two tenants is refused when they have the same trust domain', async () => {
  const findings = await found((directory) => {
    sharedCa(directory);
    globex('trustDomain: globex.example', 'trustDomain: acme.example')(directory);
  });
  expect(findings).toEqual([
    [
      'tenants/globex.yaml:6:11 clientCa',
      'the client CA also signs the clients of tenants/acme.yaml, and nothing in their certificates says whose they are',
    ],
  ]);
});

test('a client CA of two tenants is refused when one of them takes any trust domain', async () => {
  const findings = await found((directory) => {
    sharedCa(directory);
    acme('trustDomain: acme.example\n', '')(directory);
  });
  expect(findings.map(([at]) => at)).toEqual(['tenants/acme.yaml:6:11 clientCa']);
});

test('a client CA is compared with tenants whose files have other errors', async () => {
  const findings = await found((directory) => {
    sharedCa(directory);
    globex('trustDomain: globex.example', 'trustDomain: acme.example')(directory);
    globex('http://127.0.0.1:8001', 'nowhere')(directory);
  });
  expect(findings.map(([at]) => at)).toEqual([
    'tenants/globex.yaml:6:11 clientCa',
    'tenants/globex.yaml:30:12 upstream.address',
  ]);
});
