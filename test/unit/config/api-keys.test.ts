/**
 * A key's second secret and its addresses, in the tenant's file.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { openTenant } from '../../../src/config/stored-tenant.ts';
import { findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, writeSmall } from '../../fakes/configuration.ts';

const directories: string[] = [];
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true });
});

/** The small configuration with this line in acme's key. */
function withKey(line: string): string {
  const directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  edit(join(directory, 'tenants/acme.yaml'), '{ id: batch,', `{ id: batch, ${line},`);
  return directory;
}

const sha256 = 'ab'.repeat(32);

test('the secret before has a hash and an end', async () => {
  const directory = withKey(`previous: { sha256: ${sha256}, expires: 2030-01-31T00:00:00Z }`);
  const loaded = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), undefined);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  const previous = { sha256, expiresAtSeconds: Date.parse('2030-01-31T00:00:00Z') / 1000 };
  expect(loaded.value.tenants.map(openTenant)[0]?.apiKeys[0]?.previous).toEqual(previous);
});

test.each([
  ['no end', `previous: { sha256: ${sha256} }`, 'apiKeys[0].previous.expires', /is missing/],
  ['no hash', 'previous: { expires: 2030-01-31T00:00:00Z }', 'apiKeys[0].previous.sha256', /is missing/],
  [
    'its secret in clear',
    'previous: { sha256: hunter2, expires: 2030-01-31T00:00:00Z }',
    'apiKeys[0].previous.sha256',
    /not a SHA-256/,
  ],
])('the secret before cannot have %s', async (_name, line, at, message) => {
  const { refused, lines } = await findingsOf(withKey(line));
  expect(refused).toBe(true);
  expect(lines).toContainEqual(
    expect.objectContaining({ at: expect.stringContaining(at), message: expect.stringMatching(message) }),
  );
  expect(JSON.stringify(lines)).not.toContain('hunter2');
});

test('a key and a tenant have the addresses that are written', async () => {
  const directory = withKey('addresses: [10.0.0.0/8, 2001:db8::/32]');
  edit(join(directory, 'tenants/acme.yaml'), 'trustDomain:', 'addresses: [192.0.2.1]\ntrustDomain:');
  const loaded = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), undefined);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  const [acme] = loaded.value.tenants.map(openTenant);
  expect(acme?.addresses).toEqual(['192.0.2.1']);
  expect(acme?.apiKeys[0]?.addresses).toEqual(['10.0.0.0/8', '2001:db8::/32']);
});

test.each([
  ['[10.0.0.1/8]', /no IP address, nor a range/],
  ['[10.0.0.0/33]', /no IP address, nor a range/],
  ['["::ffff:10.0.0.0/104"]', /no IP address, nor a range/],
  ['[localhost]', /not an IP address/],
  ['[]', /is empty/],
  [`[${Array.from({ length: 257 }, () => '::1').join(', ')}]`, /more than 256/],
])('addresses cannot be %s', async (written, message) => {
  const { refused, lines } = await findingsOf(withKey(`addresses: ${written}`));
  expect(refused).toBe(true);
  expect(lines.some((line) => line.at.includes('apiKeys[0].addresses') && message.test(line.message))).toBe(true);
});

test('256 addresses are as many as there may be', async () => {
  const written = `[${Array.from({ length: 256 }, () => '"::1"').join(', ')}]`;
  expect(await findingsOf(withKey(`addresses: ${written}`))).toEqual({ refused: false, lines: [] });
});

test('a key and a tenant have the addresses that are denied, and a key the models that it is narrowed to', async () => {
  const directory = withKey('deniedAddresses: [10.0.0.1], models: [fraud-*], versions: [1, latest]');
  edit(join(directory, 'tenants/acme.yaml'), 'trustDomain:', 'deniedAddresses: ["::/0"]\ntrustDomain:');
  const loaded = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), undefined);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  const [acme] = loaded.value.tenants.map(openTenant);
  expect(acme?.deniedAddresses).toEqual(['::/0']);
  const narrowed = { deniedAddresses: ['10.0.0.1'], models: ['fraud-*'], versions: ['1', 'latest'] };
  expect(acme?.apiKeys[0]).toMatchObject(narrowed);
});

test.each(['models', 'versions', 'deniedAddresses'])('%s of a key cannot be an empty list', async (name) => {
  const { refused, lines } = await findingsOf(withKey(`${name}: []`));
  expect(refused).toBe(true);
  expect(lines.some((line) => line.at.includes(`apiKeys[0].${name}`) && line.message.includes('empty'))).toBe(true);
});
