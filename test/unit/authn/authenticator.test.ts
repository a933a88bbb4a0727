import { createHash, createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Authenticator, type AuthenticatorDeps, type Caller } from '../../../src/authn/authenticator.ts';
import { type Presented, parseCredentials } from '../../../src/authn/credentials.ts';
import { Directory } from '../../../src/authn/directory.ts';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import { issueClient } from '../../../src/identity/issue.ts';
import type { Peer } from '../../../src/identity/peer.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import type { Result } from '../../../src/kernel/result.ts';
import { FakeIssuer, TEST_NOW_SECONDS, type TokenAlgorithm } from '../../fakes/tokens.ts';
import { fakeTenant, micros } from '../../fakes/trust.ts';

const acme = fakeTenant('acme');
const globex = fakeTenant('globex');
const directory = new Directory([acme.config, globex.config]);
const NOW = TEST_NOW_SECONDS;
const acmePeer = acme.peer();

type Verdict = Result<Caller, Denial>;

function authenticator(changes: Partial<TenantConfig> = {}, deps: AuthenticatorDeps = {}): Authenticator {
  return new Authenticator({ ...acme.config, ...changes }, directory, deps);
}

function presented(token?: string, apiKey?: string): Presented {
  const parsed = parseCredentials(token === undefined ? undefined : `Bearer ${token}`, apiKey);
  if (!parsed.ok) throw new Error(parsed.error.kind);
  return parsed.value;
}

function kindOf(verdict: Verdict): string {
  return verdict.ok ? `accepted as ${verdict.value.id}` : verdict.error.kind;
}

async function outcome(by: Authenticator, what: Presented, peer: Peer = acmePeer, seconds = NOW): Promise<string> {
  return kindOf(await by.authenticate(peer, what, micros(seconds)));
}

async function callerOf(by: Authenticator, what: Presented, peer: Peer = acmePeer, seconds = NOW): Promise<Caller> {
  const verdict = await by.authenticate(peer, what, micros(seconds));
  if (!verdict.ok) throw new Error(JSON.stringify(verdict.error));
  return verdict.value;
}

async function settled(by: Authenticator, what: Presented): Promise<Verdict> {
  return by.authenticate(acmePeer, what, micros(NOW));
}

function isAsync(verdict: unknown): boolean {
  return verdict instanceof Promise;
}

describe('who a caller is', () => {
  test('with a certificate alone: its SPIFFE id', async () => {
    const caller = await callerOf(authenticator(), presented());
    expect(caller).toMatchObject({
      id: 'cert:spiffe://acme.example/client',
      kind: 'certificate',
      subject: undefined,
      keyId: undefined,
      certificateId: 'spiffe://acme.example/client',
      expiresAt: micros(acmePeer.certificate.notAfterSeconds),
    });
    expect(caller.tenant).toMatchObject({ id: 'acme', slot: 0 });
  });

  test('with a token: its subject', async () => {
    expect(await callerOf(authenticator(), presented(acme.issuer.token()))).toMatchObject({
      id: 'token:alice',
      kind: 'token',
      subject: 'alice',
      issuer: 'https://acme.idp.test',
      certificateId: 'spiffe://acme.example/client',
      expiresAt: micros(NOW + 3600 + 30),
    });
  });

  test('with an API key: its id', async () => {
    const caller = await callerOf(authenticator(), presented(undefined, acme.apiKey));
    expect(caller).toMatchObject({ id: 'key:acme-key', kind: 'api-key', keyId: 'acme-key' });
  });

  test('with everything: the token’s subject, and the others for the bindings', async () => {
    expect(await callerOf(authenticator(), presented(acme.issuer.token(), acme.apiKey))).toMatchObject({
      id: 'token:alice',
      kind: 'token',
      subject: 'alice',
      keyId: 'acme-key',
      certificateId: 'spiffe://acme.example/client',
    });
  });

  test('until the first of its credentials ends', async () => {
    const apiKeys = acme.config.apiKeys.map((key) => ({ ...key, expiresAtSeconds: NOW + 10 }));
    const by = authenticator({ apiKeys });
    expect((await callerOf(by, presented(acme.issuer.token(), acme.apiKey))).expiresAt).toBe(micros(NOW + 10));
    const end = acmePeer.certificate.notAfterSeconds;
    const long = acme.issuer.token({ exp: end + 1000 });
    expect((await callerOf(authenticator(), presented(long))).expiresAt).toBe(micros(end));
  });
});

