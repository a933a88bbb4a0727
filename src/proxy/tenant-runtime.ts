/**
 * A tenant's configuration, compiled for one worker: its gates, byte account, buffers and upstream connections. Built when
 * the tenant is first met, kept while its configuration is unchanged.
 */
import { randomBytes, X509Certificate } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { Authenticator, type CredentialDirectory } from '../authn/authenticator.ts';
import type { KeyUses } from '../authn/key-uses.ts';
import type { RevocationEpoch, Revocations } from '../authn/revocations.ts';
import { Authorizer } from '../authz/authorizer.ts';
import { ByteAccount } from '../buffers/byte-account.ts';
import type { Pressure } from '../buffers/pressure.ts';
import { type SlabReserve, Slabs } from '../buffers/slabs.ts';
import type { LimitsConfig } from '../config/generation.ts';
import { openTenant, type StoredTenant } from '../config/stored-tenant.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import type { UpstreamConfig } from '../config/upstream-config.ts';
import type { DocumentFetch } from '../fetching/document-fetch.ts';
import { SharedMemoryKeys } from '../inspection/method-names.ts';
import type { ServiceRows } from '../inspection/method-row.ts';
import { MethodTable, type TenantNames } from '../inspection/method-table.ts';
import { NAMESPACE_SECRET_BYTES, Namespace } from '../inspection/namespace.ts';
import { servicesOf } from '../inspection/protocols.ts';
import { readProtoset } from '../inspection/protoset-reader.ts';
import type { TenantId } from '../kernel/ids.ts';
import type { Turn } from '../kernel/turn.ts';
import { TurnShare } from '../kernel/turn-share.ts';
import { QuotaGate } from '../quota/quota-gate.ts';
import { notAsked, RateService, type RateServiceOutcome } from '../quota/rate-service.ts';
import type { SharedTables } from '../quota/shared-state.ts';
import type { Gates } from './gates.ts';
import type { HealthProbes } from './health-probes.ts';
import { TenantTurns } from './tenant-turns.ts';
import type { TurnQueue } from './turn-queue.ts';
import { UpstreamPool } from './upstream-pool.ts';

/** What the worker lends to every tenant. */
export interface TenantResources {
  readonly turn: Turn;
  readonly tables: SharedTables;
  /** What the process-wide ceiling says; without it there is none. */
  readonly pressure?: Pressure;
  readonly slabReserve: SlabReserve;
  readonly directory: CredentialDirectory;
  /** What is revoked for all tenants; absent: nothing is. */
  readonly revocations?: Revocations | undefined;
  readonly limits: LimitsConfig;
  readonly probes: HealthProbes;
  /** Where calls wait for their turn. */
  readonly turnQueue: TurnQueue;
  /** How documents about credentials are fetched; absent: from public addresses only. */
  readonly fetch?: DocumentFetch;
  /** Absent: nobody wants to know when API keys were used. */
  readonly keyUses?: KeyUses;
  /** What rate limit services say is counted; absent: nobody counts it. */
  readonly rateServiceHeard?: (tenant: TenantId, outcome: RateServiceOutcome) => void;
  /** What tenants' names on their model servers are drawn from; without it one of this runtime's own, which nobody can guess. */
  readonly namespaceSecret?: Buffer;
}

/** How many connections a tenant's clients have to this worker. */
export interface Occupancy {
  connections: number;
}

export class TenantRuntime {
  readonly config: TenantConfig;
  readonly gates: Gates;
  readonly account: ByteAccount;
  readonly slabs: Slabs;
  /** Of each turn of the thread. */
  readonly share: TurnShare;
  readonly pool: UpstreamPool;
  /** undefined: its calls do not wait for their turn. */
  readonly turns: TenantTurns | undefined;
  readonly clientCas: readonly X509Certificate[];
  /** Shared with the runtimes before and after it: a connection outlives a generation. */
  readonly occupancy: Occupancy;
  /** What its connections to the model server were made from. */
  readonly #poolSource: string;
  readonly #fetch: DocumentFetch | undefined;
  readonly #revocations: Revocations | undefined;
  readonly #epoch: RevocationEpoch | undefined;

