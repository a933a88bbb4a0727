import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createCa,
  type IssuedCertificate,
  issueClient,
  issueServer,
  type KeyAlgorithm,
  randomSerial,
} from '../../../src/identity/issue.ts';
import { tenantPki } from '../../fakes/pki.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bulkhead-issue-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function opensslVerify(ca: IssuedCertificate, leaf: IssuedCertificate, ...options: readonly string[]): string {
  writeFileSync(join(folder, 'ca.pem'), ca.certPem);
  writeFileSync(join(folder, 'leaf.pem'), leaf.certPem);
  const files = ['-CAfile', join(folder, 'ca.pem'), ...options, join(folder, 'leaf.pem')];
  return execFileSync('openssl', ['verify', '-x509_strict', '-no-CApath', ...files], {
    encoding: 'utf8',
    stdio: 'pipe',
  });
}

describe.each<KeyAlgorithm>(['P-256', 'Ed25519'])('certificates with %s keys', (keyAlgorithm) => {
  const ca = createCa({ commonName: 'acme CA', days: 2, keyAlgorithm });

  test('a server certificate passes openssl verify -x509_strict for its names and addresses', () => {
    const server = issueServer(ca, {
      dnsNames: ['acme.models.test', 'other.test'],
      ipAddresses: ['127.0.0.1', '2001:db8::7'],
      days: 1,
      keyAlgorithm,
    });
    for (const name of ['acme.models.test', 'other.test']) {
      expect(opensslVerify(ca, server, '-purpose', 'sslserver', '-verify_hostname', name)).toMatch(/: OK/);
    }
    for (const address of ['127.0.0.1', '2001:db8::7']) {
      expect(opensslVerify(ca, server, '-purpose', 'sslserver', '-verify_ip', address)).toMatch(/: OK/);
    }
    expect(() => opensslVerify(ca, server, '-verify_hostname', 'globex.models.test')).toThrow(/hostname mismatch/);
  });

  test('a client certificate passes openssl verify -x509_strict as a client, and not as a server', () => {
    const client = issueClient(ca, { spiffeId: 'spiffe://acme.example/client', days: 1, keyAlgorithm });
    expect(opensslVerify(ca, client, '-purpose', 'sslclient')).toMatch(/: OK/);
    expect(() => opensslVerify(ca, client, '-purpose', 'sslserver')).toThrow(/unsuitable certificate purpose/);
  });

  test('a leaf of another CA with the same name does not verify', () => {
    const impostor = createCa({ commonName: 'acme CA', days: 2, keyAlgorithm });
    const client = issueClient(impostor, { spiffeId: 'spiffe://acme.example/client', days: 1 });
    expect(() => opensslVerify(ca, client)).toThrow(/verification failed|verify failed|error/);
  });
});

test('a chain through an intermediate CA verifies', () => {
  const root = createCa({ commonName: 'root', days: 2, pathLength: 1 });
  const intermediate = createCa({ commonName: 'intermediate', days: 2 }, root);
  const client = issueClient(intermediate, { commonName: 'c', days: 1 });
  writeFileSync(join(folder, 'intermediate.pem'), intermediate.certPem);
  expect(opensslVerify(root, client, '-untrusted', join(folder, 'intermediate.pem'))).toMatch(/: OK/);
});

test('the certificate says what was asked for', () => {
  const { ca, client, spiffeId } = tenantPki('acme');
  const certificate = new X509Certificate(client.certPem);
  expect(certificate.subject).toBe('CN=acme client');
  expect(certificate.issuer).toBe('CN=acme test CA');
  expect(certificate.subjectAltName).toBe(`URI:${spiffeId}`);
  expect(certificate.ca).toBe(false);
  expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  expect(certificate.verify(new X509Certificate(ca.certPem).publicKey)).toBe(true);
  expect(new X509Certificate(ca.certPem).ca).toBe(true);
});

test('an end after 2049 is written as GeneralizedTime and before it as UTCTime', () => {
  const ca = createCa({ commonName: 'c', days: 1, notAfter: new Date('2050-01-01T00:00:00Z') });
  expect(new X509Certificate(ca.certPem).validToDate.toISOString()).toBe('2050-01-01T00:00:00.000Z');
  const old = createCa({ commonName: 'c', days: 1, notAfter: new Date('2049-12-31T23:59:59Z') });
  expect(new X509Certificate(old.certPem).validToDate.toISOString()).toBe('2049-12-31T23:59:59.000Z');
});

test('a certificate that would name nobody is not issued', () => {
  const ca = createCa({ commonName: 'c', days: 1 });
  expect(() => issueServer(ca, { dnsNames: [], days: 1 })).toThrow(RangeError);
  expect(() => issueClient(ca, { days: 1 })).toThrow(RangeError);
});

test('an address that is none is refused instead of written wrongly', () => {
  const ca = createCa({ commonName: 'c', days: 1 });
  for (const address of ['127.0.0.1.1', 'fe80::1%eth0', 'localhost', '']) {
    expect(() => issueServer(ca, { dnsNames: ['a.test'], ipAddresses: [address], days: 1 })).toThrow(RangeError);
  }
});

test('a serial has 128 random bits, is positive and in its shortest form', () => {
  const of = (hex: string): string => randomSerial(Buffer.from(hex, 'hex')).toString('hex');
  expect(of('7f000000000000000000000000000001')).toBe('7f000000000000000000000000000001');
  expect(of('80000000000000000000000000000001')).toBe('0080000000000000000000000000000001');
  expect(of('00000000000000000000000000000001')).toBe('01');
  expect(of('000000000000000000000000000000ff')).toBe('00ff');
  // Zero is drawn again.
  expect(of('00000000000000000000000000000000').length).toBeGreaterThan(2);
  expect(new Set(Array.from({ length: 1000 }, () => randomSerial().toString('hex'))).size).toBe(1000);
});
