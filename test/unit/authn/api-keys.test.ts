import { createHash, X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { newSecret } from '../../../src/authn/api-key-secret.ts';
import { ApiKeys } from '../../../src/authn/api-keys.ts';
import { Authenticator } from '../../../src/authn/authenticator.ts';
import { parseCredentials } from '../../../src/authn/credentials.ts';
import { Directory } from '../../../src/authn/directory.ts';
import type { ApiKeyConfig } from '../../../src/config/credentials-config.ts';
import { trailersOnly } from '../../../src/grpc/status-reply.ts';
import { acceptPeer, type Peer } from '../../../src/identity/peer.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import { TEST_NOW_SECONDS } from '../../fakes/tokens.ts';
import { fakeTenant, micros } from '../../fakes/trust.ts';

const NOW = TEST_NOW_SECONDS;
const acme = fakeTenant('acme');
const sha256 = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** A key whose secret is `new`, and was `old` until a minute from now. */
function key(changes: Partial<ApiKeyConfig> = {}): ApiKeyConfig {
  return {
    id: 'batch',
    sha256: sha256('new'),
    expiresAtSeconds: NOW + 600,
    previous: { sha256: sha256('old'), expiresAtSeconds: NOW + 60 },
    revoked: false,
    ...changes,
  };
}

function verdict(config: ApiKeyConfig, secret: string, seconds = NOW, id = 'batch'): Denial | string {
  const tenant = { ...acme.config, apiKeys: [config] };
  const verified = new ApiKeys(tenant, new Directory([tenant])).verify({ id, secret }, micros(seconds));
  return verified.ok ? verified.value.name : verified.error;
}

const refused = (why: string): object => ({ kind: 'api_key_invalid', why });

describe('while a key has two secrets', () => {
  test('both are good, each until its own end', () => {
    expect([verdict(key(), 'new'), verdict(key(), 'old')]).toEqual(['batch', 'batch before']);
    expect(verdict(key(), 'old', NOW + 59.999)).toBe('batch before');
    expect(verdict(key(), 'old', NOW + 60)).toEqual(refused('expired'));
    expect(verdict(key(), 'new', NOW + 599.999)).toBe('batch');
    expect(verdict(key(), 'new', NOW + 600)).toEqual(refused('expired'));
    expect(verdict(key(), 'other')).toEqual(refused('wrong_secret'));
  });

  test('both are refused when it is revoked', () => {
    const config = key({ revoked: true });
    expect([verdict(config, 'new'), verdict(config, 'old')]).toEqual([refused('revoked'), refused('revoked')]);
  });

  test('the one before is nothing without it', () => {
    const { previous: _, ...config } = key();
    expect([verdict(config, 'new'), verdict(config, 'old')]).toEqual(['batch', refused('wrong_secret')]);
  });

  test('a caller has the end of the secret that it brought, also beside a token', async () => {
    const tenant = { ...acme.config, apiKeys: [key()] };
    const by = new Authenticator(tenant, new Directory([tenant]));
    const endOf = async (secret: string, token?: string): Promise<number> => {
      const presented = parseCredentials(token, `bk_batch_${secret}`);
      if (!presented.ok) throw new Error(presented.error.kind);
      const caller = await by.authenticate(acme.peer(), presented.value, micros(NOW));
      if (!caller.ok) throw new Error(caller.error.kind);
      expect(caller.value.keyId).toBe('batch');
      return caller.value.expiresAt;
    };
    const token = `Bearer ${acme.issuer.token()}`;
    for (const beside of [undefined, token]) {
      const ends = [];
      for (const secret of ['new', 'old', 'new', 'old']) ends.push(await endOf(secret, beside));
      expect(ends).toEqual([NOW + 600, NOW + 60, NOW + 600, NOW + 60].map(micros));
    }
  });
});

test('a caller cannot tell an unknown key from one that is revoked, expired, malformed, or has another secret', () => {
  const denials = [
    verdict(key(), 'new', NOW, 'nobody'),
    verdict(key(), 'wrong'),
    verdict(key({ revoked: true }), 'new'),
    verdict(key({ expiresAtSeconds: NOW }), 'new'),
    verdict(key(), 'old', NOW + 60),
  ];
  const malformed = parseCredentials(undefined, 'bk_batch');
  if (!malformed.ok) denials.push(malformed.error);
  const whys = denials.map((denial) => (typeof denial === 'object' && 'why' in denial ? denial.why : denial));
  expect(whys).toEqual(['unknown', 'wrong_secret', 'revoked', 'expired', 'expired', 'malformed']);
  const told = denials.map((denial) =>
    JSON.stringify(typeof denial === 'object' ? trailersOnly(denial, 'acme') : denial),
  );
  expect(new Set(told).size).toBe(1);
});

test('a new secret is 256 random bits that the grammar of keys takes, and is known by its hash', () => {
  const made = Array.from({ length: 100 }, () => newSecret('nightly-batch'));
  expect(new Set(made.map(({ key: whole }) => whole)).size).toBe(100);
  for (const { key: whole, sha256: digest } of made) {
    const presented = parseCredentials(undefined, whole);
    if (!presented.ok || presented.value.apiKey === undefined) throw new Error(whole);
    const { id, secret } = presented.value.apiKey;
    expect(id).toBe('nightly-batch');
    expect(Buffer.from(secret, 'base64url')).toHaveLength(32);
    expect(digest).toBe(sha256(secret));
  }
});

/** acme's client, with its one certificate, from an address. */
function peerFrom(address: string): Peer {
  const trust = { trustDomain: acme.config.trustDomain, clientCas: [new X509Certificate(acme.config.clientCaPem)] };
  const certificate = new X509Certificate(acme.pki.client.certPem);
  const peer = acceptPeer(acme.claim, certificate, { address, port: 40_000 }, trust, micros(Date.now() / 1000));
  if (!peer.ok) throw new Error(peer.error.kind);
  return peer.value;
}

describe('addresses', () => {
  const from = (tenant: typeof acme.config) => {
    const by = new Authenticator(tenant, new Directory([tenant]));
    return async (peer: Peer, apiKey?: string): Promise<string> => {
      const presented = parseCredentials(undefined, apiKey);
      if (!presented.ok) throw new Error(presented.error.kind);
      const caller = await by.authenticate(peer, presented.value, micros(NOW));
      return caller.ok ? caller.value.id : JSON.stringify(caller.error);
    };
  };
  const [near, mapped, far] = [peerFrom('10.1.2.3'), peerFrom('::ffff:10.1.2.3'), peerFrom('192.0.2.1')];
  const refusal = (by: string): string =>
    JSON.stringify({ kind: 'address_not_allowed', address: '192.0.2.1', by, list: 'addresses' });

  test('of a key hold for each connection, whatever was remembered of another of the same client', async () => {
    const call = from({ ...acme.config, apiKeys: [key({ addresses: ['10.0.0.0/8'] })] });
    for (let round = 0; round < 2; round += 1) {
      for (const secret of ['new', 'old']) {
        expect(await call(near, `bk_batch_${secret}`)).toBe('key:batch');
        expect(await call(mapped, `bk_batch_${secret}`)).toBe('key:batch');
        expect(await call(far, `bk_batch_${secret}`)).toBe(refusal('api key'));
      }
    }
    // Who has not the secret learns nothing of the list, and who comes without the key is not asked.
    expect(JSON.parse(await call(far, 'bk_batch_wrong'))).toEqual(refused('wrong_secret'));
    expect(await call(far)).toBe('cert:spiffe://acme.example/client');
  });

  test('of a tenant hold for all of its clients, before any credential is looked at', async () => {
    const call = from({ ...acme.config, addresses: ['10.0.0.0/8'], apiKeys: [key()] });
    expect([await call(near), await call(mapped), await call(near, 'bk_batch_new')]).toEqual([
      'cert:spiffe://acme.example/client',
      'cert:spiffe://acme.example/client',
      'key:batch',
    ]);
    for (const presented of [undefined, 'bk_batch_new', 'bk_batch_wrong']) {
      expect(await call(far, presented)).toBe(refusal('tenant'));
    }
  });

  test('that are denied are refused, also within those that are allowed, to their edges and in both spellings of IPv4', async () => {
    const denied = (address: string, by: string): object => ({
      ...{ kind: 'address_not_allowed', address, by },
      list: 'deniedAddresses',
    });
    const call = from({
      ...acme.config,
      addresses: ['10.0.0.0/8', '2001:db8::/32'],
      deniedAddresses: ['10.1.2.0/24', '2001:db8:1::/48', '192.0.2.1'],
    });
    for (const address of [
      ...['10.1.2.0', '10.1.2.255', '::ffff:10.1.2.0', '::ffff:a01:2ff', '192.0.2.1'],
      ...['2001:db8:1::', '2001:db8:1:ffff:ffff:ffff:ffff:ffff'],
    ]) {
      expect(JSON.parse(await call(peerFrom(address))), address).toEqual(denied(address, 'tenant'));
    }
    for (const address of ['10.1.1.255', '10.1.3.0', '::ffff:10.1.3.0', '2001:db8:0:ffff::', '2001:db8:2::']) {
      expect(await call(peerFrom(address)), address).toBe('cert:spiffe://acme.example/client');
    }
    // What a socket that is gone reports is no address, and might be any.
    expect(JSON.parse(await call(peerFrom('')))).toEqual(denied('', 'tenant'));
  });

  test('that a key denies are refused to it alone', async () => {
    const call = from({ ...acme.config, apiKeys: [key({ deniedAddresses: ['10.1.2.3'] })] });
    for (const peer of [near, mapped]) {
      expect(JSON.parse(await call(peer, 'bk_batch_new'))).toMatchObject({ by: 'api key', list: 'deniedAddresses' });
      expect(await call(peer)).toBe('cert:spiffe://acme.example/client');
    }
    expect(await call(far, 'bk_batch_new')).toBe('key:batch');
  });

  test('that cannot be read as ranges let nobody in', () => {
    const bad = { ...acme.config, deniedAddresses: ['nonsense'] };
    expect(() => new Authenticator(bad, new Directory([bad]))).toThrow('nonsense is no range');
  });
});
