/**
 * An issuer in a tenant's file: how its tokens are verified.
 */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { IssuerConfig } from '../../../src/config/credentials-config.ts';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, write, writeSmall } from '../../fakes/configuration.ts';

const root = emptyDirectory();
let made = 0;

beforeAll(() => {
  writeSmall(join(root, 'template'));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

/** A configuration whose tenant acme has this instead of its key set. */
function withKeys(text: string, issuer = 'https://login.acme.test'): string {
  made += 1;
  const directory = join(root, String(made));
  mkdirSync(directory);
  cpSync(join(root, 'template'), directory, { recursive: true });
  const file = join(directory, 'tenants/acme.yaml');
  edit(file, 'jwks:\n      file: ../jwks/acme.json', text);
  edit(file, 'issuer: https://login.acme.test', `issuer: ${issuer}`);
  return directory;
}

async function issuerOf(directory: string): Promise<IssuerConfig | undefined> {
  const loaded = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), undefined);
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
  return loaded.value.tenants.find(({ id }) => id === 'acme')?.issuers[0];
}

const messages = async (directory: string): Promise<readonly string[]> =>
  (await findingsOf(directory)).lines.map(({ at, message }) => `${at.split(' ')[1] ?? ''}: ${message}`);

describe('discovery', () => {
  test('takes the issuer for the URL that it is', async () => {
    const bare = await issuerOf(withKeys('discovery: {}'));
    expect(bare?.jwks).toEqual({ kind: 'discovery', caPem: undefined });
    const own = await issuerOf(withKeys('discovery: { ca: ../pki/acme/client-ca.pem }'));
    expect(own?.jwks).toMatchObject({ kind: 'discovery', caPem: expect.stringContaining('BEGIN CERTIFICATE') });
  });

  test.each([
    ['login.acme.test', /issuer: .* is not a URL/],
    ['http://login.acme.test', /issuer: http:\/\/ is not safe/],
    ['https://login.acme.test?tenant=a', /issuer: has a query/],
    ['"https://login.acme.test/#a"', /issuer: has a fragment/],
    ['https://10.1.2.3', /issuer: 10\.1\.2\.3 is a private address/],
    ['https://169.254.169.254', /issuer: .*link-local/],
  ])('needs more than %s', async (issuer, message) => {
    const [first, ...more] = await messages(withKeys('discovery: {}', issuer));
    expect(first).toMatch(message);
    expect(more).toEqual([]);
  });

  test('takes the place of a key set, and one of them must be there', async () => {
    expect(await messages(withKeys('jwks: { file: ../jwks/acme.json }\n    discovery: {}'))).toEqual([
      'issuers[0]: has both jwks and discovery',
    ]);
    expect(await messages(withKeys('profile: jwt'))).toEqual(['issuers[0]: says nowhere how its tokens are verified']);
  });
});

test.each(['certificate', 'connection', 'call'])('a first use by %s may be watched', async (replay) => {
  const directory = withKeys(`jwks: { file: ../jwks/acme.json }\n    replay: ${replay}`);
  expect((await issuerOf(directory))?.replay).toBe(replay);
});

describe('introspection', () => {
  const ask = (text: string, keys = ''): string => withKeys(`${keys}introspection: { clientId: bulkhead, ${text} }`);
  const secret = (directory: string, text: string): string => {
    write(join(directory, 'secrets/acme'), text);
    return directory;
  };
  const SECRET = 'clientSecret: ../secrets/acme';
  const ENDPOINT = 'endpoint: "https://login.acme.test/introspect"';

  test('has its defaults, and needs no keys', async () => {
    const issuer = await issuerOf(secret(ask(`${SECRET}, ${ENDPOINT}`), 's3cret\n'));
    expect(issuer?.jwks).toEqual({ kind: 'none' });
    expect(issuer?.introspection).toEqual({
      endpoint: 'https://login.acme.test/introspect',
      caPem: undefined,
      clientId: 'bulkhead',
      clientSecret: 's3cret',
      method: 'basic',
      clientCertificate: undefined,
      tokens: 'opaque',
      cacheMs: 60_000,
      staleIfErrorMs: 300_000,
    });
  });

  test('may be by certificate, at the place and with the CA that discovery has', async () => {
    const pair = '{ chain: ../pki/acme/server.pem, key: ../pki/acme/server-key.pem }';
    const text = `clientCertificate: ${pair}, tokens: all, cache: 10s, staleIfError: 0s`;
    const issuer = await issuerOf(ask(text, 'discovery: { ca: ../pki/acme/client-ca.pem }\n    '));
    expect(issuer?.introspection).toMatchObject({
      endpoint: undefined,
      caPem: expect.stringContaining('BEGIN CERTIFICATE'),
      clientSecret: undefined,
      clientCertificate: { keyPem: expect.stringContaining('PRIVATE KEY') },
      tokens: 'all',
      cacheMs: 10_000,
      staleIfErrorMs: 0,
    });
  });

  test.each([
    ['no place', `${SECRET}`, 'issuers[0].introspection: says nowhere where the issuer is asked'],
    ['no secret', ENDPOINT, 'issuers[0].introspection: says nowhere how the issuer knows us'],
    [
      'a place that is not safe',
      `${SECRET}, endpoint: "http://login.acme.test/"`,
      'issuers[0].introspection.endpoint: http:// is not safe for what callers are judged by',
    ],
    [
      'a place in the network',
      `${SECRET}, endpoint: "https://10.0.0.1/"`,
      'issuers[0].introspection.endpoint: 10.0.0.1 is a private address, and the main file does not let it be asked',
    ],
    [
      'a method of sending a secret that is not there',
      `${ENDPOINT}, method: post, clientCertificate: { chain: ../pki/acme/server.pem, key: ../pki/acme/server-key.pem }`,
      'issuers[0].introspection.method: has no meaning without a secret',
    ],
  ])('with %s is refused', async (_what, text, message) => {
    expect(await messages(secret(ask(text), 's'))).toEqual([message]);
  });

  test.each(['', '\n', 'two\nlines', 'tab\there', 'ü', 'x'.repeat(1025)])(
    'with the secret %j is refused, and no finding says it',
    async (text) => {
      const found = await messages(secret(ask(`${SECRET}, ${ENDPOINT}`), text));
      expect(found.join()).toMatch(/^issuers\[0\]\.introspection\.clientSecret: .*does not hold a secret/);
      expect(found.join()).not.toContain('lines');
    },
  );

  test('with a secret of 1024 characters is taken', async () => {
    const issuer = await issuerOf(secret(ask(`${SECRET}, ${ENDPOINT}`), 'x'.repeat(1024)));
    expect(issuer?.introspection?.clientSecret).toBe('x'.repeat(1024));
  });

  test('is for one issuer of a tenant: an opaque token does not say whose it is', async () => {
    const text = `introspection: { clientId: b, ${SECRET}, ${ENDPOINT} }`;
    const two = `${text}\n  - issuer: https://other.test\n    audience: bulkhead\n    ${text}`;
    expect(await messages(secret(withKeys(two), 's'))).toEqual([
      'issuers[1].introspection: another issuer is asked about tokens already, and an opaque token does not say whose it is',
    ]);
  });
});
