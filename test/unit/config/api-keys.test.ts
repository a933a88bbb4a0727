/**
 * A key's second secret, in the tenant's file.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ConfigurationLoader } from '../../../src/config/load.ts';
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
  expect(loaded.value.tenants[0]?.apiKeys[0]?.previous).toEqual(previous);
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
