/**
 * From a tenant's file to the tenant's configuration.
 */
import type { TenantId } from '../kernel/ids.ts';
import { buildApiKeys } from './api-keys.ts';
import {
  type BuiltAuthorities,
  buildAuthorities,
  buildCertificate,
  judgeServerCertificate,
} from './certificate-source.ts';
import { buildClientRevocation } from './client-revocation.ts';
import { declaredClaims, judgeConditions } from './conditions.ts';
import type { CredentialKind } from './credentials-config.ts';
import { buildDenied } from './denied.ts';
import type { YamlDocument } from './document.ts';
import type { FetchedAddress } from './fetched-url.ts';
import type { FileCache } from './file-cache.ts';
import { FileScope, type PlacedValidity } from './file-scope.ts';
import type { Finding } from './finding.ts';
import type { TenantIdentification } from './generation.ts';
import { buildIdentification } from './identification.ts';
import { buildIssuer } from './issuer.ts';
import { KnownMethods } from './known-methods.ts';
import { judgeMeaning } from './meaning.ts';
import { buildProtoset, judgeNamespaces, judgeProtocols } from './protocols.ts';
import { buildQuota } from './quota.ts';
import { buildRoles } from './roles.ts';
import { buildPriority } from './scheduling.ts';
import { checkSchema } from './schema-check.ts';
import { type TenantSource, tenantSchema } from './schema-tenant.ts';
import { type PackedTenant, packTenant } from './stored-tenant.ts';
import type { TenantConfig, TenantSection } from './tenant-config.ts';
import { buildUpstream } from './upstream.ts';
import { type WorkloadSources, workloadSources } from './workload-sources.ts';

/** A tenant's configuration before it has a place among the others. */
export type TenantDraft = Omit<PackedTenant, 'slot'>;

/** What is checked between tenants; known even when the tenant has errors of its own. */
export interface TenantFacts {
  readonly id: TenantId;
  readonly serverNames: readonly string[];
  readonly issuers: readonly { readonly issuer: string; readonly tenantClaim: string | undefined }[];
  readonly apiKeyIds: readonly string[];
  readonly trustDomain: string | undefined;
  /** It has no certificate of its own: its clients see the listener's. */
  readonly sharesCertificate: boolean;
  readonly identifiedBy: TenantIdentification | undefined;
  /** Who has issued its CAs, where others have. */
  readonly clientCaIssuers: readonly string[];
  /** SHA-256 fingerprints of the client CA's public keys: a CA that renews its certificate is the same CA. */
  readonly clientCas: readonly string[];
  /** Whose authorities these are, when the Workload API gives them; undefined: they are in a file. */
  readonly clientBundle: string | undefined;
}

export interface BuiltTenant {
  readonly document: YamlDocument;
  readonly draft: TenantDraft | undefined;
  readonly facts: TenantFacts | undefined;
  readonly findings: readonly Finding[];
  readonly validities: readonly PlacedValidity[];
  readonly fetched: readonly FetchedAddress[];
  readonly dependents: readonly string[];
  /** What may have to be built again when the Workload API gives something else; absent: nothing comes from there. */
  readonly workload?: WorkloadSources;
}

/** Builds one tenant. `path` is its file, absolute; `displayFile` how records name it. */
export function buildTenant(document: YamlDocument, path: string, displayFile: string, cache: FileCache): BuiltTenant {
  const scope = new FileScope(document, path, cache);
  const checked = checkSchema(document, tenantSchema, 'tenant');
  scope.add(checked.findings);
  const built = checked.value === undefined ? undefined : build(scope, checked.value, displayFile);
  document.release();
  const workload = checked.value === undefined ? undefined : workloadSources(checked.value);
  return {
    document,
    draft: scope.failed ? undefined : built?.draft,
    facts: built?.facts,
    findings: scope.findings,
    validities: scope.validities,
    fetched: scope.fetched,
    dependents: [...scope.dependents],
    ...(workload === undefined ? {} : { workload }),
  };
}

