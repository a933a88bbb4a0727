/**
 * From an issuer in a tenant's file to the issuer's configuration: how its tokens are verified, and by what.
 */

import type { IntrospectionConfig, IssuerConfig } from './credentials-config.ts';
import type { FileScope } from './file-scope.ts';
import type { ValuePath } from './finding.ts';
import type { KeyPairPem } from './generation.ts';
import { judgeKeySet } from './key-set.ts';
import type { TenantSource } from './schema-tenant.ts';

type IssuerSource = TenantSource['issuers'][number];

/** Builds an issuer. `path` is where it stands. */
export function buildIssuer(scope: FileScope, issuer: IssuerSource, path: ValuePath): IssuerConfig | undefined {
  const jwks = buildKeys(scope, issuer, path);
  const introspection = buildIntrospection(scope, issuer, jwks, [...path, 'introspection']);
  if (jwks === undefined || (issuer.introspection !== undefined && introspection === undefined)) return undefined;
  return {
    issuer: issuer.issuer,
    audiences: typeof issuer.audience === 'string' ? [issuer.audience] : issuer.audience,
    algorithms: issuer.algorithms,
    jwks,
    clockSkewMs: issuer.clockSkew,
    tenantClaim: issuer.tenantClaim,
    requireBound: issuer.requireBound,
    profile: issuer.profile,
    ...(issuer.replay === undefined ? {} : { replay: issuer.replay }),
    ...(introspection === undefined ? {} : { introspection }),
  };
}

/** Where an issuer's keys come from. `path` is the issuer's. */
function buildKeys(scope: FileScope, issuer: IssuerSource, path: ValuePath): IssuerConfig['jwks'] | undefined {
  const { jwks, discovery } = issuer;
  if (jwks !== undefined && discovery === undefined) return buildKeySet(scope, issuer, jwks, [...path, 'jwks']);
  if (discovery !== undefined && jwks === undefined) return buildDiscovery(scope, issuer, discovery, path);
  if (jwks === undefined && issuer.introspection !== undefined) return { kind: 'none' };
  const problem = jwks === undefined ? 'says nowhere how its tokens are verified' : 'has both jwks and discovery';
  scope.report({ path }, problem, 'write jwks: with a file or a URL, or discovery: {}, or introspection:');
  return undefined;
}

function buildDiscovery(
  scope: FileScope,
  { issuer }: IssuerSource,
  { ca }: NonNullable<IssuerSource['discovery']>,
  path: ValuePath,
): IssuerConfig['jwks'] | undefined {
  const authority = ca === undefined ? undefined : scope.authorities([...path, 'discovery', 'ca'], ca);
  const isFetched = scope.fetches([...path, 'issuer'], issuer);
  // RFC 8414 §2.
  const hasQuery = issuer.includes('?');
  if (hasQuery) scope.report({ path: [...path, 'issuer'] }, 'has a query in it, and no metadata', 'write jwks instead');
  if (!isFetched || hasQuery || (ca !== undefined && authority === undefined)) return undefined;
  return { kind: 'discovery', caPem: authority?.pem };
}

function buildIntrospection(
  scope: FileScope,
  { introspection: source, discovery }: IssuerSource,
  jwks: IssuerConfig['jwks'] | undefined,
  path: ValuePath,
): IntrospectionConfig | undefined {
  if (source === undefined) return undefined;
  const { endpoint, ca, clientSecret, clientCertificate } = source;
  if (endpoint === undefined && discovery === undefined) {
    const fix = 'add endpoint:, or discovery: {} to the issuer';
    scope.report({ path }, 'says nowhere where the issuer is asked', fix);
    return undefined;
  }
  if (clientSecret === undefined && clientCertificate === undefined) {
    const fix = 'add clientSecret: or clientCertificate:';
    scope.report({ path }, 'says nowhere how the issuer knows us', fix);
    return undefined;
  }
  if (source.method !== undefined && clientSecret === undefined) {
    scope.report({ path: [...path, 'method'], at: 'key' }, 'has no meaning without a secret', 'remove it');
  }
  const isFetched = endpoint === undefined || scope.fetches([...path, 'endpoint'], endpoint);
  const authority = ca === undefined ? undefined : scope.authorities([...path, 'ca'], ca);
  const secret = clientSecret === undefined ? undefined : scope.secret([...path, 'clientSecret'], clientSecret);
  const certificate =
    clientCertificate === undefined
      ? undefined
      : buildCertificate(scope, clientCertificate, [...path, 'clientCertificate']);
  const isComplete =
    (ca === undefined || authority !== undefined) &&
    (clientSecret === undefined || secret !== undefined) &&
    (clientCertificate === undefined || certificate !== undefined);
  if (!isFetched || !isComplete) return undefined;
  return {
    endpoint,
    caPem: authority?.pem ?? (jwks?.kind === 'discovery' ? jwks.caPem : undefined),
    clientId: source.clientId,
    clientSecret: secret,
    method: source.method ?? 'basic',
    clientCertificate: certificate,
    tokens: source.tokens,
    cacheMs: source.cache,
    staleIfErrorMs: source.staleIfError,
  };
}

function buildCertificate(
  scope: FileScope,
  { chain, key }: { readonly chain: string; readonly key: string },
  path: ValuePath,
): KeyPairPem | undefined {
  return scope.keyPair({ path: [...path, 'chain'], named: chain }, { path: [...path, 'key'], named: key })?.pair;
}

function buildKeySet(
  scope: FileScope,
  issuer: IssuerSource,
  { file, url, ca }: NonNullable<IssuerSource['jwks']>,
  path: ValuePath,
): IssuerConfig['jwks'] | undefined {
  if ((file === undefined) === (url === undefined)) {
    scope.report(
      { path },
      file === undefined ? 'names neither a file nor a URL' : 'names both a file and a URL',
      'write either file: or url:',
    );
    return undefined;
  }
  if (file !== undefined) {
    if (ca !== undefined) scope.report({ path: [...path, 'ca'] }, 'has no meaning for a file', 'remove it');
    const json = scope.text([...path, 'file'], file);
    if (json === undefined || !scope.reportFile([...path, 'file'], file, judgeKeySet(json, issuer.algorithms)))
      return undefined;
    return { kind: 'inline', json };
  }
  if (url === undefined) return undefined;
  const isFetched = scope.fetches([...path, 'url'], url);
  const authority = ca === undefined ? undefined : scope.authorities([...path, 'ca'], ca);
  if (!isFetched || (ca !== undefined && authority === undefined)) return undefined;
  return { kind: 'url', url, caPem: authority?.pem };
}
