import { expect, it } from 'vitest';
import { fateOf } from '../../../src/proxy/header-fate.ts';

it('decides on names beyond those that it remembers as on the others', () => {
  for (let index = 0; index < 2_000; index++) expect(fateOf(`x-invented-${index}`)).toBe('pass');
  for (let index = 0; index < 2_000; index++) expect(fateOf(`x-envoy-${index}`)).toBe('strip');
  expect(fateOf('x-invented-1999')).toBe('pass');
  expect(fateOf('x_tenant_id')).toBe('strip');
  expect(fateOf('authorization')).toBe('authorization');
});
