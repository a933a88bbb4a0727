import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IdPermutation } from '../../../src/inspection/id-permutation.ts';
import { Namespace } from '../../../src/inspection/namespace.ts';

const SECRET = Buffer.alloc(32, 9);
const ids = fc.oneof(fc.bigInt(1n, 2n ** 64n - 1n), fc.constantFrom(1n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n));

describe('a permutation of ids', () => {
  it('turns back, and never gives zero', () => {
    const permutation = new IdPermutation(SECRET);
    fc.assert(
      fc.property(ids, (id) => {
        const permuted = permutation.apply(id);
        expect(permuted > 0n && permuted < 2n ** 64n).toBe(true);
        expect(permutation.invert(permuted)).toBe(id);
        expect(new IdPermutation(SECRET).apply(id)).toBe(permuted);
      }),
      { numRuns: 2_000 },
    );
  });

  it('gives what takes zero’s place to whoever would have become zero', () => {
    const permutation = new IdPermutation(SECRET);
    // The number that the network makes zero is what it makes of zero backwards.
    const unlucky = permutation.invert(permutation.apply(0n));
    expect(unlucky).not.toBe(0n);
    expect(permutation.apply(unlucky)).toBe(permutation.apply(0n));
    expect(permutation.invert(permutation.apply(unlucky))).toBe(unlucky);
  });

  it('is another one with another key', () => {
    const [one, other] = [new IdPermutation(SECRET), new IdPermutation(Buffer.alloc(32, 8))];
    fc.assert(fc.property(ids, (id) => one.apply(id) !== other.apply(id)));
  });

  it('spreads neighbours over all bits', () => {
    const permutation = new IdPermutation(SECRET);
    let ones = 0;
    for (let id = 1n; id <= 500n; id++) {
      let difference = permutation.apply(id) ^ permutation.apply(id + 1n);
      for (; difference > 0n; difference >>= 1n) ones += Number(difference & 1n);
    }
    // 32 of 64 bits differ on average; the mean of 500 strays by less than one.
    expect(Math.abs(ones / 500 - 32)).toBeLessThan(1);
  });
});

describe('a namespace', () => {
  it('is the same for the same tenant and secret, in any process', () => {
    const again = new Namespace('acme', Buffer.from(SECRET));
    expect(again.entering.integer(1n)).toBe(new Namespace('acme', SECRET).entering.integer(1n));
    expect(again.entering.integer(1n)).toBe(6_862_392_876_180_113_163n);
  });

  it('is another one for another tenant, and with another secret', () => {
    const one = new Namespace('acme', SECRET).entering.integer(1n);
    expect(new Namespace('globex', SECRET).entering.integer(1n)).not.toBe(one);
    expect(new Namespace('acme', Buffer.alloc(32)).entering.integer(1n)).not.toBe(one);
  });

  it('takes back what it gave', () => {
    const { entering, leaving } = new Namespace('acme', SECRET);
    fc.assert(fc.property(ids, (id) => leaving.integer(entering.integer(id)) === id));
  });
});
