import { describe, expect, test } from 'vitest';
import {
  canonicalClaimPath,
  claimAt,
  claimPathSteps,
  MAX_CLAIM_PATH_LENGTH,
  MAX_CLAIM_PATH_STEPS,
} from '../../../src/authn/claim-path.ts';
import type { JsonObject } from '../../../src/authn/strict-json.ts';

const token: JsonObject = JSON.parse(
  '{"groups":["a"],"realm_access":{"roles":["r"]},"https://acme.example/groups":["g"],"a.b":1,"m~n":2,"list":[{"x":1}],"__proto__":{"y":1}}',
);
const at = (path: string): unknown => claimAt(token, claimPathSteps(canonicalClaimPath(path) ?? ''));

describe('a path of a claim', () => {
  test.each([
    ['groups', ['a']],
    ['/groups', ['a']],
    ['realm_access.roles', ['r']],
    ['/realm_access/roles', ['r']],
    ['/https:~1~1acme.example~1groups', ['g']],
    ['/a.b', 1],
    ['a.b', undefined],
    ['/m~0n', 2],
    ['m~n', 2],
    ['__proto__.y', 1],
  ])('%s leads to the claim', (path, value) => {
    expect(at(path)).toEqual(value);
  });

  test.each([
    'constructor',
    'toString.length',
    'groups.0',
    'groups.length',
    'list.0.x',
    '/list/0/x',
    'realm_access.no',
  ])('%s leads nowhere', (path) => {
    expect(at(path)).toBeUndefined();
  });

  test.each(['', '.', 'a.', '.a', 'a..b', '/', '/a/', '//a', '/a~2', '/a~'])('%j is none', (path) => {
    expect(canonicalClaimPath(path)).toBeUndefined();
  });

  test('has a longest and a deepest', () => {
    expect(canonicalClaimPath('a'.repeat(MAX_CLAIM_PATH_LENGTH))).toBeDefined();
    expect(canonicalClaimPath('a'.repeat(MAX_CLAIM_PATH_LENGTH + 1))).toBeUndefined();
    const steps = (count: number, before: string, between: string): string =>
      before + Array.from({ length: count }, () => 'a').join(between);
    for (const [before, between] of [
      ['', '.'],
      ['/', '/'],
    ] as const) {
      expect(canonicalClaimPath(steps(MAX_CLAIM_PATH_STEPS, before, between))).toBeDefined();
      expect(canonicalClaimPath(steps(MAX_CLAIM_PATH_STEPS + 1, before, between))).toBeUndefined();
    }
  });
});
