import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, test } from 'vitest';
import { PkiDirectory } from '../../../src/pki/directory.ts';
import { inventory } from '../../../src/pki/inventory.ts';
import { PkiProblem } from '../../../src/pki/problem.ts';
import { createTenant, initPki } from '../../../src/pki/tenants.ts';
import { ACME, clientOrder, DAY_MS, issueFor, pkiDirectory, tenantRequest } from '../../fakes/pki-directory.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';
import { tenantId } from '../../fakes/trust.ts';

const GLOBEX = tenantId('globex');

function problem(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof PkiProblem) return `${error.kind}: ${error.message}; ${error.fix}`;
    throw error;
  }
  return 'none';
}

test('a directory says what it is, and is its owner’s alone', () => {
  const directory = pkiDirectory();
  expect(readFileSync(join(directory.path, 'README'), 'utf8')).toMatch(/^Certificates of the tenants of Bulkhead/);
  for (const folder of ['', 'tenants', 'tenants/acme', 'tenants/acme/authorities/1']) {
    expect(statSync(join(directory.path, folder)).mode & 0o777).toBe(0o700);
  }
  expect(statSync(join(directory.path, 'tenants/acme/authorities/1/ca-key.pem')).mode & 0o777).toBe(0o600);
  const settings = { keyAlgorithm: 'P-256', sealed: false, root: false } as const;
  expect(problem(() => initPki(directory.path, settings, 3650 * DAY_MS, undefined, Date.now()))).toMatch(
    /is there already/,
  );
});

test('tenants share neither a CA nor a trust domain', () => {
  const directory = pkiDirectory();
  const create = (changes: object) => () =>
    createTenant(directory, tenantRequest(GLOBEX, changes), undefined, Date.now());
  expect(problem(create({ trustDomain: 'acme.example' }))).toMatch(
    /^refused: trust domain acme.example is tenant acme's/,
  );
  expect(problem(create({}))).toBe('none');
  expect(problem(create({}))).toMatch(/^refused: tenant globex is there already/);
  const [acme, globex] = [ACME, GLOBEX].map((tenant) => readFileSync(directory.bundleFile(tenant), 'utf8'));
  expect(acme).not.toBe(globex);
});