function build(
  scope: FileScope,
  source: TenantSource,
  displayFile: string,
): { readonly draft: TenantDraft | undefined; readonly facts: TenantFacts } {
  const certificate = source.certificate && buildCertificate(scope, ['certificate'], source.certificate);
  if (certificate !== undefined) judgeServerCertificate(scope, certificate, source.serverNames, ['serverNames']);
  const clientCa = buildAuthorities(scope, ['clientCa'], source.clientCa, true);
  const trustDomain = buildTrustDomain(scope, source, clientCa);
  const identifiedBy = buildIdentification(scope, source, trustDomain, clientCa);
  const issuers = source.issuers.map((issuer, index) => buildIssuer(scope, issuer, ['issuers', index]));
  const protoset = source.protoset === undefined ? undefined : buildProtoset(scope, source, source.protoset);
  const known = new KnownMethods(source.protocols, protoset?.services);
  const rules = buildRoles(scope, source, displayFile, known);
  judgeConditions(scope, source);
  const clientRevocation =
    source.clientRevocation && buildClientRevocation(scope, source.clientRevocation, clientCa?.certificates ?? []);
  const denied = source.denied === undefined ? undefined : buildDenied(scope, source, trustDomain, displayFile);
  const upstream = buildUpstream(scope, ['upstream'], source.upstream);
  const roleNames = new Set(source.roles.map((role) => role.name));
  const priority = source.priority && buildPriority(scope, source.priority, roleNames);
  judgeCredentials(scope, source);
  judgeMeaning(scope, source, rules, known);
  judgeServices(scope, source);
  const facts: TenantFacts = {
    id: source.tenant,
    serverNames: source.serverNames,
    issuers: source.issuers.map(({ issuer, tenantClaim }) => ({ issuer, tenantClaim })),
    apiKeyIds: source.apiKeys.map((key) => key.id),
    trustDomain,
    clientCas: (clientCa?.certificates ?? []).map((ca) => keyFingerprint(ca.publicKey)),
    clientBundle: clientCa?.trustDomain,
    sharesCertificate: source.certificate === undefined,
    identifiedBy,
    clientCaIssuers: (clientCa?.certificates ?? [])
      .filter((ca) => ca.subject !== ca.issuer)
      .map((ca) => ca.issuer ?? ''),
  };
  if (clientCa === undefined || upstream === undefined) return { draft: undefined, facts };
  if (source.certificate !== undefined && certificate === undefined) return { draft: undefined, facts };
  const draft = packTenant<Omit<TenantConfig, 'slot'>>({
    id: source.tenant,
    file: displayFile,
    lines: sectionLines(scope),
    digest: scope.digest(displayFile),
    serverNames: source.serverNames,
    certificate: certificate?.pair,
    ...(source.certificate === undefined ? { sharesCertificate: true as const } : {}),
    ...(identifiedBy === undefined ? {} : { identifiedBy }),
    clientCaPem: clientCa.pem,
    ...(clientRevocation === undefined ? {} : { clientRevocation }),
    trustDomain,
    accept: source.accept ?? defaultAccept(source),
    ...(source.addresses === undefined ? {} : { addresses: source.addresses }),
    ...(source.deniedAddresses === undefined ? {} : { deniedAddresses: source.deniedAddresses }),
    issuers: issuers.filter((issuer) => issuer !== undefined),
    apiKeys: buildApiKeys(source),
    ...(denied === undefined ? {} : { denied }),
    roles: rules.roles,
    bindings: rules.bindings,
    ...(rules.denials.length === 0 ? {} : { denials: rules.denials }),
    ...(source.claims === undefined ? {} : { claims: declaredClaims(source) }),
    ...(source.metadata.length === 0 ? {} : { metadata: source.metadata }),
    quota: buildQuota(scope, source),
    ...(priority === undefined ? {} : { priority }),
    ...(source.lease === undefined ? {} : { leaseMs: source.lease }),
    byteAccountBytes: source.byteAccount,
    upstream,
    trace: source.trace,
    protocols: source.protocols,
    ...(source.model === undefined ? {} : { servedModel: source.model }),
    ...(protoset?.config === undefined ? {} : { protoset: protoset.config }),
    opaqueServices: source.services,
    ...namespacesOf(source),
  });
  return { draft, facts };
}

