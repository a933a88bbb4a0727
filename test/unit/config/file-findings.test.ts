/**
 * What can be wrong with the files that a tenant's file names: certificates, keys, CAs, key sets.
 */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCa, type IssuedCertificate, issueClient, issueServer } from '../../../src/identity/issue.ts';
import { findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, write, writeSmall } from '../../fakes/configuration.ts';

const root = emptyDirectory();
const template = join(root, 'template');
const NAMES = ['acme.test', 'alt.acme.test'];
const DAY_MS = 86_400_000;
let made = 0;

beforeAll(() => {
  writeSmall(template);
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

type Spoil = (directory: string) => void;

function spoilt(spoil: Spoil): string {
  made += 1;
  const directory = join(root, String(made));
  mkdirSync(directory);
  cpSync(template, directory, { recursive: true });
  spoil(directory);
  return directory;
}

/** Writes one of acme's files. */
const file =
  (name: string, text: string): Spoil =>
  (directory) =>
    write(join(directory, name), text);

/** Gives acme another server certificate. */
const serves =
  ({ certPem, keyPem }: IssuedCertificate): Spoil =>
  (directory) => {
    write(join(directory, 'pki/acme/server.pem'), certPem);
    write(join(directory, 'pki/acme/server-key.pem'), keyPem);
  };

const CHAIN = '4:10 certificate.chain';
const KEY = '5:8 certificate.key';
const CA = '6:11 clientCa';
const JWKS = '13:13 issuers[0].jwks.file';

/** A CA that OpenSSL takes and we do not. */
function weakCa(): string {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1', '-nodes', '-keyout', '/dev/null'];
  const args = ['req', '-x509', ...key, '-subj', '/CN=weak', '-days', '1'];
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}

type Case = readonly [wrong: string, spoil: Spoil, at: string, message: RegExp, fix: RegExp];

async function expectFinding(severity: 'error' | 'warning', [, spoil, at, message, fix]: Case): Promise<void> {
  const { refused, lines } = await findingsOf(spoilt(spoil));
  expect(refused).toBe(severity === 'error');
  expect(lines).toContainEqual({
    at: `tenants/acme.yaml:${at}`,
    severity,
    message: expect.stringMatching(message),
    fix: expect.stringMatching(fix),
  });
}

const ca = createCa({ commonName: 'CA', days: 365 });
const other = createCa({ commonName: 'other CA', days: 365 });
const good = issueServer(ca, { dnsNames: NAMES, days: 365 });
const expired = issueServer(ca, { dnsNames: NAMES, days: 1, notAfter: new Date(Date.now() - DAY_MS) });
const intermediate = createCa(
  { commonName: 'intermediate', days: 365 },
  createCa({ commonName: 'root', days: 365, pathLength: 1 }),
);
const rsa1024 = (): string =>
  generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({ type: 'pkcs8', format: 'pem' });

const CERTIFICATES: readonly Case[] = [
  [
    'a missing chain',
    (dir) => rmSync(join(dir, 'pki/acme/server.pem')),
    CHAIN,
    /server\.pem,.* does not exist/,
    /path/,
  ],
  [
    'a chain that is a directory',
    (dir) => edit(join(dir, 'tenants/acme.yaml'), '../pki/acme/server.pem', '../pki'),
    CHAIN,
    /not a file/,
    /path/,
  ],
  [
    'a chain without certificate',
    file('pki/acme/server.pem', 'hello'),
    CHAIN,
    /holds no PEM certificate/,
    /BEGIN CERT/,
  ],
  [
    'a damaged certificate',
    file('pki/acme/server.pem', good.certPem.replace(/MII.../, 'MIIAAA')),
    CHAIN,
    /does not parse/,
    /PEM/,
  ],
  [
    'a certificate cut off',
    file('pki/acme/server.pem', good.certPem.slice(0, 200)),
    CHAIN,
    /no PEM certificate/,
    /PEM/,
  ],
  [
    'a second certificate cut off',
    serves({ ...good, certPem: good.certPem + ca.certPem.slice(0, 90) }),
    CHAIN,
    /cut off/,
    /PEM/,
  ],
  ['an expired certificate', serves(expired), CHAIN, /server\.pem expired at \d{4}-/, /renew/],
  [
    'an intermediate out of order',
    serves({
      ...issueServer(intermediate, { dnsNames: NAMES, days: 9 }),
      certPem: issueServer(intermediate, { dnsNames: NAMES, days: 9 }).certPem + other.certPem,
    }),
    CHAIN,
    /certificate 2 .*other CA.* did not issue certificate 1/,
    /order the file/,
  ],
  [
    'a client’s certificate',
    serves(issueClient(ca, { dnsNames: NAMES, days: 365 })),
    CHAIN,
    /not allowed to be a server/,
    /serverAuth/,
  ],
  ['a missing key', (dir) => rmSync(join(dir, 'pki/acme/server-key.pem')), KEY, /does not exist/, /path/],
  ['a key that is none', file('pki/acme/server-key.pem', good.certPem), KEY, /no PEM private key/, /BEGIN PRIVATE KEY/],
  [
    'a damaged key',
    file('pki/acme/server-key.pem', good.keyPem.replace(/MIG.../, 'MIGAAA')),
    KEY,
    /does not parse/,
    /again/,
  ],
  [
    'a key of another certificate',
    file('pki/acme/server-key.pem', other.keyPem),
    KEY,
    /not the key of the certificate/,
    /made with/,
  ],
  ['a short RSA key', file('pki/acme/server-key.pem', rsa1024()), KEY, /not the key/, /made with/],
  [
    'an encrypted key',
    file(
      'pki/acme/server-key.pem',
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
        type: 'pkcs8',
        format: 'pem',
        cipher: 'aes-256-cbc',
        passphrase: 'x',
      }),
    ),
    KEY,
    /encrypted/,
    /openssl pkey/,
  ],
  [
    'a name the certificate has not',
    serves(issueServer(ca, { dnsNames: ['acme.test'], days: 9 })),
    '2:26 serverNames[1]',
    /alt\.acme\.test is not among .*DNS:acme\.test/,
    /SAN/,
  ],
  ['a missing client CA', (dir) => rmSync(join(dir, 'pki/acme/client-ca.pem')), CA, /does not exist/, /path/],
  ['a client CA that is a leaf', file('pki/acme/client-ca.pem', good.certPem), CA, /not a CA/, /certificate of the CA/],
  [
    'a client CA with a key that we do not take',
    file('pki/acme/client-ca.pem', weakCa()),
    CA,
    /holds a CA with a key on curve secp256k1 \(CN=weak\): whoever it signed is refused/,
    /issue from a CA with P-256/,
  ],
  [
    'a client CA that has expired',
    file(
      'pki/acme/client-ca.pem',
      createCa({ commonName: 'old', days: 1, notAfter: new Date(Date.now() - DAY_MS) }).certPem,
    ),
    CA,
    /expired at .*CN=old/,
    /renew/,
  ],
];

