import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMethodPath } from '../../../src/grpc/path.ts';

describe('a method path', () => {
  it('is a service and a method', () => {
    expect(parseMethodPath('/inference.GRPCInferenceService/ModelInfer')).toEqual({
      path: '/inference.GRPCInferenceService/ModelInfer',
      fullName: 'inference.GRPCInferenceService/ModelInfer',
    });
    expect(parseMethodPath('/S/m_1')?.fullName).toBe('S/m_1');
  });

  it.each([
    '',
    '/',
    '//',
    '/a',
    '/a/',
    '//b',
    'a/b',
    '/a/b/',
    '/a/b/c',
    '/a//b',
    '/a%2Fb/c',
    '/a/b?c',
    '/a/b#c',
    '/a b/c',
    '/a/b ',
    '/../b',
    '/./b',
    '/a..b/c',
    '/.a/b',
    '/a./b',
    '/a/b.c',
    '/a/..',
    '/a-b/c',
    '/a/b\0',
    '/a/b\n',
    '/ä/b',
    '*',
    'http://host/a/b',
  ])('is not %j', (path) => {
    expect(parseMethodPath(path)).toBeUndefined();
  });

  it('is what the regular expression says, less empty segments', () => {
    const reference = /^\/[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*\/[A-Za-z0-9_]+$/;
    const text = fc.string({ unit: fc.constantFrom('/', '.', 'a', 'Z', '0', '_', '%', '-', '\n', 'é'), maxLength: 8 });
    fc.assert(
      fc.property(text, (tail) => {
        const path = `/${tail}`;
        expect(parseMethodPath(path) !== undefined).toBe(reference.test(path));
      }),
      { numRuns: 5_000 },
    );
  });
});
