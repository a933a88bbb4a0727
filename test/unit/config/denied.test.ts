/**
 * Deny lists: in a tenant's file, and for all tenants in a file of their own.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Generation } from '../../../src/config/generation.ts';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { MAX_DENIED } from '../../../src/config/schema-denied.ts';
import { type FoundLine, findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, write, writeSmall } from '../../fakes/configuration.ts';

const directories: string[] = [];
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true });
});

/** The small configuration with these entries in acme's list. */
function withDenied(...entries: readonly string[]): string {
  const directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  const list = entries.map((entry) => `  - ${entry}\n`).join('');
  edit(join(directory, 'tenants/acme.yaml'), 'trustDomain:', `denied:\n${list}trustDomain:`);
  return directory;
}

/** The small configuration with a list for all tenants. */
function withList(text: string): string {
  const directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  edit(join(directory, 'bulkhead.yaml'), 'audit:', 'revocation: { denyList: deny.yaml }\naudit:');
  write(join(directory, 'deny.yaml'), text);
  return directory;
}

async function load(directory: string): Promise<Generation> {
  const loaded = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), undefined);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  return loaded.value;
}

describe('an entry', () => {
  test('has one spelling, and its place', async () => {
    const directory = withDenied(
      '{ serial: "00:1a:2B", issuer: CN=acme CA }',
      '{ spiffe: SPIFFE://Acme.Example/Batch }',
      '{ key: batch, until: 2030-01-31T00:00:00Z }',
      '{ session: s1 }',
    );
    const { denied } = (await load(directory)).tenants[0] ?? {};
    expect(denied).toMatchObject([
      { kind: 'serial', value: '1A2B', issuer: 'CN=acme CA' },
      { kind: 'spiffe', value: 'spiffe://acme.example/Batch' },
      { kind: 'key', value: 'batch', untilSeconds: Date.parse('2030-01-31T00:00:00Z') / 1000 },
      { kind: 'session', value: 's1' },
    ]);
    expect(denied?.[0]?.source).toMatch(/acme\.yaml:\d+ denied\[0\]$/);
  });

  test.each([
    ['nothing', '{ until: 2030-01-31T00:00:00Z }', /names no credential/],
    ['two things at once', '{ key: batch, subject: bob }', /names key and subject at once/],
    ['a serial that YAML takes for a number', '{ serial: 123 }', /not a serial number/],
    ['a serial that is none', '{ serial: "xyz" }', /not a serial number/],
    ['a serial that is too long', `{ serial: "${'a'.repeat(41)}" }`, /not a serial number/],
    ['a SPIFFE id that is none', '{ spiffe: https://acme.example }', /not a SPIFFE id/],
    ['an issuer of a key', '{ key: batch, issuer: x }', /has an issuer beside key/],
    ['what nobody knows', '{ fingerprint: x }', /not a known key/],
  ])('cannot name %s', async (_name, entry, message) => {
    const { refused, lines } = await findingsOf(withDenied(entry));
    expect(refused).toBe(true);
    expect(lines).toContainEqual(
      expect.objectContaining({
        at: expect.stringContaining('denied[0]'),
        message: expect.stringMatching(message),
      }),
    );
  });

  test.each([
    ['a key that is not there', '{ key: other }', /no API key other/],
    ['an issuer that is not there', '{ subject: bob, issuer: https://other.test }', /no issuer of this tenant/],
    ['another trust domain', '{ spiffe: spiffe://other.example/x }', /not of the trust domain/],
  ])('is warned of when it names %s', async (_name, entry, message) => {
    const { refused, lines } = await findingsOf(withDenied(entry));
    expect(refused).toBe(false);
    const found: Partial<FoundLine> = { severity: 'warning' };
    expect(lines).toContainEqual(expect.objectContaining({ ...found, message: expect.stringMatching(message) }));
  });
});

describe('a list for all tenants', () => {
  test('is a file of its own, with places in it', async () => {
    const { denied } = await load(withList('denied:\n  - { subject: mallory }\n'));
    expect(denied).toEqual([{ kind: 'subject', value: 'mallory', source: 'deny.yaml:2 denied[0]' }]);
  });

  test('is part of the configuration: another one is another generation', async () => {
    const directory = withList('denied: []\n');
    const loader = new ConfigurationLoader({ environment: {} });
    const main = join(directory, 'bulkhead.yaml');
    const first = await loader.load(main, undefined);
    write(join(directory, 'deny.yaml'), 'denied: [{ key: batch }]\n');
    const second = await loader.load(main, first.ok ? first.value : undefined);
    if (!first.ok || !second.ok) throw new Error('it loads');
    expect([first.value.number, second.value.number]).toEqual([1, 2]);
    expect(second.value.tenants[0]).toBe(first.value.tenants[0]);
  });

  test.each([
    ['names nothing', 'denied:\n  - { until: 2030-01-31T00:00:00Z }\n', 'deny.yaml:2:5 denied[0]'],
    ['has a key that nobody knows', 'deny: []\n', 'deny.yaml:1:1 deny'],
    ['is no YAML', 'denied: [', 'deny.yaml:1:10'],
  ])('is refused where it %s, at its own place', async (_name, text, at) => {
    const { refused, lines } = await findingsOf(withList(text));
    expect(refused).toBe(true);
    expect(lines.map((line) => line.at)).toContain(at);
  });

  test.each([
    [MAX_DENIED, false],
    [MAX_DENIED + 1, true],
  ])('of %i entries is refused: %s', async (count, expected) => {
    const list = Array.from({ length: count }, (_, index) => `- { key: k${index} }\n`).join('');
    const { refused } = await findingsOf(withList(`denied:\n${list}`));
    expect(refused).toBe(expected);
  });
});
