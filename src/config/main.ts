/**
 * From the main file to everything of a generation but its tenants.
 */
import { availableParallelism } from 'node:os';
import { type BuiltCertificate, buildCertificate, judgeServerCertificate } from './certificate-source.ts';
import { buildDenyList } from './denied.ts';
import { YamlDocument } from './document.ts';
import { buildEgress, type EgressDraft } from './egress.ts';
import type { FileCache } from './file-cache.ts';
import { FileScope, type PlacedValidity } from './file-scope.ts';
import type { Finding } from './finding.ts';
import { buildFleet } from './fleet.ts';
import type { Generation, KeyPairPem, ListenerConfig } from './generation.ts';
import { ABOVE_CEILING, ABOVE_CEILING_FIX, ceilingBytes, memoryOfProcess } from './memory-ceiling.ts';
import { buildOrganisations, type OrganisationDraft } from './quota.ts';
import { buildScheduling } from './scheduling.ts';
import { checkSchema } from './schema-check.ts';
import { type MainSource, mainSchema } from './schema-main.ts';
import { buildTelemetry, type Environment } from './telemetry.ts';
import { buildWorkloadApi } from './workload-api.ts';

/** Beyond four threads one sidecar takes more cores than the model server beside it wants to give. */
const MAX_AUTO_WORKERS = 4;

export type MainDraft = Omit<Generation, 'number' | 'digest' | 'tenants' | 'egress' | 'organisations'> & {
  readonly organisations: readonly OrganisationDraft[];
  readonly egress: readonly EgressDraft[];
};

export interface BuiltMain {
  readonly document: YamlDocument;
  readonly draft: MainDraft | undefined;
  readonly findings: readonly Finding[];
  readonly validities: readonly PlacedValidity[];
  /** Absolute; undefined when the file does not say. */
  readonly tenantsDirectory: string | undefined;
  /** `limits.maxHeld`, when it is the operator's number and not ours. */
  readonly ceilingBytes: number | undefined;
  /** The certificate of `listen.shared`; undefined: there is none, or it cannot be used. */
  readonly sharedCertificate: BuiltCertificate | undefined;
  readonly digest: string;
  /** Absolute paths of the files that it names. */
  readonly dependents: ReadonlySet<string>;
}

/** Builds the main file's part. `path` is absolute. */
export function buildMain(document: YamlDocument, path: string, cache: FileCache, environment: Environment): BuiltMain {
  const scope = new FileScope(document, path, cache);
  const checked = checkSchema(document, mainSchema, 'main');
  scope.add(checked.findings);
  const sharedCertificate = buildSharedCertificate(scope, checked.value);
  const draft =
    checked.value === undefined ? undefined : build(scope, checked.value, environment, sharedCertificate?.pair);
  // The tenants are looked at even when something else in the main file is wrong: all findings at once.
  const tenants = checked.value?.tenants ?? tenantsOf(checked.raw);
  return {
    document,
    draft: scope.failed ? undefined : draft,
    findings: scope.findings,
    validities: scope.validities,
    tenantsDirectory: tenants === undefined ? undefined : scope.resolve(tenants),
    ceilingBytes: typeof checked.value?.limits.maxHeld === 'number' ? checked.value.limits.maxHeld : undefined,
    sharedCertificate,
    digest: scope.digest(''),
    dependents: scope.dependents,
  };
}

function tenantsOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('tenants' in value)) return undefined;
  return typeof value.tenants === 'string' && value.tenants !== '' ? value.tenants : undefined;
}