describe('certificates and keys', () => {
  test.each(CERTIFICATES)('finds %s at its place', (...found) => expectFinding('error', found));

  test('an intermediate in its place is no finding', async () => {
    const leaf = issueServer(intermediate, { dnsNames: NAMES, days: 365 });
    const { lines } = await findingsOf(spoilt(serves({ ...leaf, certPem: leaf.certPem + intermediate.certPem })));
    expect(lines).toEqual([]);
  });

  test('a wildcard in the certificate covers a server name', async () => {
    const wild = issueServer(ca, { dnsNames: ['acme.test', '*.acme.test'], days: 365 });
    expect((await findingsOf(spoilt(serves(wild)))).lines).toEqual([]);
  });

  test('an old CA beside the new one is no finding, since that is how a CA is replaced', async () => {
    const old = createCa({ commonName: 'old', days: 1, notAfter: new Date(Date.now() - DAY_MS) });
    const both = file('pki/acme/client-ca.pem', old.certPem + ca.certPem);
    expect((await findingsOf(spoilt(both))).lines).toEqual([]);
  });

  test.runIf(process.getuid?.() !== 0)('a key that may not be read is found', async () => {
    const directory = spoilt((dir) => chmodSync(join(dir, 'pki/acme/server-key.pem'), 0));
    const { lines } = await findingsOf(directory);
    expect(lines.map((line) => line.at)).toEqual([`tenants/acme.yaml:${KEY}`]);
    expect(lines[0]?.message).toMatch(/may not be read by this user/);
  });
});

