/**
 * Credentials of which only the name is known, made for one explanation.
 *
 * Evidence of a caller comes from authentication alone, and an explanation is no exception: a credential that is assumed to be
 * valid is a valid one, of a copy of the tenant that trusts a key made here. What is decided of it is decided by the checks that
 * decide about every call. Copy, keys and evidence live as long as the explanation, and nobody else trusts them.
 */
import { createHash, generateKeyPairSync, randomBytes, randomUUID, sign, X509Certificate } from 'node:crypto';
import { canonicalClaimPath, claimPathSteps } from '../../authn/claim-path.ts';
import { isJsonObject } from '../../authn/strict-json.ts';
import type { IssuerConfig } from '../../config/credentials-config.ts';
import type { TenantConfig } from '../../config/tenant-config.ts';
import { newKeyPair, randomSerial, signCa, signLeaf } from '../../identity/issue.ts';
import type { EpochMicros } from '../../kernel/ids.ts';
import type { KeyCredential, TokenCredential } from './question.ts';

/** A credential, and the tenant that would take it for its own. */
export interface Assumed<T> {
  readonly tenant: TenantConfig;
  readonly value: T;
  /** What was taken for granted, for whoever reads the explanation. */
  readonly note: string;
}

const HOUR_MS = 3_600_000;

/** A client certificate of this name (`spiffe://…` or `dns:…`), or of one that no binding names. */
export function assumeCertificate(
  tenant: TenantConfig,
  name: string | undefined,
  now: EpochMicros,
): Assumed<X509Certificate> {
  const id = name ?? anyId(tenant);
  const life = () => ({
    serial: randomSerial(),
    notBefore: new Date(now / 1000 - HOUR_MS),
    notAfter: new Date(now / 1000 + 24 * HOUR_MS),
  });
  const authority = newKeyPair();
  const ca = signCa(
    { commonName: 'assumed', publicKey: authority.publicKey, ...life() },
    { certificate: undefined, privateKey: authority.privateKey },
  );
  const subjectAltName = id.startsWith('dns:')
    ? ({ kind: 'dns', name: id.slice('dns:'.length) } as const)
    : ({ kind: 'uri', uri: id } as const);
  const leaf = signLeaf(
    { certificate: new X509Certificate(ca), privateKey: authority.privateKey },
    { use: 'client', publicKey: newKeyPair().publicKey, subjectAltNames: [subjectAltName], ...life() },
  );
  const note =
    name === undefined ? 'a valid client certificate that no binding names' : `a valid client certificate of ${name}`;
  // A valid one is on no list; of the CA that was made here, there is none.
  const { clientRevocation: _, ...trusting } = tenant;
  return { tenant: { ...trusting, clientCaPem: ca }, value: new X509Certificate(leaf), note };
}

/** An id that the tenant's clients may have; of its own making, if the tenant has any such. */
function anyId({ trustDomain, identifiedBy }: TenantConfig): string {
  const unnamed = `named-by-no-binding/${randomBytes(8).toString('hex')}`;
  const [pattern] = identifiedBy?.kind === 'spiffe' ? identifiedBy.ids : [];
  if (pattern !== undefined) return pattern.endsWith('/*') ? `${pattern.slice(0, -1)}${unnamed}` : pattern;
  return `spiffe://${trustDomain ?? 'assumed.invalid'}/${unnamed}`;
}

