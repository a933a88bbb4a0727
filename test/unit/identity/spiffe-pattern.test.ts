import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { domainOf, isSpiffePattern, MAX_PATTERN_SEGMENTS, SpiffeOwners } from '../../../src/identity/spiffe-pattern.ts';

test.each([
  ['spiffe://mesh.example/tenant/acme', true],
  ['spiffe://mesh.example/tenant/acme/*', true],
  ['spiffe://mesh.example/*', true],
  ['spiffe://mesh.example', false],
  ['spiffe://mesh.example/', false],
  ['spiffe://Mesh.example/a', false],
  ['SPIFFE://mesh.example/a', false],
  ['spiffe://mesh.example/ns/*/sa/acme', false],
  ['spiffe://mesh.example/tenant/acme*', false],
  ['spiffe://mesh.example/../a', false],
  ['spiffe://mesh.example//a', false],
  ['spiffe://mesh.example/a/*/*', false],
  ['spiffe://*/a', false],
  ['https://mesh.example/a', false],
  [`spiffe://d${'/s'.repeat(MAX_PATTERN_SEGMENTS)}`, true],
  [`spiffe://d${'/s'.repeat(MAX_PATTERN_SEGMENTS)}/*`, true],
  [`spiffe://d${'/s'.repeat(MAX_PATTERN_SEGMENTS + 1)}`, false],
])('%s is a pattern: %s', (text, expected) => {
  expect(isSpiffePattern(text)).toBe(expected);
});

test('a pattern is of its trust domain', () => {
  expect(domainOf('spiffe://mesh.example/a/*')).toBe('mesh.example');
  expect(domainOf('spiffe://mesh.example/*')).toBe('mesh.example');
});

function owners(...entries: readonly (readonly [string, string])[]): SpiffeOwners<string> {
  const made = new SpiffeOwners<string>();
  for (const [pattern, owner] of entries) made.enter(pattern, owner);
  return made;
}

describe('an id', () => {
  const known = owners(
    ['spiffe://m/tenant/acme/*', 'acme'],
    ['spiffe://m/tenant/globex', 'globex'],
    ['spiffe://other/*', 'other'],
  );
  test.each([
    ['spiffe://m/tenant/acme/a', 'acme'],
    ['spiffe://m/tenant/acme/a/b/c', 'acme'],
    ['spiffe://m/tenant/acme', ''],
    ['spiffe://m/tenant/acme-2/a', ''],
    ['spiffe://m/tenant/Acme/a', ''],
    ['spiffe://m/tenant/globex', 'globex'],
    ['spiffe://m/tenant/globex/a', ''],
    ['spiffe://other/anything', 'other'],
    ['spiffe://other', ''],
    ['spiffe://othe/r', ''],
    [`spiffe://m/tenant/acme${'/s'.repeat(100)}`, 'acme'],
  ])('%s is of %s', (uri, expected) => {
    expect([...known.ownersOf(uri)].join()).toBe(expected);
  });

  test('has nobody any more when its owner has left, and is its other owner’s as long as there is one', () => {
    const two = owners(['spiffe://m/a/*', 'acme'], ['spiffe://m/a/*', 'globex']);
    two.leave('spiffe://m/a/*', 'acme');
    expect([...two.ownersOf('spiffe://m/a/b')]).toEqual(['globex']);
    two.leave('spiffe://m/a/*', 'globex');
    expect(two.ownersOf('spiffe://m/a/b').size).toBe(0);
  });
});

const segment = fc.constantFrom('a', 'b', 'c');
const path = fc.array(segment, { maxLength: 4 }).map((segments) => segments.map((one) => `/${one}`).join(''));
const pattern = fc.tuple(fc.constantFrom('d', 'e'), path, fc.boolean()).map(([domain, rest, below]) => {
  const whole = `spiffe://${domain}${rest}`;
  return below || rest === '' ? `${whole}/*` : whole;
});

test('two owners overlap if and only if one of them says so of one of its patterns, and then some id is both’s', () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 4 }), fc.array(pattern, { maxLength: 4 }), (first, second) => {
      const both = new SpiffeOwners<string>();
      for (const each of first) both.enter(each, 'first');
      for (const each of second) both.enter(each, 'second');
      const said =
        first.some((each) => both.otherOwner(each, 'first') !== undefined) ||
        second.some((each) => both.otherOwner(each, 'second') !== undefined);
      // Every id that could be in one of them and not in another, by what patterns look at.
      const ids = [...first, ...second].flatMap((each) => {
        const base = each.endsWith('/*') ? each.slice(0, -2) : each;
        return [base, `${base}/a`, `${base}/b`, `${base}/c`, `${base}/x`, `${base}/x/y`];
      });
      expect(ids.some((id) => both.ownersOf(id).size > 1)).toBe(said);
    }),
    { numRuns: 2_000 },
  );
});
