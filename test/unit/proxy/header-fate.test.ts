import { expect, it } from 'vitest';
import { FateMemory, fateOf } from '../../../src/proxy/header-fate.ts';

it('decides on names beyond those that it remembers as on the others', () => {
  for (let index = 0; index < 2_000; index++) expect(fateOf(`x-invented-${index}`)).toBe('pass');
  for (let index = 0; index < 2_000; index++) expect(fateOf(`x-envoy-${index}`)).toBe('strip');
  expect(fateOf('x-invented-1999')).toBe('pass');
  expect(fateOf('x_tenant_id')).toBe('strip');
  expect(fateOf('authorization')).toBe('authorization');
});

it('remembers as many names as it may, and not one more', () => {
  const memory = new FateMemory(3);
  for (const [name, size] of [
    ['x-one', 1],
    ['x-envoy-two', 2],
    ['x-one', 2],
    ['x-three', 3],
    ['x-four', 3],
    ['x-envoy-five', 3],
  ] as const) {
    expect(memory.fateOf(name)).toBe(name.includes('envoy') ? 'strip' : 'pass');
    expect(memory.size).toBe(size);
  }
});

it.each(['constructor', '__proto__', 'tostring', 'valueof', 'hasownproperty'])(
  'takes %s for a name like any other',
  (name) => {
    expect(fateOf(name)).toBe('pass');
    expect(new FateMemory(9).fateOf(name)).toBe('pass');
  },
);
