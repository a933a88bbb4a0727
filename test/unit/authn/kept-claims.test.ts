import { expect, test } from 'vitest';
import { ClaimSelection, NO_CLAIMS } from '../../../src/authn/kept-claims.ts';
import type { ClaimMatch } from '../../../src/config/policy-config.ts';
import { binding } from '../../fakes/explain.ts';

const selection = (...claims: readonly ClaimMatch[]): ClaimSelection =>
  new ClaimSelection({ bindings: [binding({ claims })] });

test('of a token is kept what rules name, and nothing else of it', () => {
  const by = selection({ path: '/groups', values: ['ml', 'ops'] }, { path: '/department', values: ['research'] });
  const kept = by.select({ groups: ['ml', 'a', 'b'], department: 'research', email: 'alice@acme.example' });
  expect([...kept.matched]).toEqual([
    ['/groups', ['ml']],
    ['/department', ['research']],
  ]);
});

test('a token with a hundred thousand groups costs no more than the groups that are named', () => {
  const by = selection({ path: '/groups', values: ['g5'] });
  const groups = Array.from({ length: 100_000 }, (_, index) => `g${index}`);
  expect([...by.select({ groups }).matched]).toEqual([['/groups', ['g5']]]);
});

test('values are of one kind: the text true is not the truth', () => {
  const by = selection({ path: '/email_verified', values: [true] }, { path: '/level', values: [3] });
  expect([...by.select({ email_verified: true, level: 3 }).matched]).toHaveLength(2);
  expect(by.select({ email_verified: 'true', level: '3' })).toEqual(NO_CLAIMS);
});

test('a star is kept of any claim that says something', () => {
  const by = selection({ path: '/groups', values: ['*'] });
  expect([...by.select({ groups: ['x'] }).matched]).toEqual([['/groups', ['*']]]);
  for (const groups of [[], null, {}, [{}], [null], undefined])
    expect(by.select({ groups }), JSON.stringify(groups)).toEqual(NO_CLAIMS);
});

test('what no rule names costs nothing', () => {
  expect(new ClaimSelection({ bindings: [binding()] }).select({ groups: ['a'] })).toBe(NO_CLAIMS);
});

test('a claim that conditions speak of is kept as it is declared, and is absent where it is something else', () => {
  const by = new ClaimSelection({
    bindings: [],
    claims: [
      { name: 'department', path: '/org/department', type: 'string' },
      { name: 'groups', path: '/groups', type: 'strings' },
      { name: 'level', path: '/level', type: 'int' },
      { name: 'verified', path: '/verified', type: 'bool' },
    ],
  });
  const all = { org: { department: 'research' }, groups: ['a', 'b'], level: 3, verified: false };
  expect([...by.select(all).declared]).toEqual([
    ['department', 'research'],
    ['groups', ['a', 'b']],
    ['level', 3],
    ['verified', false],
  ]);
  expect([...by.select({ groups: 'a' }).declared]).toEqual([['groups', ['a']]]);
  for (const groups of [['a', 1], {}, 1, null, [['a']]]) {
    expect([...by.select({ groups }).declared], JSON.stringify(groups)).toEqual([]);
  }
  const strange = { org: { department: 1 }, level: 1.5, verified: 'true' };
  expect([...by.select(strange).declared]).toEqual([]);
});

test('what rules that refuse name is kept like what those that allow do', () => {
  const denials = [
    {
      name: 'no',
      who: { subjects: [], keys: [], certificates: [], claims: [{ path: '/groups', values: ['x'] }] },
      source: 'a',
    },
  ];
  expect([...new ClaimSelection({ bindings: [], denials }).select({ groups: ['x', 'y'] }).matched]).toEqual([
    ['/groups', ['x']],
  ]);
});