describe('the time that a certificate has left', () => {
  const start = Date.now();
  /** A certificate of 90 days, judged later. */
  const judged = async (days: number, afterMs = 0) => {
    const directory = spoilt(serves(issueServer(ca, { dnsNames: NAMES, days: 90 })));
    return findingsOf(directory, { nowMs: () => start + days * DAY_MS + afterMs });
  };

  test('is no finding two weeks before its end', async () => {
    expect((await judged(76, -60_000)).lines).toEqual([]);
  });

  test('is a warning within two weeks of its end', async () => {
    const { refused, lines } = await judged(76, 60_000);
    expect(refused).toBe(false);
    expect(lines.map((line) => [line.at, line.severity])).toEqual([[`tenants/acme.yaml:${CHAIN}`, 'warning']]);
    expect(lines[0]?.message).toMatch(/expires soon/);
  });

  test('is an error once it is over', async () => {
    const { refused, lines } = await judged(90, 60_000);
    expect(refused).toBe(true);
    expect(lines[0]?.message).toMatch(/expired at/);
  });

  test('is an error before it begins', async () => {
    const { refused, lines } = await findingsOf(spoilt(serves(good)), { nowMs: () => start - DAY_MS });
    expect(refused).toBe(true);
    expect(lines[0]?.message).toMatch(/is not valid before/);
    expect(lines[0]?.fix).toMatch(/clock/);
  });

  test('of a certificate of one day is no finding in its first two thirds', async () => {
    const directory = spoilt(serves(issueServer(ca, { dnsNames: NAMES, days: 1 })));
    expect((await findingsOf(directory, { nowMs: () => start + 0.6 * DAY_MS })).lines).toEqual([]);
    expect((await findingsOf(directory, { nowMs: () => start + 0.7 * DAY_MS })).lines.length).toBe(1);
  });
});

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const publicJwk = ec.publicKey.export({ format: 'jwk' });
const privateJwk = ec.privateKey.export({ format: 'jwk' });
const rsaJwk = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' });
const shortRsaJwk = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });
const keys = (...set: readonly unknown[]): Spoil => file('jwks/acme.json', JSON.stringify({ keys: set }));
const NO_KEY = /holds no key that a token could be verified with/;

const KEY_SETS: readonly Case[] = [
  ['a missing key set', (dir) => rmSync(join(dir, 'jwks/acme.json')), JWKS, /does not exist/, /path/],
  ['a key set that is no JSON', file('jwks/acme.json', '{'), JWKS, /is not JSON/, /"keys"/],
  ['a key set without keys', file('jwks/acme.json', '{"key": []}'), JWKS, /has no list "keys"/, /"keys"/],
  ['an entry that is no key', keys(5), JWKS, /not a key/, /"keys"/],
  ['an empty key set', keys(), JWKS, NO_KEY, /ES256/],
  ['more than 200 keys', keys(...Array.from({ length: 201 }, () => publicJwk)), JWKS, /more than 200 keys/, /keys/],
  ['keys for encryption only', keys({ ...publicJwk, use: 'enc' }), JWKS, NO_KEY, /ES256/],
  ['keys of other algorithms only', keys(rsaJwk), JWKS, NO_KEY, /ES256/],
  [
    'neither file nor URL',
    (dir) => edit(join(dir, 'tenants/acme.yaml'), '\n      file: ../jwks/acme.json', ' {}'),
    '12:11 issuers[0].jwks',
    /neither/,
    /file: or url:/,
  ],
  [
    'file and URL',
    (dir) => edit(join(dir, 'tenants/acme.yaml'), 'acme.json', 'acme.json\n      url: https://x.test'),
    '13:7 issuers[0].jwks',
    /both/,
    /either/,
  ],
  [
    'a CA for a file',
    (dir) => edit(join(dir, 'tenants/acme.yaml'), 'acme.json', 'acme.json\n      ca: x'),
    '14:11 issuers[0].jwks.ca',
    /no meaning for a file/,
    /remove/,
  ],
];

describe('key sets', () => {
  test.each(KEY_SETS)('finds %s at its place', (...found) => expectFinding('error', found));

  test('200 keys are not too many', async () => {
    expect((await findingsOf(spoilt(keys(...Array.from({ length: 200 }, () => publicJwk))))).refused).toBe(false);
  });

  test('a private key is refused, even beside a good one, and is not repeated', async () => {
    const { refused, lines } = await findingsOf(spoilt(keys(publicJwk, privateJwk)));
    expect(refused).toBe(true);
    expect(lines.map((line) => [line.at, line.message])).toEqual([
      [`tenants/acme.yaml:${JWKS}`, '../jwks/acme.json keys[1] holds private members (d)'],
    ]);
    expect(JSON.stringify(lines)).not.toContain(privateJwk.d);
  });

  test('a symmetric key is refused', async () => {
    const { refused, lines } = await findingsOf(spoilt(keys(publicJwk, { kty: 'oct', k: 'c2VjcmV0' })));
    expect(refused).toBe(true);
    expect(lines[0]?.message).toMatch(/private members \(k\)/);
  });

  test.each([
    ['for encryption', { ...publicJwk, use: 'enc' }, /use is not "sig"/],
    ['of an unknown type', { kty: 'XYZ' }, /no algorithm that is supported/],
    ['of an unknown curve', { ...publicJwk, crv: 'secp256k1' }, /no algorithm that is supported/],
    ['whose alg is not its type’s', { ...publicJwk, alg: 'RS256' }, /"alg" does not fit/],
    ['that does not parse', { ...publicJwk, x: 'AA' }, /does not parse/],
  ])('a key %s beside a good one is a warning', async (_, key, message) => {
    const { refused, lines } = await findingsOf(spoilt(keys(publicJwk, key)));
    expect(refused).toBe(false);
    expect(lines.length).toBe(1);
    expect(lines[0]?.message).toMatch(message);
  });

  test('a short RSA key is not used', async () => {
    const { lines } = await findingsOf(
      spoilt((directory) => {
        edit(join(directory, 'tenants/acme.yaml'), '[ES256]', '[RS256]');
        keys(shortRsaJwk)(directory);
      }),
    );
    expect(lines.map((line) => line.message).join()).toMatch(/RSA with 1024 bits is too short/);
  });
});