function build(
  scope: FileScope,
  source: MainSource,
  environment: Environment,
  sharedCertificate: KeyPairPem | undefined,
): MainDraft | undefined {
  const telemetry = buildTelemetry(scope, source.telemetry, environment);
  const { listen, admin, audit, limits } = source;
  judgeRoles(scope, source);
  if (listen !== undefined && listen.address.port !== 0 && listen.address.port === admin.address.port) {
    const message = `port ${admin.address.port} is the tenants’ port (listen.address)`;
    scope.report({ path: ['admin', 'address'] }, message, 'choose another port for one of the two');
  }
  if (audit.maxSize < 2 * audit.segmentSize) {
    scope.report(
      { path: ['audit', 'maxSize'] },
      'is less than two segments',
      'make it at least twice audit.segmentSize',
    );
  }
  if (limits.maxConnectionAgeGrace !== undefined && limits.maxConnectionAge === undefined) {
    const fix = 'add maxConnectionAge, or remove it';
    scope.report(
      { path: ['limits', 'maxConnectionAgeGrace'], at: 'key' },
      'has no meaning without maxConnectionAge',
      fix,
    );
  }
  if (limits.connectionWindow < limits.streamWindow) {
    const message = 'is less than limits.streamWindow, so that one call can never use its window';
    scope.report({ path: ['limits', 'connectionWindow'] }, message, 'make it at least limits.streamWindow');
  }
  for (const [index, { byteAccount }] of source.egress.entries()) {
    if (limits.maxHeld !== 'auto' && byteAccount > limits.maxHeld)
      scope.report({ path: ['egress', index, 'byteAccount'] }, ABOVE_CEILING, ABOVE_CEILING_FIX);
  }
  const taken = new Map([[admin.address.port, 'the admin port']]);
  if (listen !== undefined) taken.set(listen.address.port, 'the tenants’ port');
  const egress = buildEgress(scope, source.egress, taken);
  const workloadApi = buildWorkloadApi(scope, source.spiffe, environment);
  const denied = buildRevocation(scope, source);
  const organisations = buildOrganisations(scope, source.organisations);
  const fleet = source.fleet === undefined ? undefined : buildFleet(scope, source.fleet);
  const scheduling = source.scheduling && buildScheduling(scope, source.scheduling);
  if (telemetry === undefined) return undefined;
  const workers = source.workers === 'auto' ? Math.min(availableParallelism(), MAX_AUTO_WORKERS) : source.workers;
  return {
    listener: listen === undefined ? undefined : buildListener(scope, listen, sharedCertificate),
    egress,
    organisations,
    admin: admin.address,
    workers,
    limits: {
      handshakeTimeoutMs: limits.handshakeTimeout,
      maxConnections: limits.maxConnections,
      maxConnectionsPerTenant: limits.maxConnectionsPerTenant,
      maxConnectionsPerAddress: limits.maxConnectionsPerAddress,
      maxHandshakes: limits.maxHandshakes,
      handshakeShare: limits.handshakeShare,
      coolOffMs: limits.coolOff,
      idleTimeoutMs: limits.idleTimeout,
      maxConnectionAgeMs: limits.maxConnectionAge,
      maxConnectionAgeGraceMs: limits.maxConnectionAgeGrace,
      keepalive: {
        minTimeMs: limits.keepalive.minTime,
        permitWithoutCalls: limits.keepalive.permitWithoutCalls,
      },
      maxDeadlineMs: limits.maxDeadline,
      maxConcurrentStreams: limits.maxConcurrentStreams,
      maxHeaderListBytes: limits.maxHeaderList,
      streamWindowBytes: limits.streamWindow,
      connectionWindowBytes: limits.connectionWindow,
      maxMessageBytes: limits.maxMessage,
      maxInflatedBytes: limits.maxInflated,
      workerHeapBytes: limits.workerHeap,
      maxHeldBytes: ceilingBytes(limits.maxHeld, memoryOfProcess(workers * limits.workerHeap)),
    },
    ...(denied === undefined ? {} : { denied }),
    ...(fleet === undefined ? {} : { fleet }),
    ...(scheduling === undefined ? {} : { scheduling }),
    fetching: { allowAddresses: source.fetching.allowAddresses ?? [] },
    audit: {
      directory: scope.resolve(audit.directory),
      segmentBytes: audit.segmentSize,
      maxBytes: audit.maxSize,
      whenFull: audit.whenFull,
    },
    usage: {
      hourlyDays: Math.floor(source.usage.keepHourly / DAY_MS),
      dailyDays: Math.floor(source.usage.keepDaily / DAY_MS),
      maxRows: source.usage.maxRows,
    },
    telemetry,
    shutdown: { drainTimeoutMs: source.shutdown.drainTimeout },
    log: source.log,
    ...(workloadApi === undefined ? {} : { workloadApi }),
  };
}

const DAY_MS = 86_400_000;

function buildSharedCertificate(scope: FileScope, source: MainSource | undefined): BuiltCertificate | undefined {
  const shared = source?.listen?.shared;
  if (shared === undefined) return undefined;
  const built = buildCertificate(scope, ['listen', 'shared', 'certificate'], shared.certificate);
  if (built !== undefined)
    judgeServerCertificate(scope, built, shared.serverNames, ['listen', 'shared', 'serverNames']);
  return built;
}

function buildListener(
  scope: FileScope,
  listen: NonNullable<MainSource['listen']>,
  sharedCertificate: KeyPairPem | undefined,
): ListenerConfig {
  const { address, minTlsVersion, proxyProtocol, shared } = listen;
  for (const [index, range] of (proxyProtocol?.from ?? []).entries()) {
    if (!range.endsWith('/0')) continue;
    const message = 'lets everybody who connects say whose connection it is';
    const fix = 'name the load balancers’ own addresses';
    scope.report({ path: ['listen', 'proxyProtocol', 'from', index] }, message, fix, 'warning');
  }
  return {
    ...address,
    minTlsVersion,
    ...(proxyProtocol === undefined ? {} : { proxyProtocol }),
    ...(shared === undefined ? {} : { shared: { certificate: sharedCertificate, serverNames: shared.serverNames } }),
  };
}

/** The deny list for all tenants. */
function buildRevocation(scope: FileScope, { revocation }: MainSource): MainDraft['denied'] {
  if (revocation.denyList === undefined) return undefined;
  const text = scope.text(['revocation', 'denyList'], revocation.denyList);
  if (text === undefined) return undefined;
  const { denied, findings } = buildDenyList(new YamlDocument(revocation.denyList, text));
  scope.add(findings);
  return denied;
}

/** A sidecar takes calls in for tenants (`listen` and `tenants`), calls out for its pod (`egress`), or both. */
function judgeRoles(scope: FileScope, { listen, tenants, egress }: MainSource): void {
  if (listen === undefined && tenants === undefined && egress.length === 0) {
    const fix = 'add listen and tenants (ingress), egress, or all three';
    scope.report({ path: [] }, 'says neither where tenants connect to nor where this pod calls out', fix);
  }
  if (listen !== undefined && tenants === undefined) {
    const fix = 'add tenants: Directory with one file per tenant';
    scope.report({ path: ['tenants'] }, 'is missing, and listen needs it', fix);
  }
  if (listen === undefined && tenants !== undefined) {
    const fix = 'add listen, or remove tenants';
    scope.report({ path: ['tenants'], at: 'key' }, 'has no meaning without listen', fix);
  }
}
