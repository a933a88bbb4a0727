/**
 * Load balancers before the listener, in the main file.
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

function listening(proxyProtocol: string): string {
  const directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  const listen = 'listen: { address: 127.0.0.1:8443';
  edit(join(directory, 'bulkhead.yaml'), listen, `${listen}, proxyProtocol: ${proxyProtocol}`);
  return directory;
}

test('are the addresses that are written', async () => {
  const main = join(listening('{ from: [10.0.0.0/8, "fd00::/8"] }'), 'bulkhead.yaml');
  const loaded = await new ConfigurationLoader({ environment: {} }).load(main, undefined);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  expect(loaded.value.listener?.proxyProtocol).toEqual({ from: ['10.0.0.0/8', 'fd00::/8'] });
});

test.each([
  ['{}', 'listen.proxyProtocol.from', /is missing/],
  ['{ from: [] }', 'listen.proxyProtocol.from', /is empty/],
  ['{ from: [10.0.0.1/8] }', 'listen.proxyProtocol.from[0]', /nor a range by its first one/],
  ['{ from: [balancer.example] }', 'listen.proxyProtocol.from[0]', /not an IP address/],
  ['{ from: [10.0.0.1], optional: true }', 'listen.proxyProtocol.optional', /not a known key/],
])('cannot be %s', async (written, at, message) => {
  const { refused, lines } = await findingsOf(listening(written));
  expect(refused).toBe(true);
  expect(lines).toContainEqual(
    expect.objectContaining({ at: expect.stringContaining(at), message: expect.stringMatching(message) }),
  );
});

test.each(['0.0.0.0/0', '::/0'])('that are everybody (%s) are warned of', async (range) => {
  const { refused, lines } = await findingsOf(listening(`{ from: [10.0.0.1, "${range}"] }`));
  expect(refused).toBe(false);
  expect(lines).toContainEqual(
    expect.objectContaining({
      at: expect.stringContaining('proxyProtocol.from[1]'),
      message: expect.stringMatching(/everybody/),
    }),
  );
});