describe('the URL of a key set', () => {
  const withUrl = (url: string) =>
    findingsOf(spoilt((dir) => edit(join(dir, 'tenants/acme.yaml'), 'file: ../jwks/acme.json', `url: "${url}"`)));

  test.each([
    ['no URL', 'login.acme.test', /is not a URL/],
    ['clear text', 'http://login.acme.test/jwks', /http:\/\/ is not safe/],
    ['clear text to another host', 'http://10.0.0.1/jwks', /http:\/\/ is not safe/],
    ['another scheme', 'file:///etc/passwd', /file:\/\/ is not safe/],
    ['credentials', 'https://me:secret@login.acme.test/jwks', /user or password/],
    ['a fragment', 'https://login.acme.test/jwks#x', /fragment/],
    ['the metadata service', 'https://169.254.169.254/latest', /link-local/],
    ['the metadata service in decimal', 'https://2852039166/latest', /link-local/],
    ['the metadata service as mapped IPv6', 'https://[::ffff:169.254.169.254]/latest', /link-local/],
    ['link-local IPv6', 'https://[fe80::1]/x', /link-local/],
    ['the unspecified address', 'https://0.0.0.0/x', /unspecified/],
  ])('%s is refused', async (_, url, message) => {
    const { refused, lines } = await withUrl(url);
    expect(refused).toBe(true);
    expect(lines.map((line) => line.at)).toEqual(['tenants/acme.yaml:13:12 issuers[0].jwks.url']);
    expect(lines[0]?.message).toMatch(message);
    expect(JSON.stringify(lines)).not.toContain('secret');
  });

  test.each(['https://login.acme.test/jwks', 'https://1.1.1.1/jwks'])('%s is allowed', async (url) => {
    expect((await withUrl(url)).lines).toEqual([]);
  });

  test.each([
    ['http://127.0.0.1:8080/jwks', '127.0.0.1 is a loopback address', '127.0.0.0/8'],
    ['http://[::1]:80/jwks', '::1 is a loopback address', '::1'],
    ['http://localhost/j', '127.0.0.1 is a loopback address', '127.0.0.1'],
    ['https://10.1.2.3/jwks', '10.1.2.3 is a private address', '10.0.0.0/8'],
    ['https://192.0.2.1/jwks', '192.0.2.1 is no address of the public internet', '192.0.2.0/24'],
  ])('%s is refused until the main file lets it be asked', async (url, message, range) => {
    const { refused, lines } = await withUrl(url);
    expect(refused).toBe(true);
    expect(lines).toMatchObject([
      {
        at: 'tenants/acme.yaml:13:12 issuers[0].jwks.url',
        message: `${message}, and the main file does not let it be asked`,
      },
    ]);
    const allowed = await findingsOf(
      spoilt((dir) => {
        edit(join(dir, 'tenants/acme.yaml'), 'file: ../jwks/acme.json', `url: "${url}"`);
        edit(join(dir, 'bulkhead.yaml'), 'tenants:', `fetching: { allowAddresses: ["${range}"] }\ntenants:`);
      }),
    );
    expect(allowed.lines).toEqual([]);
  });
});

test('files are named relative to the file that names them, or absolutely', async () => {
  const directory = spoilt((dir) => {
    const absolute = join(dir, 'elsewhere/ca.pem');
    write(absolute, readFileSync(join(dir, 'pki/acme/client-ca.pem'), 'utf8'));
    edit(join(dir, 'tenants/acme.yaml'), '../pki/acme/client-ca.pem', absolute);
  });
  expect((await findingsOf(directory)).lines).toEqual([]);
});
