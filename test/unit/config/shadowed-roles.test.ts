import { expect, test } from 'vitest';
import type { BindingConfig } from '../../../src/config/policy-config.ts';
import { shadowedRoles } from '../../../src/config/shadowed-roles.ts';
import { binding, role } from '../../fakes/explain.ts';

const names = (count: number, prefix: string): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

test('a pattern covers another when whatever that one matches it matches', () => {
  const covered = (wide: string, narrow: string): boolean =>
    shadowedRoles(
      [role({ name: 'wide', models: [wide] }), role({ name: 'narrow', models: [narrow] })],
      [binding({ role: 'wide' }), binding({ role: 'narrow' })],
    ).some((found) => found.role === 'narrow');
  for (const [wide, narrow] of [
    ['a', 'a'],
    ['*', 'a*b'],
    ['a*', 'a*'],
    ['a*', 'ab*'],
    ['a*c', 'a*b*c'],
    ['*b*', 'ab*c'],
    ['a*b*c', 'a*bb*c'],
  ] as const) {
    expect(covered(wide, narrow), `${wide} ${narrow}`).toBe(true);
  }
  for (const [wide, narrow] of [
    ['a', 'b'],
    ['a', 'a*'],
    ['ab*', 'a*'],
    ['a*a', 'a'],
    ['a*b*c', 'a*c'],
    ['*aa', 'a*a'],
    ['a*b', 'a*'],
  ] as const) {
    expect(covered(wide, narrow), `${wide} ${narrow}`).toBe(false);
  }
});

test('a hundred roles of a hundred models are all compared', () => {
  const roles = names(100, 'r').map((name) => role({ name, models: names(100, 'm') }));
  const bindings = roles.map(({ name }) => binding({ role: name }));
  expect(shadowedRoles(roles, bindings)).toHaveLength(99);
});

test('a file that is made to be compared without end is not', () => {
  const roles = names(1_000, 'r').map((name, index) => role({ name, models: [...names(990, '*m'), `x${index}`] }));
  const bindings = roles.map(({ name }) => binding({ role: name }));
  expect(shadowedRoles(roles, bindings)).toEqual([]);
});

test('who says more in its claims is among those who say less', () => {
  const shadowed = (wide: BindingConfig['claims'], narrow: BindingConfig['claims']): boolean => {
    const bound = (name: string, claims: BindingConfig['claims']): BindingConfig =>
      binding({ role: name, subjects: [], ...(claims === undefined ? { keys: ['k'] } : { claims }) });
    return shadowedRoles(
      [role({ name: 'wide' }), role({ name: 'narrow' })],
      [bound('wide', wide), bound('narrow', narrow)],
    ).some((found) => found.role === 'narrow');
  };
  const ml = { path: '/groups', values: ['ml'] };
  const both = { path: '/groups', values: ['ml', 'ops'] };
  const any = { path: '/groups', values: ['*'] };
  const research = { path: '/department', values: ['research'] };
  expect(shadowed([ml], [ml])).toBe(true);
  expect(shadowed([both], [ml])).toBe(true);
  expect(shadowed([any], [ml])).toBe(true);
  expect(shadowed([ml], [ml, research])).toBe(true);
  expect(shadowed([ml], [both])).toBe(false);
  expect(shadowed([ml], [any])).toBe(false);
  expect(shadowed([ml, research], [ml])).toBe(false);
  expect(shadowed(undefined, [ml])).toBe(false);
});
