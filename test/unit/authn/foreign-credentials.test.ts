/**
 * What a tenant's client can find out about the credentials that other tenants have: nothing, unless it has one.
 */
import type * as Crypto from 'node:crypto';
import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { ApiKeys } from '../../../src/authn/api-keys.ts';
import { Authenticator } from '../../../src/authn/authenticator.ts';
import { parseCredentials } from '../../../src/authn/credentials.ts';
import { Directory } from '../../../src/authn/directory.ts';
import type { ApiKeyConfig } from '../../../src/config/credentials-config.ts';
import { trailersOnly } from '../../../src/grpc/status-reply.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import { describe as describeDenial } from '../../../src/proxy/describe-denial.ts';
import { FakeIssuer, TEST_NOW_SECONDS } from '../../fakes/tokens.ts';
import { fakeTenant, micros } from '../../fakes/trust.ts';

const work = vi.hoisted(() => ({ hashes: 0, comparisons: 0 }));

vi.mock('node:crypto', async (original) => {
  const real = await original<typeof Crypto>();
  return {
    ...real,
    hash: (...args: Parameters<typeof Crypto.hash>) => {
      work.hashes += 1;
      return real.hash(...args);
    },
    timingSafeEqual: (...args: Parameters<typeof Crypto.timingSafeEqual>) => {
      work.comparisons += 1;
      return real.timingSafeEqual(...args);
    },
  };
});

const NOW = TEST_NOW_SECONDS;
const sha256 = (secret: string): string => createHash('sha256').update(secret).digest('hex');
const key = (id: string, changes: Partial<ApiKeyConfig> = {}): ApiKeyConfig => ({
  ...{ id, sha256: sha256('right'), expiresAtSeconds: undefined, revoked: false },
  ...changes,
});

const acme = fakeTenant('acme', {
  apiKeys: [key('own'), key('own-revoked', { revoked: true }), key('own-expired', { expiresAtSeconds: NOW })],
});
const globex = fakeTenant('globex', {
  apiKeys: [
    key('theirs'),
    key('theirs-revoked', { revoked: true }),
    key('theirs-expired', { expiresAtSeconds: NOW }),
    key('theirs-rotated', { sha256: sha256('new'), previous: { sha256: sha256('right'), expiresAtSeconds: NOW + 1 } }),
    key('theirs-replaced', { sha256: sha256('new'), previous: { sha256: sha256('right'), expiresAtSeconds: NOW } }),
  ],
});
const directory = new Directory([acme.config, globex.config]);
const keys = new ApiKeys(acme.config, directory);

function refusal(id: string, secret: string): Denial {
  const verified = keys.verify({ id, secret }, micros(NOW));
  if (verified.ok) throw new Error(`${id} was let in`);
  return verified.error;
}

const told = (denial: Denial): string => JSON.stringify(trailersOnly(denial, 'acme'));

/** Every way to be refused without the secret of a good key. */
const REFUSED = [
  ['nobody', 'right'],
  ['own', 'wrong'],
  ['own-revoked', 'right'],
  ['own-expired', 'right'],
  ['theirs', 'wrong'],
  ['theirs-revoked', 'right'],
  ['theirs-revoked', 'wrong'],
  ['theirs-expired', 'right'],
  ['theirs-replaced', 'right'],
  ['theirs-rotated', 'wrong'],
] as const;

describe('another tenant’s API key', () => {
  beforeEach(() => Object.assign(work, { hashes: 0, comparisons: 0 }));

  test('of which only the id is known is answered as one that nobody has, octet by octet', () => {
    expect(new Set(REFUSED.map(([id, secret]) => told(refusal(id, secret)))).size).toBe(1);
    expect(told(refusal('theirs', 'right'))).not.toBe(told(refusal('nobody', 'right')));
  });

  test.each([...REFUSED, ['theirs', 'right'], ['theirs-rotated', 'right']] as const)(
    'costs what any other does: %s with the secret %s is one hash and two comparisons',
    (id, secret) => {
      refusal(id, secret);
      expect(work).toEqual({ hashes: 1, comparisons: 2 });
    },
  );

  test('is an attempt to cross when its secret was shown, also the one before', () => {
    const crossing = { kind: 'tenant_mismatch', claimed: 'acme', presented: 'globex', by: 'api key' };
    expect(refusal('theirs', 'right')).toEqual(crossing);
    expect(refusal('theirs-rotated', 'right')).toEqual(crossing);
  });

  test('is on record with the tenant that it names, and that nothing proves it', () => {
    const reasons = REFUSED.map(([id, secret]) => refusal(id, secret)).filter(
      (denial) => denial.kind === 'foreign_key_unproven',
    );
    expect(reasons.map(({ why }) => why)).toEqual([
      'wrong_secret',
      'revoked',
      'wrong_secret',
      'expired',
      'expired',
      'wrong_secret',
    ]);
    expect(describeDenial(refusal('theirs', 'wrong'))).toBe('claimed=acme presented=globex why=wrong_secret');
  });
});

describe('a key on a deny list', () => {
  const by = new Authenticator(
    {
      ...acme.config,
      apiKeys: [key('own'), key('denied')],
      denied: [{ kind: 'key', value: 'denied', source: 'acme.yaml:1 denied[0]' }],
    },
    directory,
  );
  const ask = (id: string, secret: string): Denial => {
    Object.assign(work, { hashes: 0, comparisons: 0 });
    const presented = { authorization: undefined, apiKey: { id, secret } };
    const caller = by.authenticate(acme.peer(), presented, micros(NOW));
    if (caller instanceof Promise || caller.ok) throw new Error(`${id} was let in`);
    return caller.error;
  };

  test.each([
    ['denied', 'right'],
    ['denied', 'wrong'],
    ['nobody', 'right'],
    ['own', 'wrong'],
    ['theirs', 'wrong'],
  ])('costs what any other does, and is answered so: %s with the secret %s', (id, secret) => {
    const answer = told(ask('nobody', 'right'));
    expect(told(ask(id, secret))).toBe(answer);
    expect(work).toEqual({ hashes: 1, comparisons: 2 });
  });

  test('is on record as what it is', () => {
    expect(ask('denied', 'right')).toEqual({
      ...{ kind: 'api_key_invalid', why: 'revoked', revokedBy: 'acme.yaml:1 denied[0]' },
    });
    expect(ask('denied', 'wrong')).toEqual({ kind: 'api_key_invalid', why: 'wrong_secret' });
  });
});

test('a token that says to be of another tenant’s issuer is answered as one of nobody’s, and is verified by nobody', async () => {
  const fetched: string[] = [];
  const by = new Authenticator(acme.config, directory, {
    fetch: async ({ url }) => {
      fetched.push(url);
      return Promise.reject(new Error('not to be asked'));
    },
  });
  const ask = async (issuer: FakeIssuer): Promise<Denial> => {
    const presented = parseCredentials(`Bearer ${issuer.token()}`, undefined);
    if (!presented.ok) throw new Error(presented.error.kind);
    const caller = await by.authenticate(acme.peer(), presented.value, micros(NOW));
    if (caller.ok) throw new Error('it was let in');
    return caller.error;
  };
  const [foreign, nobodys] = [await ask(globex.issuer), await ask(new FakeIssuer('https://nobody.test'))];
  expect([foreign.kind, nobodys.kind]).toEqual(['foreign_token_unproven', 'token_invalid']);
  expect(told(foreign)).toBe(told(nobodys));
  expect(describeDenial(foreign)).toBe('claimed=acme presented=globex');
  expect(fetched).toEqual([]);
});
