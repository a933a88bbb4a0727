import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import type { PkiDirectory } from '../../../src/pki/directory.ts';
import { endsSoon, inventory } from '../../../src/pki/inventory.ts';
import { rotateAuthority, rotateLeafs } from '../../../src/pki/rotating.ts';
import { settle } from '../../../src/pki/settle.ts';
import {
  ACME,
  clientOrder,
  DAY_MS,
  HOUR_MS,
  issueFor,
  opensslVerdict,
  pkiDirectory,
  serverOrder,
} from '../../fakes/pki-directory.ts';

const NONE = { authority: undefined, leaf: undefined };
const now = Date.now();
const all = { names: [], expiringMs: undefined, lifetimeMs: undefined };

function rotateCa(directory: PkiDirectory, step: 'prepare' | 'activate' | 'replace', at = now): void {
  rotateAuthority(directory, directory.readLedger(ACME), { step, lifetimeMs: 365 * DAY_MS }, undefined, at);
}

const states = (directory: PkiDirectory): readonly string[] =>
  directory.readLedger(ACME).authorities.map(({ id, state }) => `${id} ${state}`);
const bundled = (directory: PkiDirectory): number =>
  readFileSync(directory.bundleFile(ACME), 'utf8').split('BEGIN CERTIFICATE').length - 1;

describe('a leaf’s rotation', () => {
  it('gives a new key and serial to the same names, and leaves the old certificate valid', () => {
    const directory = pkiDirectory(now);
    const before = issueFor(directory, serverOrder('acme.models.example', { lifetimeMs: HOUR_MS }), now);
    const old = readFileSync(before.chainFile);
    const { issued } = rotateLeafs(directory, directory.readLedger(ACME), all, NONE, now + 1000);
    const [after] = issued;
    expect(after?.entry).toMatchObject({
      name: 'acme.models.example',
      dnsNames: ['acme.models.example'],
      lifetimeMs: HOUR_MS,
    });
    const certificate = new X509Certificate(readFileSync(before.chainFile));
    expect(certificate.publicKey.equals(new X509Certificate(old).publicKey)).toBe(false);
    expect(inventory(directory, ACME, now).map(({ state }) => state)).toEqual(['signing', 'superseded', 'valid']);
    expect(opensslVerdict(directory, before.chainFile)).toBe('OK');
  });

  it('takes only what ends within the time asked for, at n and not at n + 1', () => {
    const directory = pkiDirectory(now);
    const { entry } = issueFor(directory, clientOrder('trainer', { lifetimeMs: HOUR_MS }), now);
    const left = entry.notAfterMs - now;
    const rotate = (expiringMs: number) =>
      rotateLeafs(directory, directory.readLedger(ACME), { ...all, expiringMs }, NONE, now).issued.length;
    expect(rotate(left - 1)).toBe(0);
    expect(rotate(left)).toBe(1);
  });

  it('leaves those whose key is elsewhere, and revoked ones unless they are named', () => {
    const directory = pkiDirectory(now);
    const { publicKey } = new X509Certificate(readFileSync(directory.bundleFile(ACME)));
    issueFor(directory, clientOrder('foreign', { foreignKey: publicKey }), now);
    issueFor(directory, clientOrder('stolen'), now);
    const ledger = directory.readLedger(ACME);
    const revoked = { atMs: now, reason: 'keyCompromise' } as const;
    const certificates = ledger.certificates.map((each) => (each.name === 'stolen' ? { ...each, revoked } : each));
    settle(directory, { ...ledger, certificates }, undefined, now);
    const first = rotateLeafs(directory, directory.readLedger(ACME), all, NONE, now);
    expect(first.issued).toEqual([]);
    expect(first.skipped.map(({ entry, why }) => `${entry.name}: ${why}`)).toEqual([
      'foreign: its key is elsewhere: issue it from a new request (--csr)',
      'stolen: it is revoked: name it if it shall have a successor',
    ]);
    const named = rotateLeafs(directory, directory.readLedger(ACME), { ...all, names: ['stolen'] }, NONE, now);
    expect(named.issued.map(({ entry }) => entry.name)).toEqual(['stolen']);
    const ghost = { ...all, names: ['ghost'] };
    expect(() => rotateLeafs(directory, directory.readLedger(ACME), ghost, NONE, now)).toThrow(
      'has no certificate ghost',
    );
  });
});

