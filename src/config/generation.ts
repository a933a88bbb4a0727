/**
 * One generation of the configuration: plain data, parsed and checked once by the main thread, cloned to the workers.
 *
 * Everything in it has passed the schema and the checks of `load.ts`; code that receives it trusts it. Files (certificates,
 * keys, CAs, JWKS) are inlined as text. Durations are milliseconds, sizes bytes, as the names say.
 */
import type { TenantId } from '../kernel/ids.ts';
import type { DeniedCredential } from './credentials-config.ts';
import type { FleetConfig } from './fleet-config.ts';
import type { OrganisationConfig } from './quota-config.ts';
import type { SchedulingConfig } from './scheduling-config.ts';
import type { StoredTenant } from './stored-tenant.ts';
import type { UpstreamConfig } from './upstream-config.ts';

export interface Generation {
  /** Counts up from 1 with every accepted change. */
  readonly number: number;
  /** SHA-256 (hex) over the source texts: equal digests are equal configurations. */
  readonly digest: string;
  /** Where tenants connect to; undefined when this process is an egress sidecar only. */
  readonly listener: ListenerConfig | undefined;
  readonly admin: AdminConfig;
  /** Data-plane threads. */
  readonly workers: number;
  readonly limits: LimitsConfig;
  /** Where documents about credentials are fetched from; absent: from public addresses only. */
  readonly fetching?: FetchingConfig;
  readonly audit: AuditConfig;
  /** What is kept of usage; absent: the defaults. */
  readonly usage?: UsageConfig;
  readonly telemetry: TelemetryConfig;
  readonly shutdown: { readonly drainTimeoutMs: number };
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' };
  readonly tenants: readonly StoredTenant[];
  /** Refused whichever tenant they are of; absent: nothing is. */
  readonly denied?: readonly DeniedCredential[];
  /** Groups of tenants with limits of their own; absent: there are none. */
  readonly organisations?: readonly OrganisationConfig[];
  /** Where limits of several sidecars are counted; absent: nowhere. */
  readonly fleet?: FleetConfig;
  /** How calls wait for their turn; absent: they do not. */
  readonly scheduling?: SchedulingConfig;
  /** Listeners through which the pod's own programs call out. Empty when this process is an ingress sidecar only. */
  readonly egress: readonly EgressConfig[];
  /** Where the SPIFFE Workload API is; absent: nobody needs it, or nothing says where. */
  readonly workloadApi?: WorkloadApiConfig;
}

export interface WorkloadApiConfig {
  readonly target:
    | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
    | { readonly kind: 'unix'; readonly path: string };
  /** As written. */
  readonly display: string;
  /** How long something that is new in the configuration is waited for. */
  readonly startTimeoutMs: number;
}

export interface ListenerConfig {
  /** IP address to bind. */
  readonly address: string;
  /** 0 picks a free port (printed at start and at `/readyz`). */
  readonly port: number;
  readonly minTlsVersion: 'TLSv1.2' | 'TLSv1.3';
  /** Absent: whose a connection is, the connection itself says. */
  readonly proxyProtocol?: ProxyProtocolConfig;
  /** Absent: tenants are told apart by server names alone, each with its own certificate. */
  readonly shared?: SharedListenerConfig;
}

/** What tenants without server names, or without certificates of their own, share: their clients' certificates tell them apart. */
export interface SharedListenerConfig {
  /** Undefined: the SPIFFE Workload API gives none now, and nobody can connect in this way. */
  readonly certificate: KeyPairPem | undefined;
  /** Lower-case DNS names (SNI) that are no tenant's; a client need not send any. */
  readonly serverNames: readonly string[];
}

/** Load balancers that stand before the listener and say whose connection each is (PROXY protocol, version 2). */
export interface ProxyProtocolConfig {
  /** Ranges of their IP addresses: nobody else may connect, and nobody may leave the header away. */
  readonly from: readonly string[];
}

export interface EgressConfig {
  /** `127.0.0.1:9001`, `unix:/path`: its name in records, and what it is known by from one generation to the next. */
  readonly listen: string;
  readonly address: EgressAddress;
  /** Index of its cell in the shared table of egress listeners, which is not the tenants'. */
  readonly slot: number;
  readonly tenant: TenantId;
  /** Hard limit of bytes in flight. */
  readonly byteAccountBytes: number;
  /** The ingress, over TLS, with the tenant's client certificate. */
  readonly upstream: UpstreamConfig;
}

