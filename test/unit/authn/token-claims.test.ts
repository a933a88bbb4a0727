import { expect, test } from 'vitest';
import { checkClaims } from '../../../src/authn/token-claims.ts';
import type { IssuerConfig } from '../../../src/config/credentials-config.ts';
import { micros, tenantId } from '../../fakes/trust.ts';

const NOW = 1_767_225_600;
const SKEW = 30;
const issuer: IssuerConfig = {
  issuer: 'https://idp.test',
  audiences: ['bulkhead', 'models'],
  algorithms: ['ES256'],
  jwks: { kind: 'inline', json: '{"keys":[]}' },
  clockSkewMs: SKEW * 1000,
  tenantClaim: undefined,
  requireBound: false,
};
const shared: IssuerConfig = { ...issuer, tenantClaim: 'tenant' };
const good = { iss: 'https://idp.test', aud: 'bulkhead', sub: 'alice', exp: NOW + 60 };

function verdict(changes: object, by = issuer, now = NOW): unknown {
  const checked = checkClaims({ ...good, ...changes }, by, tenantId('acme'), micros(now));
  if (checked.ok) return 'accepted';
  return checked.error.kind === 'token_invalid' ? checked.error.why : checked.error.kind;
}

test('good claims give the subject and the end of the token, skew included', () => {
  expect(checkClaims(good, issuer, tenantId('acme'), micros(NOW))).toEqual({
    ok: true,
    value: {
      issuer: 'https://idp.test',
      subject: 'alice',
      expiresAtSeconds: NOW + 60,
      expiresAt: micros(NOW + 60 + SKEW),
      boundTo: undefined,
      strength: { scope: '', acr: undefined, amr: [], authTimeSeconds: undefined },
      sessions: [],
    },
  });
});

test('a token’s session and its own id are what a deny list may name, where they are names', () => {
  const sessions = (claims: object): unknown => {
    const checked = checkClaims({ ...good, ...claims }, issuer, tenantId('acme'), micros(NOW));
    return checked.ok ? checked.value.sessions : checked.error;
  };
  expect(sessions({ sid: 's', jti: 'j' })).toEqual(['s', 'j']);
  expect(sessions({ sid: 7, jti: 'a'.repeat(256) })).toEqual(['a'.repeat(256)]);
  expect(sessions({ sid: '', jti: 'a'.repeat(257) })).toEqual([]);
});

test.each<[string, object]>([
  ['iss differs from the issuer', { iss: 'https://idp.test/' }],
  ['iss differs from the issuer', { iss: 'HTTPS://idp.test' }],
  ['iss differs from the issuer', { iss: ['https://idp.test'] }],
  ['iss differs from the issuer', { iss: undefined }],
  ['aud names none of the audiences', { aud: undefined }],
  ['aud names none of the audiences', { aud: 'bulkhea' }],
  ['aud names none of the audiences', { aud: [] }],
  ['aud names none of the audiences', { aud: ['bulkhead', 7] }],
  ['aud names none of the audiences', { aud: { bulkhead: true } }],
  ['sub is not a name', { sub: undefined }],
  ['sub is not a name', { sub: '' }],
  ['sub is not a name', { sub: 7 }],
  ['sub is not a name', { sub: 'a\nb' }],
  ['sub is not a name', { sub: 'a\u0085b' }],
  ['sub is not a name', { sub: '\ud800' }],
  ['sub is not a name', { sub: 'a'.repeat(257) }],
  ['exp is not a time', { exp: undefined }],
  ['exp is not a time', { exp: String(NOW + 60) }],
  ['exp is not a time', { exp: 1e300 }],
  ['exp is not a time', { exp: -1 }],
  ['nbf is not a time', { nbf: String(NOW) }],
  ['iat is not a time', { iat: null }],
])('%s: %j', (why, changes) => {
  expect(verdict(changes)).toBe(why);
});

test.each<[string, object]>([
  ['any of several audiences', { aud: ['other', 'models'] }],
  ['a subject of 256 characters', { sub: 'a'.repeat(256) }],
  ['a subject with letters of any script', { sub: 'élodie 漢字 👩‍🔬' }],
  ['a fraction of a second', { exp: NOW + 0.5 }],
])('accepted: %s', (_what, changes) => {
  expect(verdict(changes)).toBe('accepted');
});

test('a token ends at exp and the skew, to the microsecond', () => {
  expect(verdict({ exp: NOW - SKEW }, issuer, NOW - 0.000_001)).toBe('accepted');
  expect(verdict({ exp: NOW - SKEW })).toBe('token_expired');
});

test.each(['nbf', 'iat'])('%s may be ahead by the skew and no more', (claim) => {
  expect(verdict({ [claim]: NOW + SKEW })).toBe('accepted');
  expect(verdict({ [claim]: NOW + SKEW + 1 })).toBe(`${claim} is in the future`);
});

test('an issuer of several tenants must say which one', () => {
  expect(verdict({ tenant: 'acme' }, shared)).toBe('accepted');
  expect(verdict({ tenant: 'globex' }, shared)).toBe('tenant_mismatch');
  expect(verdict({ tenant: 'ACME' }, shared)).toBe('tenant_mismatch');
  expect(verdict({}, shared)).toBe('no claim tenant');
  expect(verdict({ tenant: ['acme'] }, shared)).toBe('no claim tenant');
  // Counter-proof: an issuer that is not asked for the claim lets the other tenant's token through.
  expect(verdict({ tenant: 'globex' }, issuer)).toBe('accepted');
});

test.each(['iat', 'jti', 'client_id'])('an access token by RFC 9068 has %s, where that is asked for', (claim) => {
  const whole = { iat: NOW, jti: 'one', client_id: 'batch' };
  const profile: IssuerConfig = { ...issuer, profile: 'at+jwt' };
  expect(verdict(whole, profile)).toBe('accepted');
  expect(verdict({ ...whole, [claim]: undefined }, profile)).toBe(`no ${claim}`);
  expect(verdict({ ...whole, [claim]: undefined }, issuer)).toBe('accepted');
});
