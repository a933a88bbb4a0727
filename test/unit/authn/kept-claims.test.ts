import { expect, test } from 'vitest';
import { ClaimSelection, NO_CLAIMS } from '../../../src/authn/kept-claims.ts';
import type { ClaimMatch } from '../../../src/config/generation.ts';
import { binding } from '../../fakes/explain.ts';

const selection = (...claims: readonly ClaimMatch[]): ClaimSelection =>
  new ClaimSelection({ bindings: [binding({ claims })] });

test('of a token is kept what rules name, and nothing else of it', () => {
  const by = selection({ path: '/groups', values: ['ml', 'ops'] }, { path: '/department', values: ['research'] });
  const kept = by.select({ groups: ['ml', 'a', 'b'], department: 'research', email: 'alice@acme.example' });
  expect([...kept]).toEqual([
    ['/groups', ['ml']],
    ['/department', ['research']],
  ]);
});

test('a token with a hundred thousand groups costs no more than the groups that are named', () => {
  const by = selection({ path: '/groups', values: ['g5'] });
  const groups = Array.from({ length: 100_000 }, (_, index) => `g${index}`);
  expect([...by.select({ groups })]).toEqual([['/groups', ['g5']]]);
});

test('values are of one kind: the text true is not the truth', () => {
  const by = selection({ path: '/email_verified', values: [true] }, { path: '/level', values: [3] });
  expect([...by.select({ email_verified: true, level: 3 })]).toHaveLength(2);
  expect(by.select({ email_verified: 'true', level: '3' })).toBe(NO_CLAIMS);
});

test('a star is kept of any claim that says something', () => {
  const by = selection({ path: '/groups', values: ['*'] });
  expect([...by.select({ groups: ['x'] })]).toEqual([['/groups', ['*']]]);
  for (const groups of [[], null, {}, [{}], [null], undefined])
    expect(by.select({ groups }), JSON.stringify(groups)).toBe(NO_CLAIMS);
});

test('what no rule names costs nothing', () => {
  expect(new ClaimSelection({ bindings: [binding()] }).select({ groups: ['a'] })).toBe(NO_CLAIMS);
});