  /**
   * `previous` lends what need not change: the account, the buffers, and, if they would be made the same, the gates with all that they
   * remember and the upstream connections.
   */
  constructor(stored: StoredTenant, resources: TenantResources, previous: TenantRuntime | undefined) {
    const config = openTenant(stored);
    this.config = config;
    this.#fetch = resources.fetch;
    this.#revocations = resources.revocations;
    this.#epoch = this.#revocations?.epochOf(config.id);
    this.gates = this.#keptGates(previous) ?? gatesOf(config, resources);
    this.account = previous?.account ?? this.#newAccount(resources);
    this.account.setLimit(config.byteAccountBytes);
    this.slabs = previous?.slabs ?? new Slabs(resources.slabReserve, undefined, this.account);
    this.turns = TenantTurns.of(config, resources.turnQueue);
    this.share = previous?.share ?? new TurnShare();
    this.clientCas = trustedCas(config.clientCaPem);
    this.#poolSource = poolSource(config.upstream, resources.limits);
    this.pool = this.#keptPool(previous) ?? this.#newPool(resources);
    // After the new one is there: a health check that both have goes on.
    if (previous !== undefined && previous.pool !== this.pool) previous.pool.drain();
    this.occupancy = previous?.occupancy ?? { connections: 0 };
  }

  /** Counts up when something of the tenant's that was good may have been revoked. */
  get revocationEpoch(): number {
    return this.#epoch?.value ?? 0;
  }

  /** Gives back the memory that its next call can do without. */
  trim(): void {
    this.pool.replays.forget();
    this.slabs.trim();
  }

  /** Nobody will use it any more; calls that run on it end as they would, and its slabs go back, zeroed. */
  retire(): void {
    this.pool.drain();
    this.slabs.close();
  }

  /**
   * A certificate that rotates every few minutes must not cost the tenant what has been found out about its tokens: an issuer may be
   * away just then.
   */
  #keptGates(previous: TenantRuntime | undefined): Gates | undefined {
    if (previous === undefined || previous.#fetch !== this.#fetch) return undefined;
    if (previous.#revocations !== this.#revocations) return undefined;
    return isDeepStrictEqual(judging(previous.config), judging(this.config)) ? previous.gates : undefined;
  }

  #newAccount({ tables, pressure }: TenantResources): ByteAccount {
    return new ByteAccount(tables, this.config.slot, this.config.byteAccountBytes, pressure);
  }

  #keptPool(previous: TenantRuntime | undefined): UpstreamPool | undefined {
    return previous !== undefined && previous.#poolSource === this.#poolSource ? previous.pool : undefined;
  }

  #newPool({ turn, limits, probes }: TenantResources): UpstreamPool {
    return new UpstreamPool({
      config: this.config.upstream,
      turn,
      buffers: this.slabs,
      account: this.account,
      streamWindowBytes: limits.streamWindowBytes,
      connectionWindowBytes: limits.connectionWindowBytes,
      maxHeaderListBytes: limits.maxHeaderListBytes,
      probes,
    });
  }
}

/** What the handshake, the books and the model server's connections are made from; of all else, the gates. */
const NOT_JUDGING: ReadonlySet<string> = new Set([
  'digest',
  'certificate',
  'clientCaPem',
  'upstream',
  'byteAccountBytes',
  'priority',
  'scheduling',
] satisfies (keyof TenantConfig)[]);

function judging(config: TenantConfig): object {
  // Gates that ask the CAs whether they took a certificate back have to know all of them.
  const asksCas = config.clientRevocation !== undefined;
  const isJudging = (key: string): boolean => !NOT_JUDGING.has(key) || (asksCas && key === 'clientCaPem');
  return Object.fromEntries(Object.entries(config).filter(([key]) => isJudging(key)));
}

