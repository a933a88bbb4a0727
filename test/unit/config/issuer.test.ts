/**
 * An issuer in a tenant's file: how its tokens are verified.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { IssuerConfig } from '../../../src/config/generation.ts';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, writeSmall } from '../../fakes/configuration.ts';

const root = emptyDirectory();
let made = 0;

beforeAll(() => {
  writeSmall(join(root, 'template'));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

/** A configuration whose tenant acme has this instead of its key set. */
function withKeys(text: string, issuer = 'https://login.acme.test'): string {
  made += 1;
  const directory = join(root, String(made));
  mkdirSync(directory);
  cpSync(join(root, 'template'), directory, { recursive: true });
  const file = join(directory, 'tenants/acme.yaml');
  edit(file, 'jwks:\n      file: ../jwks/acme.json', text);
  edit(file, 'issuer: https://login.acme.test', `issuer: ${issuer}`);
  return directory;
}

async function issuerOf(directory: string): Promise<IssuerConfig | undefined> {
  const loaded = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), undefined);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  return loaded.value.tenants.find(({ id }) => id === 'acme')?.issuers[0];
}

const messages = async (directory: string): Promise<readonly string[]> =>
  (await findingsOf(directory)).lines.map(({ at, message }) => `${at.split(' ')[1] ?? ''}: ${message}`);

describe('discovery', () => {
  test('takes the issuer for the URL that it is', async () => {
    const bare = await issuerOf(withKeys('discovery: {}'));
    expect(bare?.jwks).toEqual({ kind: 'discovery', caPem: undefined });
    const own = await issuerOf(withKeys('discovery: { ca: ../pki/acme/client-ca.pem }'));
    expect(own?.jwks).toMatchObject({ kind: 'discovery', caPem: expect.stringContaining('BEGIN CERTIFICATE') });
  });

  test.each([
    ['login.acme.test', /issuer: .* is not a URL/],
    ['http://login.acme.test', /issuer: http:\/\/ is not safe/],
    ['https://login.acme.test?tenant=a', /issuer: has a query/],
    ['"https://login.acme.test/#a"', /issuer: has a fragment/],
    ['https://10.1.2.3', /issuer: 10\.1\.2\.3 is a private address/],
    ['https://169.254.169.254', /issuer: .*link-local/],
  ])('needs more than %s', async (issuer, message) => {
    const [first, ...more] = await messages(withKeys('discovery: {}', issuer));
    expect(first).toMatch(message);
    expect(more).toEqual([]);
  });

  test('takes the place of a key set, and one of them must be there', async () => {
    expect(await messages(withKeys('jwks: { file: ../jwks/acme.json }\n    discovery: {}'))).toEqual([
      'issuers[0]: has both jwks and discovery',
    ]);
    expect(await messages(withKeys('profile: jwt'))).toEqual(['issuers[0]: says nowhere how its tokens are verified']);
  });
});
