import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { acceptPeer } from '../../../src/identity/peer.ts';
import { issueLeafs, readRequestKey } from '../../../src/pki/issuing.ts';
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
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';
import { micros } from '../../fakes/trust.ts';

describe.each(['P-256', 'Ed25519'] as const)('what a %s CA issues', (keyAlgorithm) => {
  it('passes openssl verify -x509_strict with its revocation list, each for its purpose only', () => {
    const directory = pkiDirectory(Date.now(), { keyAlgorithm });
    const server = issueFor(
      directory,
      serverOrder('acme.models.example', { keyAlgorithm, ipAddresses: ['192.0.2.7'] }),
    );
    const client = issueFor(directory, clientOrder('trainer', { keyAlgorithm }));
    const name = ['-verify_hostname', 'acme.models.example'];
    expect(opensslVerdict(directory, server.chainFile, '-purpose', 'sslserver', ...name)).toBe('OK');
    expect(opensslVerdict(directory, server.chainFile, '-purpose', 'sslserver', '-verify_ip', '192.0.2.7')).toBe('OK');
    expect(opensslVerdict(directory, server.chainFile, '-purpose', 'sslclient')).toBe('unsuitable certificate purpose');
    expect(opensslVerdict(directory, client.chainFile, '-purpose', 'sslclient')).toBe('OK');
    expect(opensslVerdict(directory, client.chainFile, '-purpose', 'sslserver')).toBe('unsuitable certificate purpose');
  });

  it('is a client to the sidecar’s own checks', () => {
    const directory = pkiDirectory(Date.now(), { keyAlgorithm });
    const { chainFile } = issueFor(directory, clientOrder('trainer', { keyAlgorithm }));
    const clientCas = [new X509Certificate(readFileSync(directory.bundleFile(ACME)))];
    const certificate = new X509Certificate(readFileSync(chainFile));
    const peer = acceptPeer(
      { id: ACME, slot: 0, by: 'sni' },
      certificate,
      { address: '192.0.2.7', port: 1 },
      { trustDomain: 'acme.example', clientCas },
      micros(Date.now() / 1000),
    );
    expect(peer.ok && peer.value.certificateId).toBe('spiffe://acme.example/trainer');
  });
});

test('the CA signs leafs only, for its own tenant only', () => {
  const directory = pkiDirectory(Date.now(), { permittedDnsNames: ['models.example'] });
  const ca = new X509Certificate(readFileSync(directory.bundleFile(ACME)));
  const text = execFileSync('openssl', ['x509', '-noout', '-text'], { input: ca.toString(), encoding: 'utf8' });
  expect(text).toMatch(/Basic Constraints: critical\n +CA:TRUE, pathlen:0\n/);
  expect(text).toMatch(/Key Usage: critical\n +Certificate Sign, CRL Sign\n/);
  expect(text).toMatch(/Name Constraints: critical\n +Permitted:\n +DNS:models.example\n +URI:acme.example\n/);
  // Signed all the same, past the checks of the command line: verifiers do not take it.
  const foreign = issueFor(directory, clientOrder('x', { spiffeId: 'spiffe://globex.example/x' }));
  expect(opensslVerdict(directory, foreign.chainFile)).toBe('permitted subtree violation');
  const elsewhere = issueFor(directory, serverOrder('models.globex.example'));
  expect(opensslVerdict(directory, elsewhere.chainFile)).toBe('permitted subtree violation');
  expect(opensslVerdict(directory, issueFor(directory, serverOrder('a.models.example')).chainFile)).toBe('OK');
  expect(opensslVerdict(directory, issueFor(directory, clientOrder('y')).chainFile)).toBe('OK');
});

test('under a root a chain verifies by the root alone, and by the tenant’s own CA', () => {
  const directory = pkiDirectory(Date.now(), { root: true });
  const { chainFile } = issueFor(directory, clientOrder('trainer'));
  expect(opensslVerdict(directory, chainFile, '-purpose', 'sslclient')).toBe('OK');
  const root = join(directory.path, 'root/ca.pem');
  const args = ['verify', '-x509_strict', '-no-CApath', '-CAfile', root, '-untrusted', chainFile, chainFile];
  expect(execFileSync('openssl', args, { encoding: 'utf8' })).toMatch(/: OK/);
});

test('files: the key is its owner’s alone, and a link points to both files of the newest version', () => {
  const directory = pkiDirectory();
  const first = issueFor(directory, clientOrder('trainer'));
  const link = join(directory.tenantFolder(ACME), 'client/trainer');
  const version = readlinkSync(link);
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(statSync(first.keyFile ?? '').mode & 0o777).toBe(0o600);
  const chain = new X509Certificate(readFileSync(first.chainFile));
  expect(chain.checkPrivateKey(createPrivateKey(readFileSync(first.keyFile ?? '')))).toBe(true);
  issueFor(directory, clientOrder('trainer'));
  expect(readlinkSync(link)).not.toBe(version);
  // Whoever has just opened the version before still finds its other file.
  const versions = join(directory.tenantFolder(ACME), 'client/.versions/trainer');
  expect(readdirSync(versions)).toHaveLength(2);
  issueFor(directory, clientOrder('trainer'));
  expect(readdirSync(versions)).toHaveLength(2);
  expect(readdirSync(versions)).not.toContain(first.entry.serial);
});

