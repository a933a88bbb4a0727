/**
 * Who takes part in the matrix: acme with two callers, alice who may do everything and bob who lacks something; globex, the
 * neighbour; and an issuer that nobody has configured.
 */
import { createHash } from 'node:crypto';
import type { BindingConfig, RoleConfig } from '../../../src/config/policy-config.ts';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import { type IssuedCertificate, issueClient } from '../../../src/identity/issue.ts';
import { type Claims, FakeIssuer } from '../../fakes/tokens.ts';
import { type FakeTenant, fakeTenant } from '../../fakes/trust.ts';
import type { Attempt, Kind } from './check.ts';
import { METHOD_NAMES } from './methods.ts';

export type Caller = 'alice' | 'bob';

export interface Actors {
  readonly acme: FakeTenant;
  readonly globex: FakeTenant;
  readonly stranger: FakeIssuer;
  readonly alice: IssuedCertificate;
  readonly bob: IssuedCertificate;
  /** acme's keys: alice's and bob's. */
  readonly apiKeys: TenantConfig['apiKeys'];
  readonly nowSeconds: number;
}

export function makeActors(): Actors {
  const acme = fakeTenant('acme');
  const secret = bobSecret();
  return {
    acme,
    globex: fakeTenant('globex'),
    stranger: new FakeIssuer('https://stranger.test'),
    alice: acme.pki.client,
    bob: issueClient(acme.pki.ca, { commonName: 'bob', spiffeId: `spiffe://${acme.pki.trustDomain}/bob`, days: 1 }),
    apiKeys: [
      ...acme.config.apiKeys,
      {
        id: BOBS_KEY,
        sha256: createHash('sha256').update(secret).digest('hex'),
        expiresAtSeconds: undefined,
        revoked: false,
      },
    ],
    nowSeconds: Math.floor(Date.now() / 1000),
  };
}

const BOBS_KEY = 'acme-bob';

function bobSecret(): string {
  return createHash('sha256').update('secret of bob').digest('base64url');
}

/** Headers with a token of acme's issuer that is good but for these claims. */
export function bearer(actors: Actors, claims: Claims = {}, issuer = actors.acme.issuer): Record<string, string> {
  const fresh = { iat: actors.nowSeconds - 10, exp: actors.nowSeconds + 3600 };
  return { authorization: `Bearer ${issuer.token({ ...fresh, ...claims })}` };
}

/** A caller's call with its credential of this kind. */
export function attemptAs(actors: Actors, caller: Caller, kind: Kind, claims: Claims = {}): Attempt {
  switch (kind) {
    case 'certificate':
      return caller === 'alice' ? {} : { access: { certPem: actors.bob.certPem, keyPem: actors.bob.keyPem } };
    case 'token':
      return { headers: bearer(actors, { sub: caller, ...claims }) };
    case 'api-key':
      return { headers: { 'x-api-key': caller === 'alice' ? actors.acme.apiKey : `bk_${BOBS_KEY}_${bobSecret()}` } };
  }
}

/** Binds a role to a caller by its credential of this kind alone. */
export function bindingOf(actors: Actors, caller: Caller, kind: Kind): BindingConfig {
  const spiffe = caller === 'alice' ? actors.acme.pki.spiffeId : `spiffe://${actors.acme.pki.trustDomain}/bob`;
  const key = caller === 'alice' ? 'acme-key' : BOBS_KEY;
  return {
    role: caller,
    subjects: kind === 'token' ? [caller] : [],
    keys: kind === 'api-key' ? [key] : [],
    certificates: kind === 'certificate' ? [spiffe] : [],
    source: 'acme.yaml:2',
  };
}

/** Every method by its own name, every model and version. */
export function roleOfAll(name: string, changes: Partial<RoleConfig> = {}): RoleConfig {
  return { name, methods: METHOD_NAMES, models: ['*'], versions: ['*'], source: 'acme.yaml:1', ...changes };
}
