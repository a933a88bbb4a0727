import { createHash } from 'node:crypto';
import { chmodSync, lstatSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { apiKeysOf } from '../../../src/config/stored-tenant.ts';
import { runCli } from '../../fakes/cli.ts';
import { edit, emptyDirectory, writeSmall } from '../../fakes/configuration.ts';

const DAY_MS = 86_400_000;
const directories: string[] = [];
let directory = '';
let file = '';

beforeEach(() => {
  directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  file = join(directory, 'tenants/acme.yaml');
});
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true });
});

const keys = (...args: readonly string[]) => runCli(['keys', ...args]);
const text = (): string => readFileSync(file, 'utf8');

/** acme's keys as the sidecar would have them. */
async function loaded() {
  const result = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), undefined);
  if (!result.ok) throw new Error(JSON.stringify(result.error));
  return result.value.tenants.slice(0, 1).flatMap(apiKeysOf);
}

function hashOf(key: string): string {
  const secret = /^bk_[A-Za-z0-9-]+_([A-Za-z0-9_-]{43})\n?$/.exec(key)?.[1];
  if (secret === undefined) throw new Error(`not a key: ${key}`);
  return createHash('sha256').update(secret).digest('hex');
}

/** Days from the begin of the test to an end, as far as the test took less than a day. */
const daysUntil = (seconds: number | undefined): number => Math.round(((seconds ?? 0) * 1000 - Date.now()) / DAY_MS);

describe('keys create', () => {
  test('prints the key once and writes its hash, good for 90 days', async () => {
    const before = text();
    const run = await keys('create', file, 'nightly');
    expect(run).toMatchObject({ code: 0, err: expect.stringMatching(/good until .*shown this once/s) });
    const [, made] = await loaded();
    expect(made).toMatchObject({ id: 'nightly', sha256: hashOf(run.out), revoked: false });
    expect(daysUntil(made?.expiresAtSeconds)).toBe(90);
    expect(text()).not.toContain(run.out.trim().slice(-43));
    // The lines of before are all there, in their order.
    expect(
      text()
        .split('\n')
        .filter((line) => before.split('\n').includes(line))
        .join('\n'),
    ).toBe(before);
  });

  test('for as long and with the scopes that are said', async () => {
    const run = await keys('create', file, 'nightly', '--expires', '7d', '--scope', 'infer', 'read', '--json');
    const said = JSON.parse(run.out);
    expect(said).toMatchObject({ tenant: 'acme', id: 'nightly', scopes: ['infer', 'read'] });
    const [, made] = await loaded();
    expect(made).toMatchObject({ sha256: hashOf(said.key), scopes: ['infer', 'read'] });
    expect(made?.expiresAtSeconds).toBe(Date.parse(said.expires) / 1000);
    expect(daysUntil(made?.expiresAtSeconds)).toBe(7);
    expect(await keys('create', file, 'for-ever', '--no-expires')).toMatchObject({ code: 0 });
    expect((await loaded())[2]?.expiresAtSeconds).toBeUndefined();
  });

  test.each([
    ['an id that there is', ['batch'], 1, /already/],
    ['an id that is none', ['a_b'], 1, /letters, digits and hyphens/],
    ['an id that is too long', ['a'.repeat(65)], 1, /letters, digits and hyphens/],
    ['a scope that is none', ['new', '--scope', 'a"b'], 1, /not a scope/],
    ['a lifetime that is none', ['new', '--expires', 'soon'], 1, /Not a duration/],
  ])('is refused for %s, and the file stays', async (_name, args, code, message) => {
    const before = text();
    const run = await keys('create', file, ...args);
    expect(run).toMatchObject({ code, out: '', err: expect.stringMatching(message) });
    expect(text()).toBe(before);
  });

  test('changes what a link points to, and keeps the file’s mode', async () => {
    chmodSync(file, 0o640);
    const link = join(directory, 'link.yaml');
    symlinkSync(file, link);
    expect((await keys('create', link, 'nightly')).code).toBe(0);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o640);
    expect(await loaded()).toHaveLength(2);
  });
});

describe('keys rotate', () => {
  test('gives another secret, and lets the one before be good for a day', async () => {
    const [before] = await loaded();
    const run = await keys('rotate', file, 'batch');
    expect(run).toMatchObject({ code: 0, err: expect.stringMatching(/secret before is good until/) });
    const [key] = await loaded();
    expect(key).toMatchObject({ id: 'batch', sha256: hashOf(run.out), previous: { sha256: before?.sha256 } });
    expect(daysUntil(key?.previous?.expiresAtSeconds)).toBe(1);
    expect(daysUntil(key?.expiresAtSeconds)).toBe(90);
  });

  test('never lets the secret before outlive its own end', async () => {
    const end = new Date(Date.now() + DAY_MS).toISOString().replace(/\.\d+/, '');
    edit(file, '2035-01-01T00:00:00Z', end);
    await keys('rotate', file, 'batch', '--overlap', '7d', '--expires', '30d');
    const [key] = await loaded();
    expect(key?.previous?.expiresAtSeconds).toBe(Date.parse(end) / 1000);
    expect(daysUntil(key?.expiresAtSeconds)).toBe(30);
  });

  test('is refused while two secrets are good, and done when the one before has ended', async () => {
    expect((await keys('rotate', file, 'batch')).code).toBe(0);
    const before = text();
    expect(await keys('rotate', file, 'batch')).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/two secrets/),
    });
    expect(text()).toBe(before);
    writeFileSync(file, before.replace(/(previous: .*expires: )[^ ]+/, '$12020-01-01T00:00:00Z'));
    const [current] = await loaded();
    const run = await keys('rotate', file, 'batch', '--json');
    expect(run.code).toBe(0);
    expect((await loaded())[0]).toMatchObject({
      sha256: hashOf(JSON.parse(run.out).key),
      previous: { sha256: current?.sha256 },
    });
  });

  test('is refused for a key that is revoked or not there', async () => {
    await keys('revoke', file, 'batch');
    expect(await keys('rotate', file, 'batch')).toMatchObject({ code: 1, err: expect.stringMatching(/is revoked/) });
    expect(await keys('rotate', file, 'nobody')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/no API key nobody/),
    });
  });
});