test('every certificate is in the ledger, with the serial, dates and fingerprint that it has', () => {
  const now = Date.now();
  const directory = pkiDirectory(now);
  const { entry, chainFile } = issueFor(directory, clientOrder('trainer', { lifetimeMs: HOUR_MS }), now);
  const certificate = new X509Certificate(readFileSync(chainFile));
  expect(directory.readLedger(ACME).certificates).toEqual([entry]);
  expect(BigInt(`0x${entry.serial}`)).toBe(BigInt(`0x${certificate.serialNumber}`));
  expect(entry.sha256).toBe(certificate.fingerprint256.replaceAll(':', '').toLowerCase());
  expect(entry.notAfterMs).toBe(Math.floor((now + HOUR_MS) / 1000) * 1000);
  expect(certificate.validToDate.getTime()).toBe(entry.notAfterMs);
  // Clocks of peers may be five minutes behind.
  expect(certificate.validFromDate.getTime()).toBe(Math.floor((now - 300_000) / 1000) * 1000);
});

test('a lifetime has its bounds, and does not outlive the CA', () => {
  const now = Math.floor(Date.now() / 1000) * 1000;
  const directory = pkiDirectory(now, { lifetimeMs: 500 * DAY_MS });
  const issue = (lifetimeMs: number, at = now) => issueFor(directory, clientOrder('trainer', { lifetimeMs }), at);
  expect(() => issue(5 * 60_000 - 1)).toThrow('a leaf certificate cannot live for');
  expect(issue(5 * 60_000).entry.lifetimeMs).toBe(300_000);
  expect(() => issue(397 * DAY_MS + 1)).toThrow('a leaf certificate cannot live for');
  expect(issue(397 * DAY_MS).entry.lifetimeMs).toBe(397 * DAY_MS);
  const later = now + 500 * DAY_MS - HOUR_MS;
  expect(() => issue(HOUR_MS + 1, later)).toThrow(/the CA of tenant acme ends at .* before a certificate of/);
  expect(issue(HOUR_MS, later).entry.lifetimeMs).toBe(HOUR_MS);
});

test('a name is of one identity', () => {
  const directory = pkiDirectory();
  issueFor(directory, clientOrder('trainer'));
  const other = clientOrder('trainer', { spiffeId: 'spiffe://acme.example/other' });
  expect(() => issueFor(directory, other)).toThrow(
    'client certificate trainer of tenant acme is for spiffe://acme.example/trainer',
  );
  expect(directory.readLedger(ACME).certificates).toHaveLength(1);
});

test('several are issued all or none', () => {
  const directory = pkiDirectory();
  const orders = [clientOrder('one'), clientOrder('two', { lifetimeMs: 1 })];
  const none = { authority: undefined, leaf: undefined };
  expect(() => issueLeafs(directory, directory.readLedger(ACME), orders, none, Date.now())).toThrow('cannot live for');
  expect(directory.readLedger(ACME).certificates).toEqual([]);
});

test('a foreign request is signed without its key ever being here, and only its key counts', () => {
  const folder = temporaryDirectory();
  const csr = join(folder, 'edge.csr');
  const key = join(folder, 'edge.key');
  const openssl = ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key];
  const wishes = [
    '-subj',
    '/CN=root',
    '-addext',
    'basicConstraints=CA:TRUE',
    '-addext',
    'subjectAltName=DNS:evil.test',
  ];
  execFileSync('openssl', [...openssl, '-out', csr, ...wishes], { stdio: 'pipe' });
  const directory = pkiDirectory();
  const leaf = issueFor(directory, clientOrder('edge', { foreignKey: readRequestKey(csr) }));
  expect(leaf.keyFile).toBe(undefined);
  expect(leaf.entry.key).toBe('elsewhere');
  const certificate = new X509Certificate(readFileSync(leaf.chainFile));
  expect(certificate.checkPrivateKey(createPrivateKey(readFileSync(key)))).toBe(true);
  expect([certificate.subjectAltName, certificate.ca, certificate.subject]).toEqual([
    'URI:spiffe://acme.example/edge',
    false,
    undefined,
  ]);
  expect(opensslVerdict(directory, leaf.chainFile, '-purpose', 'sslclient')).toBe('OK');
  writeFileSync(csr, readFileSync(csr, 'utf8').replace(/A/, 'B'));
  expect(() => readRequestKey(csr)).toThrow(csr);
});
