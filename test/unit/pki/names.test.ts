import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import type { Ledger } from '../../../src/pki/ledger.ts';
import { durationText } from '../../../src/pki/lifetimes.ts';
import { clientId, defaultLeafName, parseDnsName, serverNames } from '../../../src/pki/names.ts';
import { Passphrase } from '../../../src/pki/private-key.ts';
import { ACME } from '../../fakes/pki-directory.ts';

const ledger: Ledger = {
  tenant: ACME,
  trustDomain: 'acme.example',
  constrained: { dnsNames: ['models.example'] },
  keyAlgorithm: 'P-256',
  crlLifetimeMs: 1,
  crlNumber: 0,
  authorities: [],
  certificates: [],
};

test('DNS names are names, in lower case', () => {
  expect(parseDnsName('Acme.Models.Example')).toBe('acme.models.example');
  expect(parseDnsName('*.models.example')).toBe('*.models.example');
  for (const bad of [
    '',
    '*',
    '*.example',
    'a.*.b',
    'a..b',
    '-a.b',
    'a_b.c',
    '127.0.0.1',
    'a b',
    'a\n',
    `${'a'.repeat(64)}.b`,
    'ä.example',
  ]) {
    expect(parseDnsName(bad), bad).toBe(undefined);
  }
});

test('a server gets only names that its tenant’s CA may sign', () => {
  expect(serverNames(ledger, ['A.models.example', 'models.example', 'a.models.example'], ['::1']).dnsNames).toEqual([
    'a.models.example',
    'models.example',
  ]);
  expect(() => serverNames(ledger, ['evilmodels.example'], [])).toThrow('may not sign for evilmodels.example');
  expect(serverNames({ ...ledger, constrained: undefined }, ['any.test'], []).dnsNames).toEqual(['any.test']);
  expect(() => serverNames(ledger, ['models.example'], ['fe80::1%eth0'])).toThrow('is no IP address');
});

test('a client is a path in the trust domain or a whole SPIFFE id of it', () => {
  expect(clientId(ledger, 'trainer')).toBe('spiffe://acme.example/trainer');
  expect(clientId(ledger, '/ns/prod/sa/web')).toBe('spiffe://acme.example/ns/prod/sa/web');
  expect(clientId(ledger, 'SPIFFE://Acme.Example/x')).toBe('spiffe://acme.example/x');
  expect(() => clientId(ledger, 'spiffe://globex.example/x')).toThrow('is not in trust domain acme.example');
  for (const bad of ['', '/', 'a//b', '../x', 'a b', 'spiffe://acme.example', 'https://acme.example/x', 'a?b']) {
    expect(() => clientId(ledger, bad), bad).toThrow('is no SPIFFE id of a client');
  }
});

test('a certificate’s directory neither hides nor climbs', () => {
  expect(defaultLeafName('spiffe://acme.example/ns/prod')).toBe('ns_prod');
  expect(defaultLeafName('*.models.example')).toBe('_.models.example');
  expect(defaultLeafName('spiffe://acme.example/.hidden')).toBe('_.hidden');
  expect(() => defaultLeafName(`spiffe://acme.example/${'a'.repeat(129)}`)).toThrow('is too long to name a directory');
});

test('a passphrase has 12 to 1024 bytes, less one line end, and is not printed', () => {
  expect(() => Passphrase.from('x'.repeat(11), 'FILE')).toThrow(
    'the passphrase of FILE does not have 12 to 1024 bytes',
  );
  expect(() => Passphrase.from(`${'x'.repeat(11)}\n`, 'FILE')).toThrow('does not have');
  const passphrase = Passphrase.from(`${'x'.repeat(12)}\r\n`, 'FILE');
  expect(Passphrase.from('x'.repeat(1024), 'FILE')).toBeInstanceOf(Passphrase);
  expect(() => Passphrase.from('x'.repeat(1025), 'FILE')).toThrow('does not have');
  expect(JSON.stringify(passphrase) + inspect(passphrase, { depth: 9, showHidden: true })).not.toContain('xxxx');
});

test('durations are said in their largest whole unit', () => {
  expect([900_000, 86_400_000, 5_400_000, 1_000, 1].map(durationText)).toEqual(['15m', '1d', '90m', '1s', '1ms']);
});
