/**
 * From an issuer in a tenant's file to the issuer's configuration: how its tokens are verified, and by what.
 */
import type { FileScope } from './file-scope.ts';
import type { ValuePath } from './finding.ts';
import type { IssuerConfig } from './generation.ts';
import { judgeKeySet } from './key-set.ts';
import type { TenantSource } from './schema-tenant.ts';

type IssuerSource = TenantSource['issuers'][number];

/** Builds an issuer. `path` is where it stands. */
export function buildIssuer(scope: FileScope, issuer: IssuerSource, path: ValuePath): IssuerConfig | undefined {
  const jwks = buildKeys(scope, issuer, path);
  if (jwks === undefined) return undefined;
  return {
    issuer: issuer.issuer,
    audiences: typeof issuer.audience === 'string' ? [issuer.audience] : issuer.audience,
    algorithms: issuer.algorithms,
    jwks,
    clockSkewMs: issuer.clockSkew,
    tenantClaim: issuer.tenantClaim,
    requireBound: issuer.requireBound,
    profile: issuer.profile,
  };
}

/** Where an issuer's keys come from. `path` is the issuer's. */
function buildKeys(scope: FileScope, issuer: IssuerSource, path: ValuePath): IssuerConfig['jwks'] | undefined {
  const { jwks, discovery } = issuer;
  if (jwks !== undefined && discovery === undefined) return buildKeySet(scope, issuer, jwks, [...path, 'jwks']);
  if (discovery !== undefined && jwks === undefined) return buildDiscovery(scope, issuer, discovery, path);
  const problem = jwks === undefined ? 'says nowhere how its tokens are verified' : 'has both jwks and discovery';
  scope.report({ path }, problem, 'write jwks: with a file or a URL, or discovery: {}');
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
