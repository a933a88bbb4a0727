/**
 * What is wrong with the credential itself: kinds × {no, wrong, expired, revoked, weak, foreign}.
 */
import type { ApiKeyConfig, IssuerConfig } from '../../../src/config/credentials-config.ts';
import { boundTo, FakeIssuer } from '../../fakes/tokens.ts';
import { type Actors, bearer } from './actors.ts';
import { certificateChecks } from './certificate-checks.ts';
import { always, BOTH, type Check, type Gap, OPEN, type Tenants } from './check.ts';

const INVALID = { status: 16, reason: 'TOKEN_INVALID' };
const BAD_KEY = { status: 16, reason: 'API_KEY_INVALID' };
const MISSING = { status: 16, reason: 'CREDENTIALS_MISSING' };
const BINDING = { status: 16, reason: 'TOKEN_BINDING_MISMATCH' };
const CROSSING = { status: 7, reason: 'TENANT_MISMATCH' };

/** Of kinds × defects, what has no row. */
export const CREDENTIAL_GAPS: readonly Gap[] = [
  {
    kind: 'api-key',
    aspect: 'weak',
    why: 'a key is known by its hash alone; a secret that is too short is refused by its grammar where keys are made',
  },
];

export function credentialChecks(actors: Actors): readonly Check[] {
  return [...certificateChecks(actors), ...tokenChecks(actors), ...boundTokenChecks(actors), ...keyChecks(actors)];
}

function tokenChecks(actors: Actors): readonly Check[] {
  const { acme, globex, stranger, nowSeconds } = actors;
  const [issuer] = acme.config.issuers;
  if (issuer === undefined) throw new Error('acme has an issuer');
  const changed = (changes: Partial<IssuerConfig>): Tenants => ({ acme: { issuers: [{ ...issuer, ...changes }] } });
  const forger = new FakeIssuer(issuer.issuer);
  const rsa = new FakeIssuer(issuer.issuer, 'RS256');
  rsa.addKey('rsa');
  const bothKeys = { kind: 'inline', json: joined(acme.issuer.jwks(), rsa.jwks()) } as const;
  const token = { kind: 'token', satisfied: always({ headers: bearer(actors) }), strict: OPEN } as const;
  const aDay = changed({ clockSkewMs: 86_400_000 });
  return [
    {
      ...token,
      aspect: 'no',
      name: 'no credential where a token is wanted',
      refusal: MISSING,
      strict: { acme: { accept: ['token'] } },
      attack: always({}),
      lax: { acme: { accept: ['certificate', 'token'] } },
    },
    {
      ...token,
      aspect: 'wrong',
      name: 'a token with another key’s signature',
      refusal: INVALID,
      attack: always({ headers: bearer(actors, {}, forger) }),
      lax: changed({ jwks: { kind: 'inline', json: forger.jwks() } }),
    },
    {
      ...token,
      aspect: 'wrong',
      name: 'a token for another audience',
      refusal: INVALID,
      attack: always({ headers: bearer(actors, { aud: 'another' }) }),
      lax: changed({ audiences: ['bulkhead', 'another'] }),
    },
    {
      ...token,
      aspect: 'wrong',
      name: 'a token that is not good yet',
      refusal: INVALID,
      attack: always({ headers: bearer(actors, { nbf: nowSeconds + 600 }) }),
      lax: aDay,
    },
    {
      ...token,
      aspect: 'wrong',
      name: 'a token that is no access token',
      refusal: INVALID,
      strict: changed({ profile: 'at+jwt' }),
      attack: always({ headers: bearer(actors) }),
      satisfied: always({ headers: bearer(actors, { jti: 'j', client_id: 'c' }) }),
      lax: OPEN,
    },
    {
      ...token,
      aspect: 'expired',
      name: 'a token that has expired',
      refusal: { status: 16, reason: 'TOKEN_EXPIRED' },
      attack: always({ headers: bearer(actors, { iat: nowSeconds - 7200, exp: nowSeconds - 3600 }) }),
      lax: aDay,
    },
    {
      ...token,
      aspect: 'weak',
      name: 'a token of an algorithm that is not the issuer’s',
      refusal: INVALID,
      strict: changed({ jwks: bothKeys, algorithms: ['ES256'] }),
      attack: always({ headers: bearer(actors, {}, rsa) }),
      lax: changed({ jwks: bothKeys, algorithms: ['ES256', 'RS256'] }),
    },
    {
      ...token,
      aspect: 'foreign',
      name: 'another tenant’s token',
      refusal: INVALID,
      strict: BOTH,
      attack: always({ headers: bearer(actors, {}, globex.issuer) }),
      lax: {
        acme: { issuers: [...acme.config.issuers, ...globex.config.issuers] },
        globex: { issuers: [] },
      },
    },
    {
      ...token,
      aspect: 'foreign',
      name: 'a token of nobody’s issuer',
      refusal: INVALID,
      attack: always({ headers: bearer(actors, {}, stranger) }),
      lax: changed({ issuer: stranger.issuer, jwks: { kind: 'inline', json: stranger.jwks() } }),
    },
    {
      ...token,
      aspect: 'foreign',
      name: 'a token of a shared issuer for another tenant',
      refusal: CROSSING,
      strict: changed({ tenantClaim: 'tenant' }),
      attack: always({ headers: bearer(actors, { tenant: 'globex' }) }),
      satisfied: always({ headers: bearer(actors, { tenant: 'acme' }) }),
      lax: OPEN,
    },
    {
      ...token,
      aspect: 'foreign',
      name: 'a good token beside another tenant’s key',
      refusal: CROSSING,
      strict: BOTH,
      attack: always({ headers: { ...bearer(actors), 'x-api-key': globex.apiKey } }),
      satisfied: always({ headers: { ...bearer(actors), 'x-api-key': acme.apiKey } }),
      lax: { acme: { apiKeys: globex.config.apiKeys }, globex: { apiKeys: [] } },
    },
  ];
}