/** A token as an issuer of the tenant would make it. `certificateSha256` is that of the certificate's DER, in hex. */
export function assumeToken(
  tenant: TenantConfig,
  token: Extract<TokenCredential, { kind: 'assumed' }>,
  certificateSha256: string,
  now: EpochMicros,
): Assumed<string> {
  const trusted = tenant.issuers.find(({ issuer }) => token.issuer === undefined || issuer === token.issuer);
  const issuer = trusted?.issuer ?? token.issuer ?? 'https://assumed.invalid';
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'assumed', use: 'sig', alg: 'EdDSA' };
  const keys = JSON.stringify({ keys: [jwk] });
  const seconds = Math.floor(now / 1_000_000);
  const claims = {
    iss: issuer,
    aud: trusted?.audiences[0] ?? 'assumed',
    sub: token.subject,
    iat: seconds,
    exp: seconds + 3600,
    ...(trusted?.profile === 'at+jwt' ? { client_id: 'assumed' } : {}),
    ...(trusted?.profile === 'at+jwt' || trusted?.replay !== undefined ? { jti: randomUUID() } : {}),
    ...furtherClaims(token.claims ?? {}),
    ...claimsOfStrength(token),
    ...(trusted?.tenantClaim === undefined ? {} : { [trusted.tenantClaim]: tenant.id }),
    ...(trusted?.requireBound === true
      ? { cnf: { 'x5t#S256': Buffer.from(certificateSha256, 'hex').toString('base64url') } }
      : {}),
  };
  const signed = `${encoded({ alg: 'EdDSA', kid: 'assumed', typ: 'at+jwt' })}.${encoded(claims)}`;
  const signature = sign(undefined, Buffer.from(signed), privateKey).toString('base64url');
  const trust = (config: IssuerConfig): IssuerConfig =>
    config === trusted
      ? withoutAsking({ ...config, algorithms: ['EdDSA'], jwks: { kind: 'inline', json: keys } })
      : config;
  return {
    tenant: { ...tenant, issuers: tenant.issuers.map(trust) },
    value: `${signed}.${signature}`,
    note: `a valid token of ${issuer} for ${token.subject}, ${strengthText(token)}`,
  };
}

/** Nobody but us knows the token: its issuer is not asked about it. */
function withoutAsking({ introspection: _asked, ...config }: IssuerConfig): IssuerConfig {
  return config;
}

function claimsOfStrength({ scope, acr, amr, authTimeSeconds }: Extract<TokenCredential, { kind: 'assumed' }>): object {
  return {
    ...(scope === undefined ? {} : { scope }),
    ...(acr === undefined ? {} : { acr }),
    ...(amr === undefined ? {} : { amr }),
    ...(authTimeSeconds === undefined ? {} : { auth_time: authTimeSeconds }),
  };
}

/** Claims at their paths. One that is no path is left away: nothing could read it. */
function furtherClaims(claims: Readonly<Record<string, unknown>>): object {
  const all: Record<string, unknown> = {};
  for (const [text, value] of Object.entries(claims)) {
    const path = canonicalClaimPath(text);
    if (path === undefined) continue;
    const steps = claimPathSteps(path);
    const last = steps.at(-1) ?? '';
    let within = all;
    for (const step of steps.slice(0, -1)) {
      const next = Object.hasOwn(within, step) ? within[step] : undefined;
      const inner: Record<string, unknown> = isJsonObject(next) ? { ...next } : {};
      Object.defineProperty(within, step, { value: inner, enumerable: true, configurable: true, writable: true });
      within = inner;
    }
    Object.defineProperty(within, last, { value, enumerable: true, configurable: true, writable: true });
  }
  return all;
}

function strengthText({ scope, acr, amr, authTimeSeconds }: Extract<TokenCredential, { kind: 'assumed' }>): string {
  const scopes = scope === undefined || scope === '' ? 'without scopes' : `with the scopes ${scope}`;
  const signIn = acr !== undefined || amr !== undefined || authTimeSeconds !== undefined;
  return signIn ? `${scopes}, and a sign-in as strong as its roles ask for` : scopes;
}

/** A key of the tenant, with its secret. One that nobody has comes out as it would from anybody who made it up. */
export function assumeKey(tenant: TenantConfig, { id }: Extract<KeyCredential, { kind: 'assumed' }>): Assumed<string> {
  const secret = randomBytes(24).toString('base64url');
  const sha256 = createHash('sha256').update(secret).digest('hex');
  const apiKeys = tenant.apiKeys.map((key) => (key.id === id ? { ...key, sha256 } : key));
  return { tenant: { ...tenant, apiKeys }, value: `bk_${id}_${secret}`, note: `the right secret of the API key ${id}` };
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