export type EgressAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

export interface AdminConfig {
  readonly address: string;
  readonly port: number;
}

export interface LimitsConfig {
  readonly handshakeTimeoutMs: number;
  /** Connections per worker, of all tenants. */
  readonly maxConnections: number;
  /** Of those, how many one tenant and one peer address may have. */
  readonly maxConnectionsPerTenant: number;
  readonly maxConnectionsPerAddress: number;
  /** TLS handshakes in progress, per worker. */
  readonly maxHandshakes: number;
  /** Of a worker's time while calls run, what the beginnings of handshakes may take: above 0, at most 1. */
  readonly handshakeShare: number;
  /** A client that was sent away for what it did may connect again after it; 0: at once. */
  readonly coolOffMs: number;
  readonly idleTimeoutMs: number;
  /** A client's connection is asked to end at this age, ± 10 %; undefined: at none. */
  readonly maxConnectionAgeMs: number | undefined;
  /** And ended so long after that, whatever runs on it; undefined: when its last call has ended. */
  readonly maxConnectionAgeGraceMs: number | undefined;
  /** How often clients may send PINGs while nothing is sent to them. */
  readonly keepalive: { readonly minTimeMs: number; readonly permitWithoutCalls: boolean };
  /** Calls end after it, whatever deadline they came with; undefined: at their own, if they have one. */
  readonly maxDeadlineMs: number | undefined;
  readonly maxConcurrentStreams: number;
  /** Uncompressed size of one header block, as RFC 9113 §6.5.2 counts it. */
  readonly maxHeaderListBytes: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** One gRPC message as declared by its length prefix. */
  readonly maxMessageBytes: number;
  /** What one gzip message may inflate to. */
  readonly maxInflatedBytes: number;
  /** Objects of one worker, as V8 counts its old generation; buffers lie beside it. */
  readonly workerHeapBytes: number;
  /** What all tenants and egress listeners together may make the process hold, on all workers. */
  readonly maxHeldBytes: number;
}

export interface FetchingConfig {
  /** Ranges of IP addresses that may be asked although they are not public. */
  readonly allowAddresses: readonly string[];
}

export interface UsageConfig {
  /** Days that are kept by the hour: so many times 24 hours that have calls, so that a clock that is wrong removes nothing. */
  readonly hourlyDays: number;
  /** Days before those that are kept by the day. */
  readonly dailyDays: number;
  /** Rows of one tenant in one hour, callers by models; what is more is added to rows for others. */
  readonly maxRows: number;
}

export const DEFAULT_USAGE: UsageConfig = { hourlyDays: 35, dailyDays: 400, maxRows: 1_000 };

export interface AuditConfig {
  readonly directory: string;
  readonly segmentBytes: number;
  /** All segments together; what is delivered is removed first. */
  readonly maxBytes: number;
  readonly whenFull: 'refuse' | 'drop';
}

export interface TelemetryConfig {
  readonly serviceName: string;
  readonly otlp: OtlpConfig | undefined;
  /** Head sampling of allowed calls, 0..1. Denials are always kept. */
  readonly traceSampleRatio: number;
  /** How often usage is sent as metrics; absent: it is not. */
  readonly usageIntervalMs?: number;
}

export interface OtlpConfig {
  readonly protocol: 'grpc' | 'http/protobuf';
  /** `http(s)://host:port`; for http/protobuf the base to which `/v1/traces`, `/v1/logs` and `/v1/metrics` are added. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly caPem: string | undefined;
  readonly clientCertificate: KeyPairPem | undefined;
  readonly timeoutMs: number;
}

export interface KeyPairPem {
  readonly chainPem: string;
  readonly keyPem: string;
}

export type TenantIdentification =
  /** Patterns of SPIFFE ids (`spiffe-pattern.ts`), which no other tenant has. */
  | { readonly kind: 'spiffe'; readonly ids: readonly string[] }
  /** Any certificate that one of its CAs has signed; no other tenant has one of these. `names`: of the CAs, as certificates name their issuer. */
  | { readonly kind: 'client-ca'; readonly names: readonly string[] };