describe('a token of this tenant is accepted', () => {
  test.each<TokenAlgorithm>(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'])(
    'signed with %s when the issuer has it, and refused when it has not',
    async (algorithm) => {
      const tenant = fakeTenant('acme', {}, new FakeIssuer('https://acme.idp.test', algorithm));
      const config = tenant.config;
      expect(await outcome(new Authenticator(config, directory), presented(tenant.issuer.token()), tenant.peer())).toBe(
        'accepted as token:alice',
      );
      const issuers = config.issuers.map((issuer) => ({
        ...issuer,
        algorithms: algorithm === 'ES256' ? ['RS256'] : ['ES256'],
      }));
      const strict = new Authenticator({ ...config, issuers }, directory);
      expect(await outcome(strict, presented(tenant.issuer.token()), tenant.peer())).toBe('token_invalid');
    },
  );

  test('signed with Ed25519 by that name (RFC 9864), where the issuer may', async () => {
    const issuer = new FakeIssuer('https://acme.idp.test', 'EdDSA');
    const json = issuer.jwks().replace('"alg":"EdDSA",', '');
    const tenant = fakeTenant('acme', {}, issuer);
    const verdicts = ['Ed25519', 'EdDSA'].map((algorithm) => {
      const jwks = { kind: 'inline', json } as const;
      const issuers = tenant.config.issuers.map((config) => ({ ...config, jwks, algorithms: [algorithm] }));
      const by = new Authenticator({ ...tenant.config, issuers }, directory);
      return outcome(by, presented(issuer.token({}, { alg: 'Ed25519' })), tenant.peer());
    });
    expect(await Promise.all(verdicts)).toEqual(['accepted as token:alice', 'token_invalid']);
  });

  test('without a kid, also while the issuer has two keys', async () => {
    const issuer = new FakeIssuer('https://acme.idp.test');
    issuer.addKey();
    const tenant = fakeTenant('acme', {}, issuer);
    const by = new Authenticator(tenant.config, directory);
    expect(await outcome(by, presented(issuer.token({}, { kid: undefined })), tenant.peer())).toBe(
      'accepted as token:alice',
    );
    const stranger = new FakeIssuer('https://acme.idp.test').token({}, { kid: undefined });
    expect(await outcome(by, presented(stranger), tenant.peer())).toBe('token_invalid');
  });
});

describe('a token is refused', () => {
  const good = acme.issuer.token();
  const [header = '', claims = '', signature = ''] = good.split('.');
  const flipped = Buffer.from(signature, 'base64url');
  flipped.writeUInt8(flipped.readUInt8(10) ^ 1, 10);

  test.each<[string, string, string]>([
    ['whose signature was touched', 'token_invalid', `${header}.${claims}.${flipped.toString('base64url')}`],
    [
      'whose claims were touched',
      'token_invalid',
      `${header}.${Buffer.from(JSON.stringify({ iss: acme.issuer.issuer, aud: 'bulkhead', sub: 'root', exp: NOW + 60 })).toString('base64url')}.${signature}`,
    ],
    ['that is not signed', 'token_invalid', `${Buffer.from('{"alg":"none"}').toString('base64url')}.${claims}.AAAA`],
    ['of an impostor with the issuer’s name', 'token_invalid', new FakeIssuer('https://acme.idp.test').token()],
    ['of nobody’s issuer', 'token_invalid', new FakeIssuer('https://evil.test').token()],
    ['for another audience', 'token_invalid', acme.issuer.token({ aud: 'billing' })],
    ['that never ends', 'token_invalid', acme.issuer.token({ exp: undefined })],
    ['that has ended', 'token_expired', acme.issuer.token({ exp: NOW - 30 })],
    ['that is not yet valid', 'token_invalid', acme.issuer.token({ nbf: NOW + 31 })],
    ['with a key of its own', 'token_invalid', acme.issuer.token({}, { jwk: { kty: 'EC' } })],
    ['without an issuer', 'token_invalid', acme.issuer.token({ iss: undefined })],
    ['with a kid that nobody knows', 'token_invalid', acme.issuer.token({}, { kid: 'unknown' })],
    ['that is no token at all', 'token_invalid', 'x'],
  ])('%s: %s', async (_what, kind, token) => {
    expect(await outcome(authenticator(), presented(token))).toBe(kind);
    expect(await outcome(authenticator(), presented(good))).toBe('accepted as token:alice');
  });

  test('although a valid key comes with it', async () => {
    expect(await outcome(authenticator(), presented('a.b.c', acme.apiKey))).toBe('token_invalid');
  });

  test('when its algorithm is symmetric and its key the issuer’s public one', async () => {
    const rsa = fakeTenant('acme', {}, new FakeIssuer('https://acme.idp.test', 'RS256'));
    const issuers = rsa.config.issuers.map((issuer) => ({ ...issuer, algorithms: ['RS256', 'HS256'] }));
    const input = [
      JSON.stringify({ alg: 'HS256', kid: rsa.issuer.kid }),
      JSON.stringify({ iss: rsa.issuer.issuer, aud: 'bulkhead', sub: 'root', exp: NOW + 60 }),
    ]
      .map((part) => Buffer.from(part).toString('base64url'))
      .join('.');
    const forged = `${input}.${createHmac('sha256', rsa.issuer.jwks()).update(input).digest('base64url')}`;
    expect(await outcome(new Authenticator({ ...rsa.config, issuers }, directory), presented(forged), rsa.peer())).toBe(
      'token_invalid',
    );
  });
});

