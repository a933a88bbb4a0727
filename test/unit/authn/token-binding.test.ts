import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { certificateBinding, isBoundTo } from '../../../src/authn/token-binding.ts';

const digest = createHash('sha256').update('a certificate').digest();
const thumbprint = digest.toString('base64url');

function why(cnf: unknown, required = false): string {
  const bound = certificateBinding(cnf, required);
  if (bound.ok) return 'accepted';
  return bound.error.kind === 'token_binding_mismatch' ? bound.error.why : bound.error.kind;
}

describe('a binding', () => {
  test('is the SHA-256 of the only certificate that the token may come over', () => {
    const bound = certificateBinding({ 'x5t#S256': thumbprint }, false);
    if (!bound.ok) throw new Error(bound.error.kind);
    expect(isBoundTo(bound.value, digest.toString('hex'))).toBe(true);
    const other = Buffer.from(digest);
    other[31] = (other[31] ?? 0) ^ 1;
    expect(isBoundTo(bound.value, other.toString('hex'))).toBe(false);
    expect(isBoundTo(bound.value, createHash('sha256').update('another').digest('hex'))).toBe(false);
  });

  test('is not there in a bearer token, which any certificate of the tenant may bring unless a binding is required', () => {
    expect(certificateBinding(undefined, false)).toEqual({ ok: true, value: undefined });
    expect(isBoundTo(undefined, digest.toString('hex'))).toBe(true);
    expect(why(undefined, true)).toBe('no cnf');
    expect(why({ 'x5t#S256': thumbprint }, true)).toBe('accepted');
  });

  test.each<[string, unknown]>([
    ['cnf is not an object', null],
    ['cnf is not an object', thumbprint],
    ['cnf is not an object', [{ 'x5t#S256': thumbprint }]],
    ['cnf has no x5t#S256', {}],
    ['cnf has no x5t#S256', { jkt: thumbprint }],
    ['cnf has no x5t#S256', { jwk: { kty: 'EC' } }],
    ['cnf has no x5t#S256', { kid: 'key-1' }],
    ['cnf has no x5t#S256', { 'X5T#S256': thumbprint }],
    ['cnf has more than x5t#S256', { 'x5t#S256': thumbprint, jkt: thumbprint }],
    ['x5t#S256 is not a SHA-256', { 'x5t#S256': [thumbprint] }],
    ['x5t#S256 is not a SHA-256', { 'x5t#S256': thumbprint.slice(1) }],
    ['x5t#S256 is not a SHA-256', { 'x5t#S256': `${thumbprint}=` }],
    ['x5t#S256 is not a SHA-256', { 'x5t#S256': `${thumbprint}\n` }],
    ['x5t#S256 is not a SHA-256', { 'x5t#S256': digest.toString('hex') }],
    ['x5t#S256 is not a SHA-256', { 'x5t#S256': digest.toString('base64') }],
    ['x5t#S256 is not a SHA-256', { 'x5t#S256': `${'A'.repeat(42)}B` }],
    ['x5t#S256 is not a SHA-256', { 'x5t#S256': '' }],
  ])('%s: %j', (expected, cnf) => {
    expect(why(cnf)).toBe(expected);
    expect(why(cnf, true)).toBe(expected);
  });
});
