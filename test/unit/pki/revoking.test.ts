import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PkiProblem } from '../../../src/pki/problem.ts';
import { revoke } from '../../../src/pki/revoking.ts';
import { settle } from '../../../src/pki/settle.ts';
import {
  ACME,
  clientOrder,
  DAY_MS,
  HOUR_MS,
  issueFor,
  opensslVerdict,
  pkiDirectory,
} from '../../fakes/pki-directory.ts';

const now = Date.now();
const crlText = (file: string): string =>
  execFileSync('openssl', ['crl', '-noout', '-text'], { input: readFileSync(file), encoding: 'utf8' });

test('a revoked certificate is on a signed, numbered list, and no verifier that reads it takes it', () => {
  const directory = pkiDirectory(now);
  const stolen = issueFor(directory, clientOrder('stolen'), now);
  const other = issueFor(directory, clientOrder('other'), now);
  expect(opensslVerdict(directory, stolen.chainFile)).toBe('OK');
  const before = /CRL Number: \n +(\d+)/.exec(crlText(directory.crlFile(ACME)))?.[1];
  const request = { target: stolen.chainFile, tenant: undefined, reason: 'keyCompromise' } as const;
  expect(revoke(directory, request, undefined, now)).toMatchObject({ already: false, entry: { name: 'stolen' } });
  expect(opensslVerdict(directory, stolen.chainFile)).toBe('certificate revoked');
  expect(opensslVerdict(directory, other.chainFile)).toBe('OK');
  const text = crlText(directory.crlFile(ACME));
  expect(Number(/CRL Number: \n +(\d+)/.exec(text)?.[1])).toBeGreaterThan(Number(before));
  expect(text).toMatch(/CRL Reason Code: \n +Key Compromise/);
  expect(BigInt(`0x${/Serial Number: ([0-9A-F]+)/.exec(text)?.[1]}`)).toBe(BigInt(`0x${stolen.entry.serial}`));
});

test('the first revocation of a certificate stands', () => {
  const directory = pkiDirectory(now);
  const { entry } = issueFor(directory, clientOrder('stolen'), now);
  const by = (target: string, reason: 'superseded' | 'keyCompromise', at: number) =>
    revoke(directory, { target, tenant: ACME, reason }, undefined, at);
  const written = entry.serial
    .toUpperCase()
    .padStart(34, '0')
    .replaceAll(/..(?=.)/g, '$&:');
  by(written, 'keyCompromise', now);
  expect(by(entry.serial, 'superseded', now + 1000)).toMatchObject({
    already: true,
    entry: { revoked: { atMs: now, reason: 'keyCompromise' } },
  });
});

test('what was not issued here cannot be revoked', () => {
  const directory = pkiDirectory(now);
  const elsewhere = issueFor(pkiDirectory(now), clientOrder('theirs'), now);
  for (const target of [elsewhere.chainFile, 'ffff', 'no such file', '']) {
    const request = { target, tenant: undefined, reason: 'unspecified' } as const;
    expect(() => revoke(directory, request, undefined, now)).toThrow(PkiProblem);
  }
});

test('a list’s number rises with every list, and an ended certificate leaves it a list’s life after its end', () => {
  const directory = pkiDirectory(now, { crlLifetimeMs: 2 * DAY_MS });
  const { entry } = issueFor(directory, clientOrder('stolen', { lifetimeMs: HOUR_MS }), now);
  revoke(directory, { target: entry.serial, tenant: ACME, reason: 'superseded' }, undefined, now);
  const listed = (at: number): boolean => {
    const { crlNumber } = settle(directory, directory.readLedger(ACME), undefined, at);
    const text = crlText(directory.crlFile(ACME));
    expect(text).toContain(`\n                ${crlNumber}\n`);
    return text.includes('Revoked Certificates:\n');
  };
  expect(listed(entry.notAfterMs + 2 * DAY_MS - 1)).toBe(true);
  expect(listed(entry.notAfterMs + 2 * DAY_MS)).toBe(false);
});
