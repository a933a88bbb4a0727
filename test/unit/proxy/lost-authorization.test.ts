import { expect, it } from 'vitest';
import type { Denial } from '../../../src/kernel/denial.ts';
import { lostAuthorization } from '../../../src/proxy/lost-authorization.ts';

it.each<[Denial, string, string]>([
  [{ kind: 'certificate_unacceptable', why: 'revoked', revokedBy: 'a.yaml:3' }, 'revoked', 'certificate'],
  [{ kind: 'certificate_unacceptable', why: 'expired' }, 'withdrawn', 'certificate'],
  [{ kind: 'token_invalid', why: 'revoked', revokedBy: 'a.yaml:3' }, 'revoked', 'token'],
  [{ kind: 'token_invalid', why: 'unknown issuer' }, 'withdrawn', 'token'],
  [{ kind: 'token_expired', expiredAtSeconds: 1 }, 'expired', 'token'],
  [{ kind: 'token_binding_mismatch', why: 'x' }, 'withdrawn', 'token'],
  [{ kind: 'api_key_invalid', why: 'revoked' }, 'revoked', 'api key'],
  [{ kind: 'api_key_invalid', why: 'expired' }, 'expired', 'api key'],
  [{ kind: 'api_key_invalid', why: 'unknown' }, 'withdrawn', 'api key'],
  [{ kind: 'method_denied', method: 'a/b', caller: 'x' }, 'withdrawn', 'permission'],
])('a call that would be refused with %j has lost what is %s: its %s', (refusal, why, credential) => {
  expect(lostAuthorization(refusal)).toMatchObject({ kind: 'authorization_expired', why, credential });
});

it('says what a new call would be refused with', () => {
  const because = 'api_key_invalid why=revoked revokedBy=a.yaml:3';
  const refusal: Denial = { kind: 'api_key_invalid', why: 'revoked', revokedBy: 'a.yaml:3' };
  expect(lostAuthorization(refusal)).toMatchObject({ because });
});