describe('what names another tenant is refused as an attempt to cross', () => {
  test('the other tenant’s token over this certificate', async () => {
    const token = globex.issuer.token();
    expect(await outcome(authenticator(), presented(token))).toBe('foreign_token_unproven');
    const trusting = authenticator({ issuers: [...acme.config.issuers, ...globex.config.issuers] });
    expect(await outcome(trusting, presented(token))).toBe('accepted as token:alice');
  });

  test('the other tenant’s key over this certificate', async () => {
    expect(await outcome(authenticator(), presented(undefined, globex.apiKey))).toBe('tenant_mismatch');
    const trusting = authenticator({ apiKeys: globex.config.apiKeys });
    expect(await outcome(trusting, presented(undefined, globex.apiKey))).toBe('accepted as key:globex-key');
  });

  test('this tenant’s token with the other tenant’s key, and the reverse', async () => {
    expect(await outcome(authenticator(), presented(acme.issuer.token(), globex.apiKey))).toBe('tenant_mismatch');
    expect(await outcome(authenticator(), presented(globex.issuer.token(), acme.apiKey))).toBe(
      'foreign_token_unproven',
    );
  });

  test('the other tenant’s claim in a token of an issuer that serves both', async () => {
    const issuers = acme.config.issuers.map((issuer) => ({ ...issuer, tenantClaim: 'org' }));
    const by = authenticator({ issuers });
    expect(await outcome(by, presented(acme.issuer.token({ org: 'globex' })))).toBe('tenant_mismatch');
    expect(await outcome(by, presented(acme.issuer.token({ org: 'acme' })))).toBe('accepted as token:alice');
    expect(await outcome(authenticator(), presented(acme.issuer.token({ org: 'globex' })))).toBe(
      'accepted as token:alice',
    );
  });

  test('a connection of the other tenant', async () => {
    expect(await outcome(authenticator(), presented(), globex.peer())).toBe('tenant_mismatch');
    expect(await outcome(authenticator(), presented(acme.issuer.token()), globex.peer())).toBe('tenant_mismatch');
  });
});

describe('an API key', () => {
  const wrong = 'bk_acme-key_wrong';
  const config = acme.config.apiKeys[0];
  if (config === undefined) throw new Error('the fake tenant has a key');

  test.each([
    ['unknown', {}, 'bk_nobody_secret'],
    ['wrong_secret', {}, wrong],
    ['revoked', { apiKeys: [{ ...config, revoked: true }] }, acme.apiKey],
    ['expired', { apiKeys: [{ ...config, expiresAtSeconds: NOW }] }, acme.apiKey],
    ['wrong_secret', { apiKeys: [{ ...config, revoked: true }] }, wrong],
  ])('is refused as %s', async (why, changes, key) => {
    const verdict = await authenticator(changes).authenticate(acmePeer, presented(undefined, key), micros(NOW));
    expect(verdict).toEqual({ ok: false, error: { kind: 'api_key_invalid', why } });
    expect(await outcome(authenticator(), presented(undefined, acme.apiKey))).toBe('accepted as key:acme-key');
  });

  test('is good until its last moment', async () => {
    const by = authenticator({ apiKeys: [{ ...config, expiresAtSeconds: NOW }] });
    expect(await outcome(by, presented(undefined, acme.apiKey), acmePeer, NOW - 0.000_001)).toBe(
      'accepted as key:acme-key',
    );
  });
});

