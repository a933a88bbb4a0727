import { expect, test } from 'vitest';
import { bearerToken, parseCredentials } from '../../../src/authn/credentials.ts';

const SECRET = 'A'.repeat(43);

test('nothing presented is no credential, which is not an error', () => {
  expect(parseCredentials(undefined, undefined)).toEqual({
    ok: true,
    value: { authorization: undefined, apiKey: undefined },
  });
});

test.each(['Bearer a.b.c', 'bearer a.b.c', 'BEARER a.b.c'])('%s presents a token', (header) => {
  const parsed = parseCredentials(header, undefined);
  expect(parsed.ok && parsed.value.authorization !== undefined && bearerToken(parsed.value.authorization)).toBe(
    'a.b.c',
  );
});

test.each(['', 'Bearer', 'Basic YTpi', 'Bearera.b.c', ' Bearer a.b.c', 'Bearer\ta.b.c', 'a.b.c'])(
  '%j is no bearer token',
  (header) => {
    expect(parseCredentials(header, undefined)).toMatchObject({ ok: false, error: { kind: 'token_invalid' } });
  },
);

test('a token of 16 KiB is looked at, a byte more is not', () => {
  expect(parseCredentials(`Bearer ${'a'.repeat(16 * 1024)}`, undefined).ok).toBe(true);
  expect(parseCredentials(`Bearer ${'a'.repeat(16 * 1024 + 1)}`, undefined).ok).toBe(false);
});

test('a key has an id and a secret, which may contain underscores', () => {
  expect(parseCredentials(undefined, `bk_acme-1_${SECRET}_x-`)).toEqual({
    ok: true,
    value: { authorization: undefined, apiKey: { id: 'acme-1', secret: `${SECRET}_x-` } },
  });
});

test.each([
  '',
  'bk_',
  'bk_acme',
  'bk_acme_',
  'bk__secret',
  `sk_acme_${SECRET}`,
  `bk_ac.me_${SECRET}`,
  `bk_acme_${SECRET} `,
  `bk_acme_${SECRET}\n`,
  `bk_acme_${SECRET},bk_acme_${SECRET}`,
  `bk_${'a'.repeat(65)}_${SECRET}`,
  `bk_acme_${'a'.repeat(257)}`,
])('%j is no key', (key) => {
  expect(parseCredentials(undefined, key)).toEqual({ ok: false, error: { kind: 'api_key_invalid', why: 'malformed' } });
});

test('an id of 64 characters and a secret of 256 are still a key', () => {
  expect(parseCredentials(undefined, `bk_${'a'.repeat(64)}_${'b'.repeat(256)}`).ok).toBe(true);
});