test('the bundle is left alone while it says the same, so that nobody who watches it loads it again', () => {
  const directory = pkiDirectory(now);
  const inode = (): number => statSync(directory.bundleFile(ACME)).ino;
  const before = inode();
  issueFor(directory, clientOrder('trainer'), now);
  expect(inode()).toBe(before);
  rotateCa(directory, 'prepare');
  expect(inode()).not.toBe(before);
});

describe('a CA’s rotation', () => {
  it('trusts the new one before it signs, and the old one until its leafs have ended', () => {
    const directory = pkiDirectory(now);
    const old = issueFor(directory, clientOrder('trainer'), now);
    const oldChain = readFileSync(old.chainFile, 'utf8');
    rotateCa(directory, 'prepare');
    expect([states(directory), bundled(directory)]).toEqual([['1 signing', '2 next'], 2]);
    expect(issueFor(directory, clientOrder('early'), now).entry.authority).toBe(1);
    rotateCa(directory, 'activate');
    expect([states(directory), bundled(directory)]).toEqual([['1 retiring', '2 signing'], 2]);
    const fresh = issueFor(directory, clientOrder('late'), now);
    expect(fresh.entry.authority).toBe(2);
    expect(opensslVerdict(directory, fresh.chainFile)).toBe('OK');
    expect(opensslVerdict(directory, old.chainFile)).toBe('OK');
    expect(oldChain).toBe(readFileSync(old.chainFile, 'utf8'));
    const end = Math.max(
      ...directory
        .readLedger(ACME)
        .certificates.filter((each) => each.authority === 1)
        .map((each) => each.notAfterMs),
    );
    settle(directory, directory.readLedger(ACME), undefined, end - 1);
    expect([states(directory), bundled(directory)]).toEqual([['1 retiring', '2 signing'], 2]);
    settle(directory, directory.readLedger(ACME), undefined, end);
    expect([states(directory), bundled(directory)]).toEqual([['1 retired', '2 signing'], 1]);
    expect(existsSync(join(directory.tenantFolder(ACME), 'authorities/1/ca-key.pem'))).toBe(false);
  });

  it('without overlap ends the trust in the old one at once', () => {
    const directory = pkiDirectory(now);
    const old = issueFor(directory, clientOrder('trainer'), now);
    rotateCa(directory, 'replace');
    expect([states(directory), bundled(directory)]).toEqual([['1 retired', '2 signing'], 1]);
    expect(opensslVerdict(directory, old.chainFile)).toMatch(/unable to get (local )?issuer certificate|CRL/);
  });

  it('has its order', () => {
    const directory = pkiDirectory(now);
    expect(() => rotateCa(directory, 'activate')).toThrow('tenant acme has no new CA');
    rotateCa(directory, 'prepare');
    expect(() => rotateCa(directory, 'prepare')).toThrow('has a new CA already that does not sign yet');
  });
});

test('what ends soon is found at n and not at n + 1, and only what is in use', () => {
  const directory = pkiDirectory(now);
  const { entry } = issueFor(directory, clientOrder('trainer'), now);
  const found = (withinMs: number) =>
    inventory(directory, ACME, now)
      .filter((item) => endsSoon(item, withinMs, now))
      .map((item) => item.name);
  expect(found(entry.notAfterMs - now - 1)).toEqual([]);
  expect(found(entry.notAfterMs - now)).toEqual(['trainer']);
  issueFor(directory, clientOrder('trainer', { lifetimeMs: 2 * DAY_MS }), now);
  expect(found(entry.notAfterMs - now)).toEqual([]);
});
