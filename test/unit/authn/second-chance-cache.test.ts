import { expect, test } from 'vitest';
import { SecondChanceCache } from '../../../src/authn/second-chance-cache.ts';

test('holds n entries and forgets one at n + 1', () => {
  const cache = new SecondChanceCache<number>(3, 1000);
  for (const [index, key] of ['a', 'b', 'c'].entries()) cache.set(key, index);
  expect(cache.size).toBe(3);
  cache.set('d', 3);
  expect([cache.size, cache.get('a'), cache.get('d')]).toEqual([3, undefined, 3]);
});

test('forgets what was not used before what was', () => {
  const cache = new SecondChanceCache<string>(2, 1000);
  cache.set('old', 'o');
  cache.set('unused', 'u');
  cache.get('old');
  cache.set('new', 'n');
  expect([cache.get('old'), cache.get('unused'), cache.get('new')]).toEqual(['o', undefined, 'n']);
});

test('the newest survives, even when all others were used', () => {
  const cache = new SecondChanceCache<number>(2, 1000);
  cache.set('a', 1);
  cache.set('b', 2);
  cache.get('a');
  cache.get('b');
  cache.set('c', 3);
  expect([cache.size, cache.get('c')]).toEqual([2, 3]);
});

test('the lengths of all keys together are bounded', () => {
  const cache = new SecondChanceCache<number>(100, 10);
  cache.set('aaaaa', 1);
  cache.set('bbbbb', 2);
  expect(cache.size).toBe(2);
  cache.set('c', 3);
  expect([cache.size, cache.get('aaaaa')]).toEqual([2, undefined]);
  cache.set('d'.repeat(11), 4);
  expect(cache.get('d'.repeat(11))).toBeUndefined();
  expect(cache.size).toBe(2);
});

test('a key set again is held once', () => {
  const cache = new SecondChanceCache<number>(2, 10);
  for (let round = 0; round < 100; round += 1) cache.set('aaaaa', round);
  cache.set('bbbbb', 1);
  expect([cache.size, cache.get('aaaaa')]).toEqual([2, 99]);
});