function boundTokenChecks(actors: Actors): readonly Check[] {
  const { acme, globex } = actors;
  const mine = { headers: bearer(actors, { cnf: boundTo(acme.pki.client.certPem) }) };
  const token = { kind: 'token', refusal: BINDING, satisfied: always(mine) } as const;
  const required: Tenants = { acme: { issuers: acme.config.issuers.map((each) => ({ ...each, requireBound: true })) } };
  return [
    {
      ...token,
      aspect: 'foreign',
      name: 'a token that is bound to another certificate',
      strict: OPEN,
      attack: always({ headers: bearer(actors, { cnf: boundTo(globex.pki.client.certPem) }) }),
      lax: { notShown: 'no configuration is without this check' },
    },
    {
      ...token,
      aspect: 'weak',
      name: 'a token that is bound to nothing where it must be',
      strict: required,
      attack: always({ headers: bearer(actors) }),
      lax: OPEN,
    },
  ];
}

function keyChecks({ acme, globex, apiKeys, nowSeconds }: Actors): readonly Check[] {
  const mine = always({ headers: { 'x-api-key': acme.apiKey } });
  const [key] = acme.config.apiKeys;
  if (key === undefined) throw new Error('acme has a key');
  const secret = acme.apiKey.slice(acme.apiKey.lastIndexOf('_') + 1);
  const two = (changes: Partial<ApiKeyConfig>): Tenants => ({ acme: { apiKeys: [...apiKeys, other(changes)] } });
  /** A second key with the same secret as alice's. */
  const other = (changes: Partial<ApiKeyConfig>): ApiKeyConfig => ({ ...key, id: 'other', ...changes });
  const theOther = always({ headers: { 'x-api-key': `bk_other_${secret}` } });
  const rotated = (endSeconds: number): Tenants =>
    two({ sha256: '0'.repeat(64), previous: { sha256: key.sha256, expiresAtSeconds: endSeconds } });
  const base = { kind: 'api-key', refusal: BAD_KEY, satisfied: mine, attack: theOther, lax: two({}) } as const;
  return [
    {
      ...base,
      aspect: 'no',
      name: 'no credential where a key is wanted',
      refusal: MISSING,
      strict: { acme: { accept: ['api-key'] } },
      attack: always({}),
      lax: { acme: { accept: ['certificate', 'api-key'] } },
    },
    { ...base, aspect: 'wrong', name: 'a key that nobody has', strict: OPEN },
    { ...base, aspect: 'wrong', name: 'a key of another secret', strict: two({ sha256: '0'.repeat(64) }) },
    {
      ...base,
      aspect: 'wrong',
      name: 'what is no key',
      strict: OPEN,
      attack: always({ headers: { 'x-api-key': acme.apiKey.slice(1) } }),
      lax: { notShown: 'no configuration is without this check' },
    },
    { ...base, aspect: 'expired', name: 'a key that has expired', strict: two({ expiresAtSeconds: nowSeconds - 1 }) },
    {
      ...base,
      aspect: 'expired',
      name: 'the secret before, after its end',
      strict: rotated(nowSeconds - 1),
      lax: rotated(nowSeconds + 3600),
    },
    { ...base, aspect: 'revoked', name: 'a revoked key', strict: two({ revoked: true }) },
    {
      ...base,
      aspect: 'foreign',
      name: 'another tenant’s key',
      refusal: CROSSING,
      strict: BOTH,
      attack: always({ headers: { 'x-api-key': globex.apiKey } }),
      lax: { acme: { apiKeys: globex.config.apiKeys }, globex: { apiKeys: [] } },
    },
    {
      ...base,
      aspect: 'foreign',
      name: 'another tenant’s key, of which only the id is known',
      strict: BOTH,
      attack: always({ headers: { 'x-api-key': `bk_globex-key_${secret}` } }),
      lax: two({ id: 'globex-key' }),
    },
  ];
}

/** One key set of two. */
function joined(...sets: readonly string[]): string {
  const keys = sets.flatMap((set): readonly unknown[] => {
    const parsed: unknown = JSON.parse(set);
    const list: unknown = Reflect.get(Object(parsed), 'keys');
    return Array.isArray(list) ? list : [];
  });
  return JSON.stringify({ keys });
}
