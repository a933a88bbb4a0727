import { expect, test } from 'vitest';
import { Authenticator } from '../../../src/authn/authenticator.ts';
import { parseCredentials } from '../../../src/authn/credentials.ts';
import { Directory } from '../../../src/authn/directory.ts';
import { AUTHN_LIMITS } from '../../../src/authn/limits.ts';
import type { DocumentFetch } from '../../../src/fetching/document-fetch.ts';
import { err, ok, type Result } from '../../../src/kernel/result.ts';
import { FakeIssuer, TEST_NOW_SECONDS } from '../../fakes/tokens.ts';
import { fakeTenant, micros } from '../../fakes/trust.ts';

const NOW = TEST_NOW_SECONDS;

interface Scene {
  readonly issuer: FakeIssuer;
  /** How often the issuer was asked. */
  fetches: number;
  /** What it answers next. */
  answer: () => Result<string, string>;
  /** Presents a token `seconds` after NOW. */
  at(seconds: number, token: string): Promise<string>;
  /** Whether the verdict on it comes at once. */
  atOnce(seconds: number, token: string): boolean;
}

function scene(): Scene {
  const issuer = new FakeIssuer('https://acme.idp.test');
  const fetch: DocumentFetch = async () => {
    made.fetches += 1;
    await Promise.resolve();
    const answer = made.answer();
    return answer.ok ? ok(Buffer.from(answer.value)) : answer;
  };
  const tenant = fakeTenant('acme', {}, issuer);
  const peer = tenant.peer();
  const issuers = tenant.config.issuers.map((config) => ({
    ...config,
    jwks: { kind: 'url' as const, url: 'https://acme.idp.test/jwks', caPem: undefined },
  }));
  const config = { ...tenant.config, issuers };
  const by = new Authenticator(config, new Directory([config]), { fetch });
  const ask = (seconds: number, token: string): ReturnType<Authenticator['authenticate']> => {
    const parsed = parseCredentials(`Bearer ${token}`, undefined);
    if (!parsed.ok) throw new Error('not a token');
    return by.authenticate(peer, parsed.value, micros(NOW + seconds));
  };
  const made: Scene = {
    issuer,
    fetches: 0,
    answer: () => ok(issuer.jwks()),
    async at(seconds, token) {
      const verdict = await ask(seconds, token);
      if (verdict.ok) return 'accepted';
      return verdict.error.kind === 'policy_unavailable' ? `unavailable: ${verdict.error.why}` : verdict.error.kind;
    },
    atOnce: (seconds, token) => !(ask(seconds, token) instanceof Promise),
  };
  return made;
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
const cooldown = AUTHN_LIMITS.jwksCooldownMs / 1000;
const refresh = AUTHN_LIMITS.jwksRefreshMs / 1000;
const maxStale = AUTHN_LIMITS.jwksMaxStaleMs / 1000;
const long = { exp: NOW + 10 * 86_400 };

test('keys are fetched once for many tokens', async () => {
  const s = scene();
  const tokens = Array.from({ length: 20 }, (_, index) => s.issuer.token({ sub: `s${String(index)}` }));
  expect(new Set(await Promise.all(tokens.map((token) => s.at(0, token))))).toEqual(new Set(['accepted']));
  expect(s.fetches).toBe(1);
});

test('a key that is new is fetched for the first token that is signed with it', async () => {
  const s = scene();
  await s.at(0, s.issuer.token());
  s.issuer.addKey();
  expect(await s.at(0.001, s.issuer.token())).toBe('accepted');
  s.issuer.addKey();
  expect(await s.at(cooldown + 1, s.issuer.token({}, { kid: undefined }))).toBe('accepted');
  expect(s.fetches).toBe(3);
});

test('an unknown kid has the keys fetched again after the cooldown, not before', async () => {
  const s = scene();
  await s.at(0, s.issuer.token());
  await s.at(0, s.issuer.token({}, { kid: 'made-up' }));
  s.issuer.addKey();
  const rotated = s.issuer.token();
  expect(await s.at(cooldown - 0.001, rotated)).toBe('token_invalid');
  expect(s.fetches).toBe(2);
  expect(await s.at(cooldown, rotated)).toBe('accepted');
  expect(s.fetches).toBe(3);
});

test('a flood of unknown kids asks the issuer once in a cooldown', async () => {
  const s = scene();
  await s.at(0, s.issuer.token());
  for (let index = 0; index < 50; index += 1)
    await s.at(cooldown, s.issuer.token({}, { kid: `made-up-${String(index)}` }));
  expect(s.fetches).toBe(2);
});

test('a remembered token is verified again when the keys have changed, and refused when its key is gone', async () => {
  const s = scene();
  const token = s.issuer.token(long);
  await s.at(0, token);
  expect(s.atOnce(1, token)).toBe(true);
  s.issuer.addKey();
  s.issuer.dropOldKeys();
  expect(s.atOnce(refresh - 0.001, token)).toBe(true);
  await settle();
  expect(s.fetches).toBe(1);
  expect(s.atOnce(refresh, token)).toBe(true);
  await settle();
  expect(s.fetches).toBe(2);
  expect(s.atOnce(refresh, token)).toBe(false);
  expect(await s.at(refresh + 1, token)).toBe('token_invalid');
});

test('the same keys again leave remembered tokens remembered', async () => {
  const s = scene();
  const token = s.issuer.token(long);
  await s.at(0, token);
  s.atOnce(refresh, token);
  await settle();
  expect(s.fetches).toBe(2);
  expect(s.atOnce(refresh + 1, token)).toBe(true);
});

test('while the issuer is down the last keys serve, and it is asked again at most once in a cooldown', async () => {
  const s = scene();
  const token = s.issuer.token(long);
  await s.at(0, token);
  s.answer = () => err('connection refused');
  for (let second = 0; second < cooldown; second += 1) {
    expect(s.atOnce(refresh + second, token)).toBe(true);
    await settle();
  }
  expect(s.fetches).toBe(2);
  expect(await s.at(refresh + cooldown, s.issuer.token({ ...long, sub: 'new' }))).toBe('accepted');
  await settle();
  expect(s.fetches).toBe(3);
});

test('keys that could not be renewed for a day no longer serve', async () => {
  const s = scene();
  const token = s.issuer.token(long);
  await s.at(0, token);
  s.answer = () => err('connection refused');
  expect(await s.at(maxStale - 1, token)).toBe('accepted');
  expect(await s.at(maxStale + cooldown, token)).toBe('unavailable: connection refused');
  s.answer = () => ok(s.issuer.jwks());
  expect(await s.at(maxStale + 2 * cooldown, token)).toBe('accepted');
});

test('with nothing cached an issuer that is down means unavailable, and is asked again after a while', async () => {
  const s = scene();
  s.answer = () => err('connection refused');
  const token = s.issuer.token();
  const retry = AUTHN_LIMITS.jwksRetryMs / 1000;
  expect(await s.at(0, token)).toBe('unavailable: connection refused');
  expect(await s.at(retry - 0.001, token)).toBe('unavailable: connection refused');
  expect(s.fetches).toBe(1);
  s.answer = () => ok(s.issuer.jwks());
  expect(await s.at(retry, token)).toBe('accepted');
});

test.each(['', 'nonsense', '[]', '{}', '{"keys":7}', '{"keys":[null]}'])('%j is no set of keys', async (text) => {
  const s = scene();
  s.answer = () => ok(text);
  expect(await s.at(0, s.issuer.token())).toBe('unavailable: not a JWKS');
});

test('nonsense from the issuer does not replace its keys', async () => {
  const s = scene();
  const token = s.issuer.token(long);
  await s.at(0, token);
  s.answer = () => ok('<html>');
  s.atOnce(refresh, token);
  await settle();
  expect(s.atOnce(refresh + 1, token)).toBe(true);
});

test('n keys are taken over, n + 1 are no set of keys', async () => {
  const s = scene();
  const filler = (count: number) => {
    const { keys } = JSON.parse(s.issuer.jwks()) as { keys: object[] };
    return ok(JSON.stringify({ keys: [...keys, ...Array.from({ length: count }, () => ({ kty: 'oct' }))] }));
  };
  s.answer = () => filler(AUTHN_LIMITS.maxJwksKeys);
  expect(await s.at(0, s.issuer.token())).toBe('unavailable: more than 100 keys');
  s.answer = () => filler(AUTHN_LIMITS.maxJwksKeys - 1);
  expect(await s.at(AUTHN_LIMITS.jwksRetryMs / 1000, s.issuer.token())).toBe('accepted');
});