/** gRFC A87: a bundle verifies its own trust domain, and no other. */
function buildTrustDomain(
  scope: FileScope,
  source: TenantSource,
  clientCa: BuiltAuthorities | undefined,
): string | undefined {
  const bundle = clientCa?.trustDomain;
  if (bundle === undefined || source.trustDomain === undefined || bundle === source.trustDomain)
    return source.trustDomain ?? bundle;
  const message = `is not ${bundle}, whose authorities clientCa.spiffeBundle names: nobody would get in`;
  scope.report({ path: ['trustDomain'] }, message, `write ${bundle}, or remove it`);
  return source.trustDomain;
}

function namespacesOf({ namespaces, sharedMemoryKeys }: TenantSource): Pick<TenantDraft, 'namespaces'> {
  if (namespaces === 'off') return { namespaces };
  return sharedMemoryKeys === undefined ? {} : { namespaces: { sharedMemoryKeys } };
}

const SECTIONS: readonly TenantSection[] = [
  'addresses',
  'deniedAddresses',
  'clientCa',
  'accept',
  'issuers',
  'apiKeys',
  'roles',
  'bindings',
  'denyRules',
  'quota',
];

function sectionLines({ document }: FileScope): Partial<Record<TenantSection, number>> {
  const present = SECTIONS.filter((section) => document.has(section));
  return Object.fromEntries(present.map((key) => [key, document.position({ path: [key], at: 'key' }).line]));
}

function keyFingerprint(key: { export(options: { type: 'spki'; format: 'der' }): Buffer }): string {
  return key.export({ type: 'spki', format: 'der' }).toString('base64');
}

/** With a second credential configured, the certificate alone does not suffice unless it is said to. */
function defaultAccept(source: TenantSource): readonly CredentialKind[] {
  const accept: CredentialKind[] = [];
  if (source.issuers.length > 0) accept.push('token');
  if (source.apiKeys.length > 0) accept.push('api-key');
  return accept.length > 0 ? accept : ['certificate'];
}

function judgeCredentials(scope: FileScope, source: TenantSource): void {
  for (const [index, kind] of (source.accept ?? []).entries()) {
    if (kind === 'token' && source.issuers.length === 0) {
      scope.report(
        { path: ['accept', index] },
        'tokens are accepted, but there are no issuers',
        'add an issuer, or remove token',
      );
    }
    if (kind === 'api-key' && source.apiKeys.length === 0) {
      scope.report(
        { path: ['accept', index] },
        'API keys are accepted, but there are none',
        'add one under apiKeys, or remove api-key',
      );
    }
  }
  const asked = source.issuers.flatMap(({ introspection }, index) => (introspection === undefined ? [] : [index]));
  for (const index of asked.slice(1)) {
    const message = 'another issuer is asked about tokens already, and an opaque token does not say whose it is';
    scope.report({ path: ['issuers', index, 'introspection'], at: 'key' }, message, 'keep one of the two');
  }
  const issuers = new Set<string>();
  for (const [index, { issuer }] of source.issuers.entries()) {
    if (issuers.has(issuer))
      scope.report({ path: ['issuers', index, 'issuer'] }, 'stands twice', 'join the two: audiences may be a list');
    issuers.add(issuer);
  }
  const keys = new Set<string>();
  for (const [index, { id }] of source.apiKeys.entries()) {
    if (keys.has(id))
      scope.report(
        { path: ['apiKeys', index, 'id'] },
        `the API key ${id} stands twice`,
        'give each key an id of its own',
      );
    keys.add(id);
  }
}

function judgeServices(scope: FileScope, source: TenantSource): void {
  const names = new Set<string>();
  for (const [index, serverName] of source.serverNames.entries()) {
    if (names.has(serverName))
      scope.report({ path: ['serverNames', index] }, `${serverName} stands twice`, 'remove one');
    names.add(serverName);
  }
  judgeProtocols(scope, source);
  judgeNamespaces(scope, source);
}