describe('what suffices', () => {
  test.each<[TenantConfig['accept'], string, string, string]>([
    [
      ['certificate'],
      'accepted as cert:spiffe://acme.example/client',
      'accepted as token:alice',
      'accepted as key:acme-key',
    ],
    [['token'], 'credentials_missing', 'accepted as token:alice', 'credentials_missing'],
    [['api-key'], 'credentials_missing', 'credentials_missing', 'accepted as key:acme-key'],
    [['token', 'api-key'], 'credentials_missing', 'accepted as token:alice', 'accepted as key:acme-key'],
  ])('%j: nothing %s, token %s, key %s', async (accept, nothing, token, key) => {
    const by = authenticator({ accept });
    expect(await outcome(by, presented())).toBe(nothing);
    expect(await outcome(by, presented(acme.issuer.token()))).toBe(token);
    expect(await outcome(by, presented(undefined, acme.apiKey))).toBe(key);
  });

  test('is said to whom presented nothing', async () => {
    const verdict = await authenticator({ accept: ['token', 'api-key'] }).authenticate(
      acmePeer,
      presented(),
      micros(NOW),
    );
    expect(verdict).toEqual({ ok: false, error: { kind: 'credentials_missing', accepted: ['token', 'api-key'] } });
  });
});

describe('remembering', () => {
  test('the first verdict on a token is asynchronous, the next ones are not, and name the same caller', async () => {
    const by = authenticator();
    const what = presented(acme.issuer.token());
    const first = by.authenticate(acmePeer, what, micros(NOW));
    expect(isAsync(first)).toBe(true);
    const caller = kindOf(await first);
    expect(caller).toBe('accepted as token:alice');
    const second = by.authenticate(acmePeer, what, micros(NOW));
    expect(isAsync(second)).toBe(false);
    expect(second).toBe(by.authenticate(acme.peer(), presented(what.authorization?.slice(7)), micros(NOW)));
    expect((await first).ok && (await first)).toBe(second);
  });

  test('keys and certificates are answered at once, with the same caller each time', () => {
    const by = authenticator();
    for (const what of [presented(), presented(undefined, acme.apiKey)]) {
      const verdict = by.authenticate(acmePeer, what, micros(NOW));
      expect(isAsync(verdict)).toBe(false);
      expect(by.authenticate(acme.peer(), what, micros(NOW))).toBe(verdict);
    }
  });

  test('another certificate, or a key beside the token, makes another caller', async () => {
    const by = authenticator();
    const token = acme.issuer.token();
    const one = await callerOf(by, presented(token));
    const otherClient = issueClient(acme.pki.ca, { spiffeId: 'spiffe://acme.example/other', days: 1 });
    const other = await callerOf(by, presented(token), acme.peer(otherClient));
    const withKey = await callerOf(by, presented(token, acme.apiKey));
    expect(new Set([one, other, withKey]).size).toBe(3);
    expect([one.certificateId, other.certificateId]).toEqual([
      'spiffe://acme.example/client',
      'spiffe://acme.example/other',
    ]);
    expect([one.keyId, withKey.keyId]).toEqual([undefined, 'acme-key']);
    expect(await callerOf(by, presented(token, acme.apiKey))).toBe(withKey);
  });

  test('a wrong key is not forgiven because the token is remembered', async () => {
    const by = authenticator();
    const token = acme.issuer.token();
    await callerOf(by, presented(token, acme.apiKey));
    expect(await outcome(by, presented(token, 'bk_acme-key_wrong'))).toBe('api_key_invalid');
  });

  test('a remembered token ends when it ends', async () => {
    const by = authenticator();
    const what = presented(acme.issuer.token({ exp: NOW + 10 }));
    expect(await outcome(by, what)).toBe('accepted as token:alice');
    expect(await outcome(by, what, acmePeer, NOW + 39.999)).toBe('accepted as token:alice');
    expect(by.authenticate(acmePeer, what, micros(NOW + 40))).toEqual({
      ok: false,
      error: { kind: 'token_expired', expiredAtSeconds: NOW + 10 },
    });
  });

  test('a connection that outlives its certificate ends with it', async () => {
    const end = acmePeer.certificate.notAfterSeconds;
    const by = authenticator();
    expect(await outcome(by, presented(), acmePeer, end - 1)).toBe('accepted as cert:spiffe://acme.example/client');
    expect(await outcome(by, presented(), acmePeer, end)).toBe('certificate_unacceptable');
  });

  test('calls that bring the same new token wait for one verification', async () => {
    const by = authenticator({}, { limits: { maxPendingVerifications: 1 } });
    const what = presented(acme.issuer.token());
    const verdicts = await Promise.all(Array.from({ length: 50 }, () => settled(by, what)));
    expect(new Set(verdicts).size).toBe(1);
    expect(verdicts.every((verdict) => verdict.ok)).toBe(true);
  });

  test('n tokens are verified at once, the one after them is refused and may come again', async () => {
    const by = authenticator({}, { limits: { maxPendingVerifications: 2 } });
    const tokens = ['a', 'b', 'c'].map((sub) => presented(acme.issuer.token({ sub })));
    const verdicts = await Promise.all(tokens.map((what) => settled(by, what)));
    expect(verdicts.map(kindOf)).toEqual(['accepted as token:a', 'accepted as token:b', 'overloaded']);
    expect(await outcome(by, presented(acme.issuer.token({ sub: 'c' })))).toBe('accepted as token:c');
  });

  test('n tokens are remembered, of n + 1 one is verified again', async () => {
    const count = async (tokens: number): Promise<number> => {
      const by = authenticator({}, { limits: { maxCachedTokens: 4 } });
      const all = Array.from({ length: tokens }, (_, index) =>
        presented(acme.issuer.token({ sub: `s${String(index)}` })),
      );
      for (const what of all) await by.authenticate(acmePeer, what, micros(NOW));
      let again = 0;
      for (const what of all.toReversed()) if (isAsync(by.authenticate(acmePeer, what, micros(NOW)))) again += 1;
      return again;
    };
    expect(await count(4)).toBe(0);
    expect(await count(5)).toBe(1);
  });

  test('a tenant that floods its own tokens has its own forgotten, and never another’s', async () => {
    const limits = { maxCachedTokens: 4 };
    const by = { acme: authenticator({}, { limits }), globex: new Authenticator(globex.config, directory, { limits }) };
    const globexPeer = globex.peer();
    const [own, others] = [presented(acme.issuer.token()), presented(globex.issuer.token())];
    await by.acme.authenticate(acmePeer, own, micros(NOW));
    await by.globex.authenticate(globexPeer, others, micros(NOW));
    for (let index = 0; index < 20; index++) {
      await by.acme.authenticate(acmePeer, presented(acme.issuer.token({ sub: `s${index}` })), micros(NOW));
      const again = by.globex.authenticate(globexPeer, others, micros(NOW));
      expect(isAsync(again)).toBe(false);
      expect(again).toMatchObject({ ok: true });
    }
    expect(isAsync(by.acme.authenticate(acmePeer, own, micros(NOW)))).toBe(true);
  });

  test('tokens are remembered up to so many bytes together', async () => {
    const token = acme.issuer.token();
    const room = `Bearer ${token}`.length;
    const remembers = async (maxCachedTokenBytes: number): Promise<boolean> => {
      const by = authenticator({}, { limits: { maxCachedTokenBytes } });
      await by.authenticate(acmePeer, presented(token), micros(NOW));
      return !isAsync(by.authenticate(acmePeer, presented(token), micros(NOW)));
    };
    expect([await remembers(room), await remembers(room - 1)]).toEqual([true, false]);
  });

  test('a refused token is not remembered as anything', async () => {
    const by = authenticator();
    const what = presented(acme.issuer.token({ aud: 'billing' }));
    await by.authenticate(acmePeer, what, micros(NOW));
    expect(isAsync(by.authenticate(acmePeer, what, micros(NOW)))).toBe(true);
  });
});

test('a caller cannot be forged', async () => {
  const genuine = await callerOf(authenticator(), presented());
  const { tenant, id, kind, subject, issuer, keyId, certificateId, expiresAt } = genuine;
  // @ts-expect-error an object that looks like a caller is none
  const forged: Caller = { tenant, id, kind, subject, issuer, keyId, certificateId, expiresAt };
  const { constructor } = Object.getPrototypeOf(genuine);
  expect(constructor.isGenuine(genuine)).toBe(true);
  expect(constructor.isGenuine(forged)).toBe(false);
});

test('an unknown key id costs a hash like a known one', () => {
  // Not a timing test: both ways go through the same comparison, which would throw for digests of different lengths.
  const sha256 = createHash('sha256').update('x').digest('hex');
  const by = authenticator({ apiKeys: [{ id: 'k', sha256, expiresAtSeconds: undefined, revoked: false }] });
  const verdict = by.authenticate(acmePeer, presented(undefined, 'bk_other_x'), micros(NOW));
  expect(verdict).toEqual({ ok: false, error: { kind: 'api_key_invalid', why: 'unknown' } });
});