describe('a damaged or hostile directory gets an error that names the file and what would be right', () => {
  const ledger = (directory: PkiDirectory): string => directory.ledgerFile(ACME);
  const caKey = (directory: PkiDirectory): string => join(directory.tenantFolder(ACME), 'authorities/1/ca-key.pem');
  const ca = (directory: PkiDirectory): string => join(directory.tenantFolder(ACME), 'authorities/1/ca.pem');
  const rewrite = (file: string, from: RegExp, to: string): void =>
    writeFileSync(file, readFileSync(file, 'utf8').replace(from, to));
  it.each<[string, (directory: PkiDirectory) => string, (file: string, directory: PkiDirectory) => void, RegExp]>([
    ['a ledger cut off', ledger, (file) => truncateSync(file, 100), /is not JSON; put it back from a backup/],
    ['a ledger that is empty', ledger, (file) => truncateSync(file), /is not JSON/],
    ['a ledger of another format', ledger, (file) => rewrite(file, /"format": 1/, '"format": 2'), /format is not 1/],
    [
      'a ledger with another state',
      ledger,
      (file) => rewrite(file, /"signing"/, '"any"'),
      /authorities\[0\]\.state is not what it must be/,
    ],
    [
      'a ledger with a climbing name',
      ledger,
      (file) => rewrite(file, /"trainer"/, '"../../x"'),
      /certificates\[0\]\.name/,
    ],
    [
      'a ledger with a negative time',
      ledger,
      (file) => rewrite(file, /"lifetimeMs": \d+/, '"lifetimeMs": -1'),
      /lifetimeMs is no whole number/,
    ],
    ['another tenant’s ledger', ledger, (file) => rewrite(file, /"acme"/, '"globex"'), /is the ledger of globex/],
    [
      'a ledger that is a link',
      ledger,
      (file) => (renameSync(file, `${file}.x`), symlinkSync(`${file}.x`, file)),
      /is a symbolic link; put the file itself there/,
    ],
    ['a ledger that is a directory', ledger, (file) => (rmSync(file), mkdirSync(file)), /is not a file/],
    [
      'a ledger that is too large',
      ledger,
      (file) => truncateSync(file, 64 * 1024 ** 2 + 1),
      /is larger than 67108864 bytes/,
    ],
    [
      'a CA key that others can read',
      caKey,
      (file) => chmodSync(file, 0o640),
      /can be read by others \(mode 0640\); chmod 600 /,
    ],
    ['a CA key cut off', caKey, (file) => truncateSync(file, 80), /holds no private key/],
    [
      'a CA key of somebody else',
      caKey,
      (file) => writeFileSync(file, readFileSync(caKey(pkiDirectory()))),
      /is not the key of the certificate beside it/,
    ],
    ['a CA key that is gone', caKey, (file) => rmSync(file), /is not there/],
    [
      'a CA certificate of somebody else',
      ca,
      (file) => writeFileSync(file, readFileSync(pkiDirectory().bundleFile(ACME))),
      /is not the certificate of CA 1 in the ledger/,
    ],
    ['a CA certificate that is none', ca, (file) => writeFileSync(file, 'x'), /holds no certificate/],
  ])('%s', (_, fileOf, damage, expected) => {
    const directory = pkiDirectory();
    issueFor(directory, clientOrder('trainer'));
    const file = fileOf(directory);
    damage(file, directory);
    const said = problem(() => issueFor(directory, clientOrder('trainer')));
    expect(said).toMatch(expected);
    expect(said).toContain(file);
    expect(said).toMatch(/^damaged: /);
  });

  it('a directory that others may enter', () => {
    const { path } = pkiDirectory();
    chmodSync(path, 0o750);
    expect(problem(() => PkiDirectory.open(path))).toBe(
      `damaged: ${path} can be entered by others (mode 0750); chmod 700 ${path}`,
    );
    chmodSync(path, 0o700);
    expect(problem(() => PkiDirectory.open(path))).toBe('none');
  });

  it('another directory, and a file in the place of a tenant', () => {
    const folder = temporaryDirectory();
    expect(problem(() => PkiDirectory.open(folder))).toMatch(/is no PKI directory/);
    const directory = pkiDirectory();
    writeFileSync(join(directory.path, 'tenants', 'NOTES'), '');
    expect(problem(() => inventory(directory, undefined, Date.now()))).toMatch(/NOTES is not a tenant’s; remove it/);
  });

  it('a wrong settings file', () => {
    const { path } = pkiDirectory();
    writeFileSync(join(path, 'pki.json'), '{"format":1,"keyAlgorithm":"RSA","sealed":false,"root":false}');
    expect(problem(() => PkiDirectory.open(path))).toMatch(/pki.json is damaged: keyAlgorithm is not what it must be/);
    appendFileSync(join(path, 'pki.json'), '}');
    expect(problem(() => PkiDirectory.open(path))).toMatch(/pki.json is not JSON/);
  });
});

test('a command that was killed between its steps leaves nothing that the next one does not put right', () => {
  const directory = pkiDirectory();
  // The ledger was written, the files were not.
  for (const file of [directory.bundleFile(ACME), directory.crlFile(ACME)]) rmSync(file);
  writeFileSync(join(directory.tenantFolder(ACME), '.ledger.json.0123456789ab'), '{"half":');
  const { chainFile } = issueFor(directory, clientOrder('trainer'));
  expect(readFileSync(directory.bundleFile(ACME), 'utf8')).toContain('BEGIN CERTIFICATE');
  expect(readFileSync(directory.crlFile(ACME), 'utf8')).toContain('BEGIN X509 CRL');
  expect(readdirSync(dirname(chainFile)).sort()).toEqual(['chain.pem', 'key.pem']);
});

test('commands at the same time each get their turn: all is in the ledger, and the lock is gone', async () => {
  const directory = pkiDirectory();
  const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
  const names = ['a', 'b', 'c', 'd'];
  const codes = await Promise.all(
    names.map(async (name) => {
      const args = [main, 'pki', 'issue', '-d', directory.path, '--tenant', 'acme', '--client', name];
      const [code] = await once(spawn(process.execPath, args, { stdio: 'ignore' }), 'exit');
      return code;
    }),
  );
  expect(codes).toEqual([0, 0, 0, 0]);
  const ledger = directory.readLedger(ACME);
  expect(ledger.certificates.map(({ name }) => name).sort()).toEqual(names);
  expect(ledger.crlNumber).toBe(5);
  expect(readdirSync(directory.path).sort()).toEqual(['README', 'pki.json', 'tenants']);
});