/** Everything that upstream connections are made from, as one text; of certificates and keys theirs, so that a renewed one makes new ones. */
export function poolSource(
  upstream: UpstreamConfig,
  { streamWindowBytes, connectionWindowBytes, maxHeaderListBytes }: LimitsConfig,
): string {
  return JSON.stringify([upstream, streamWindowBytes, connectionWindowBytes, maxHeaderListBytes]);
}

/** Compiles the gates that a configuration stands for. */
export function gatesOf(
  config: TenantConfig,
  resources: Pick<
    TenantResources,
    'tables' | 'directory' | 'fetch' | 'revocations' | 'keyUses' | 'namespaceSecret' | 'rateServiceHeard'
  >,
): Gates {
  const served = {
    services: new Map([...servicesOf(config.protocols ?? ['triton']), ...protosetServices(config)]),
    model: config.servedModel ?? '',
  };
  const methods = new MethodTable(config.opaqueServices, served, tenantNames(config, resources.namespaceSecret));
  const authenticator = new Authenticator(config, resources.directory, resources);
  const authorizer = new Authorizer(config);
  const quota = new QuotaGate(resources.tables, config);
  const service = serviceOf(config, resources.rateServiceHeard);
  return {
    authenticate: (peer, presented, now) => authenticator.authenticate(peer, presented, now),
    reauthenticate: (caller, peer, presented, now) => authenticator.reauthenticate(caller, peer, presented, now),
    hold: (peer) => authenticator.hold(peer),
    revoked: (peer, now) => authenticator.revoked(peer, now),
    method: (path) => methods.find(path),
    asksCalls: authorizer.asksCalls,
    authorize: (caller, method, now, facts) => authorizer.method(caller, method, now, facts),
    model: (permit, model, version) => authorizer.model(permit, model, version),
    clear: (caller, method) => service?.clear(caller, method) ?? notAsked(),
    reserve: (caller, now, method) => quota.reserve(caller, now, method),
    units: (lease) => quota.units(lease),
    pay: (lease, demands, now) => quota.pay(lease, demands, now),
    overdraw: (lease, demands, now) => quota.overdraw(lease, demands, now),
    refund: (lease) => quota.refund(lease),
    charge: (lease, permit, now, cost) => quota.charge(lease, permit, now, cost),
    announce: quota.announces ? (lease, caller, now) => quota.announce(lease, caller, now) : undefined,
    toll: (lease, unit) => quota.toll(lease, unit),
  };
}

function serviceOf(tenant: TenantConfig, heard: TenantResources['rateServiceHeard']): RateService | undefined {
  const { service } = tenant.quota;
  return service === undefined ? undefined : new RateService(service, tenant, (outcome) => heard?.(tenant.id, outcome));
}

function tenantNames({ id, namespaces }: TenantConfig, secret: Buffer | undefined): TenantNames | undefined {
  if (namespaces === 'off') return undefined;
  return {
    namespace: new Namespace(id, secret ?? randomBytes(NAMESPACE_SECRET_BYTES)),
    keys: new SharedMemoryKeys(namespaces?.sharedMemoryKeys ?? [`${id}.`]),
  };
}

/** The services that are read by their descriptors. These have passed the configuration's check, in which they were read already. */
function protosetServices({ protoset }: TenantConfig): ReadonlyMap<string, ServiceRows> {
  if (protoset === undefined) return new Map();
  const read = readProtoset(Buffer.from(protoset.descriptors, 'base64'), protoset.methods);
  if (!read.ok) throw new Error(`a protoset that was checked cannot be read: ${read.error[0]?.message ?? ''}`);
  return read.value;
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a bundle; `X509Certificate` itself reads only the first. */
export function trustedCas(bundle: string): readonly X509Certificate[] {
  return (bundle.match(PEM_CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
}