test('keys revoke takes a key back with all its secrets, and says when that was so already', async () => {
  await keys('rotate', file, 'batch');
  expect(await keys('revoke', file, 'batch')).toMatchObject({ code: 0, out: 'revoked API key batch of tenant acme\n' });
  expect((await loaded())[0]).toMatchObject({ revoked: true });
  const after = text();
  expect(JSON.parse((await keys('revoke', file, 'batch', '--json')).out)).toMatchObject({
    revoked: true,
    already: true,
  });
  expect(text()).toBe(after);
  expect((await keys('revoke', file, 'nobody')).code).toBe(1);
});

describe('keys list', () => {
  test('says of each key its state, its end and its scopes, and no hash', async () => {
    edit(file, ', expires: 2035-01-01T00:00:00Z', '');
    await keys('create', file, 'rotated', '--scope', 'infer');
    await keys('rotate', file, 'rotated');
    await keys('create', file, 'gone', '--expires', '1d');
    await keys('revoke', file, 'gone');
    await keys('create', file, 'over', '--expires', '0s');
    const run = await keys('list', file);
    expect(run.code).toBe(0);
    const lines = run.out.split('\n').map((line) => line.split(/ {2,}/));
    expect(lines[1]).toEqual(['batch', 'active', 'never']);
    expect(lines[2]).toEqual([
      'rotated',
      expect.stringMatching(/^rotating \(the secret before until /),
      expect.any(String),
      'infer',
    ]);
    expect(lines[3]?.[1]).toBe('revoked');
    expect(lines[4]?.[1]).toBe('expired');
    const json = JSON.parse((await keys('list', file, '--json')).out);
    expect(json.tenant).toBe('acme');
    expect(json.keys.map(({ id, state }: { id: string; state: string }) => [id, state])).toEqual([
      ['batch', 'active'],
      ['rotated', 'rotating'],
      ['gone', 'revoked'],
      ['over', 'expired'],
    ]);
    for (const { sha256, previous } of await loaded()) {
      for (const secret of [sha256, previous?.sha256 ?? sha256])
        expect(JSON.stringify([run.out, json])).not.toContain(secret);
    }
  });

  test('--uses says when each was last used, and the secret before while there is one', async () => {
    await keys('create', file, 'rotated');
    await keys('rotate', file, 'rotated');
    const uses = { tenants: { acme: { batch: '2026-11-24T12:00:00Z', 'rotated before': '2026-11-23T12:00:00Z' } } };
    writeFileSync(join(directory, 'key-uses.json'), JSON.stringify(uses));
    const run = await keys('list', file, '--uses', directory);
    expect(run.code).toBe(0);
    const lines = run.out.split('\n').map((line) => line.split(/ {2,}/));
    expect(lines[0]).toEqual(['ID', 'STATE', 'UNTIL', 'LAST USED', 'SCOPES']);
    expect(lines[1]?.[3]).toBe('2026-11-24T12:00:00Z');
    expect(lines[2]?.[3]).toBe('never (the one before: 2026-11-23T12:00:00Z)');
    const json = JSON.parse((await keys('list', file, '--uses', directory, '--json')).out);
    expect(json.keys[0]).toMatchObject({ lastUsed: '2026-11-24T12:00:00Z' });
    expect(json.keys[1]).toMatchObject({ lastUsed: null, previousLastUsed: '2026-11-23T12:00:00Z' });
    for (const broken of [undefined, '{']) {
      if (broken === undefined) rmSync(join(directory, 'key-uses.json'));
      else writeFileSync(join(directory, 'key-uses.json'), broken);
      expect(await keys('list', file, '--uses', directory)).toMatchObject({
        code: 2,
        err: expect.stringContaining('is not known'),
      });
    }
  });

  test('--expiring says what ends soon or has ended, with an exit code of its own', async () => {
    expect(await keys('list', file, '--expiring', '7d')).toMatchObject({ code: 0, out: 'nothing ends so soon\n' });
    await keys('create', file, 'soon', '--expires', '6d');
    await keys('create', file, 'later', '--expires', '8d');
    const run = await keys('list', file, '--expiring', '7d', '--json');
    expect(run.code).toBe(3);
    expect(JSON.parse(run.out).keys.map(({ id }: { id: string }) => id)).toEqual(['soon']);
    await keys('revoke', file, 'soon');
    expect((await keys('list', file, '--expiring', '7d')).code).toBe(0);
  });
});

test.each([
  ['that is not there', () => rmSync(file), /ENOENT/],
  ['that is no YAML', () => writeFileSync(file, 'a: [1'), /acme\.yaml:1/],
  ['that is no tenant’s', () => writeFileSync(file, 'a: 1\n'), /acme\.yaml:1/],
  ['with a mistake', () => edit(file, 'byteAccount: 1MiB', 'byteAccount: 1'), /byteAccount/],
])('a file %s is not touched', async (_name, spoil, message) => {
  spoil();
  for (const command of ['list', 'create', 'rotate', 'revoke']) {
    const run = await keys(command, file, ...(command === 'list' ? [] : ['batch']));
    expect(run).toMatchObject({ code: 2, out: '', err: expect.stringMatching(message) });
  }
});
