import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { newSecret } from '../../../src/authn/api-key-secret.ts';
import { ApiKeys } from '../../../src/authn/api-keys.ts';
import { Authenticator } from '../../../src/authn/authenticator.ts';
import { parseCredentials } from '../../../src/authn/credentials.ts';
import { Directory } from '../../../src/authn/directory.ts';
import type { ApiKeyConfig } from '../../../src/config/generation.ts';
import { trailersOnly } from '../../../src/grpc/status-reply.ts';
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
