import { describe, expect, test } from 'vitest';
import { tokenStrength } from '../../../src/authn/token-strength.ts';
import { micros } from '../../fakes/trust.ts';

const NOW = 1_767_225_600;
const SKEW = 30;
const read = (claims: object) => tokenStrength({ ...claims }, SKEW * 1_000_000, micros(NOW));

describe('scopes', () => {
  test.each<[object, string]>([
    [{}, ''],
    [{ scope: 'models:infer' }, 'models:infer'],
    [{ scope: 'a b c' }, 'a b c'],
    [{ scp: ['a', 'b'] }, 'a b'],
    [{ scp: 'a b' }, 'a b'],
    [{ scope: 'a', scp: ['a', 'b'] }, 'a'],
    [{ scope: '', scp: ['b'] }, ''],
    [{ scope: null, scp: ['b'] }, ''],
    [{ scope: 'a  b' }, ''],
    [{ scope: ' a' }, ''],
    [{ scope: 'a\tb' }, ''],
    [{ scope: 'a"b' }, ''],
    [{ scope: 'ä' }, ''],
    [{ scope: 7 }, ''],
    [{ scope: { a: true } }, ''],
    [{ scp: ['a', 7] }, ''],
    [{ scp: ['a b'] }, ''],
    [{ scp: [] }, ''],
    [{ scp: ['a', ''] }, ''],
  ])('of %j are %j', (claims, scope) => {
    expect(read(claims).scope).toBe(scope);
  });
});

describe('a sign-in', () => {
  test('is how and when the token says', () => {
    expect(read({ acr: 'urn:mfa', amr: ['pwd', 'otp'], auth_time: NOW - 60 })).toEqual({
      scope: '',
      acr: 'urn:mfa',
      amr: ['pwd', 'otp'],
      authTimeSeconds: NOW - 60,
    });
  });

  test.each<object>([{ acr: 1 }, { acr: ['urn:mfa'] }, { acr: null }, { acr: 'a'.repeat(257) }])(
    'with %j has no context class',
    (claims) => {
      expect(read(claims).acr).toBeUndefined();
    },
  );

  test.each<object>([
    { amr: 'mfa' },
    { amr: ['mfa', 1] },
    { amr: { mfa: true } },
    { amr: Array.from({ length: 17 }, () => 'mfa') },
    { amr: ['m'.repeat(33)] },
  ])('with %j has no methods', (claims) => {
    expect(read(claims).amr).toEqual([]);
  });

  test('may name 16 methods of 32 characters', () => {
    const amr = Array.from({ length: 16 }, () => 'm'.repeat(32));
    expect(read({ amr }).amr).toEqual(amr);
    expect(read({ acr: 'a'.repeat(256) }).acr).toHaveLength(256);
  });

  test.each<[unknown, boolean]>([
    [NOW + SKEW, true],
    [NOW + SKEW + 1, false],
    [0, true],
    [-1, false],
    [String(NOW), false],
    [Number.POSITIVE_INFINITY, false],
    [Number.NaN, false],
    [null, false],
  ])('at %j counts: %j', (auth_time, counts) => {
    expect(read({ auth_time }).authTimeSeconds).toBe(counts ? auth_time : undefined);
  });
});
