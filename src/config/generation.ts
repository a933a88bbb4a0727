/**
 * One generation of the configuration: plain data, parsed and checked once by the main thread, cloned to the workers.
 *
 * Everything in it has passed the schema and the checks of `load.ts`; code that receives it trusts it. Files (certificates,
 * keys, CAs, JWKS) are inlined as text. Durations are milliseconds, sizes bytes, as the names say.
 */
import type { RevocationPolicy } from '../identity/client-revocation.ts';
import type { RevocationList } from '../identity/revocation-list-reader.ts';
import type { ProtocolName } from '../inspection/protocols.ts';
import type { ProtosetMethod } from '../inspection/protoset.ts';
import type { QuotaLevel, QuotaUnit } from '../kernel/denial.ts';
import type { TenantId } from '../kernel/ids.ts';

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
  readonly telemetry: TelemetryConfig;
  readonly shutdown: { readonly drainTimeoutMs: number };
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' };
  readonly tenants: readonly TenantConfig[];
  /** Refused whichever tenant they are of; absent: nothing is. */
  readonly denied?: readonly DeniedCredential[];
  /** Groups of tenants with limits of their own; absent: there are none. */
  readonly organisations?: readonly OrganisationConfig[];
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
}

export interface OtlpConfig {
  readonly protocol: 'grpc' | 'http/protobuf';
  /** `http(s)://host:port`; for http/protobuf the base to which `/v1/traces` and `/v1/logs` are added. */
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

export interface TenantConfig {
  readonly id: TenantId;
  /** Whether its names on the model server are its own; absent: they are, and shared memory objects begin with its id and a dot. */
  readonly namespaces?: 'off' | { readonly sharedMemoryKeys: readonly string[] };
  /** Index of this tenant's cells in the shared tables; kept for the tenant's life across generations. */
  readonly slot: number;
  /** The file it came from. */
  readonly file: string;
  /** Where in it these keys stand, from 1; a key that is not there has no line. Absent: it was not read from a file. */
  readonly lines?: Readonly<Partial<Record<TenantSection, number>>>;
  /** SHA-256 (hex) of everything this tenant's configuration was made from: unchanged means nothing to rebuild. */
  readonly digest: string;
  /** Lower-case DNS names (SNI) that belong to this tenant, exact; none: its clients' certificates say whose they are. */
  readonly serverNames: readonly string[];
  /** Its clients see the certificate that tenants share, under its names, too; absent: its own. */
  readonly sharesCertificate?: true;
  /** What in a client's certificate makes it this tenant's, under any name; absent: its CA (and trust domain), under the tenant's names. */
  readonly identifiedBy?: TenantIdentification;
  /** Undefined: the SPIFFE Workload API gives none now, and nobody can connect. */
  readonly certificate: KeyPairPem | undefined;
  /** The CA certificates that sign this tenant's clients; empty: the Workload API gives none now, and nobody gets in. */
  readonly clientCaPem: string;
  /** How its CAs take certificates back; absent: they are not asked. */
  readonly clientRevocation?: ClientRevocationConfig;
  /** Trust domain that a client's SPIFFE id must have; undefined: any id under the tenant's CA. */
  readonly trustDomain: string | undefined;
  /** Which credentials suffice, at least one of which must be presented. The certificate is always verified. */
  readonly accept: readonly CredentialKind[];
  /** In which all workers note who used which token first; absent: nobody has to, or there is one worker. */
  readonly replayMemory?: SharedArrayBuffer;
  /** Ranges of IP addresses that its clients may call from; absent: any. */
  readonly addresses?: readonly string[];
  /** Ranges that they may not call from, whatever the other list says; absent: none. */
  readonly deniedAddresses?: readonly string[];
  readonly issuers: readonly IssuerConfig[];
  readonly apiKeys: readonly ApiKeyConfig[];
  /** Refused from now on, valid as they may be; absent: none are. */
  readonly denied?: readonly DeniedCredential[];
  readonly roles: readonly RoleConfig[];
  readonly bindings: readonly BindingConfig[];
  /** Absent: none. */
  readonly denials?: readonly DenyConfig[];
  /** Claims that conditions may speak of; absent: none. */
  readonly claims?: readonly DeclaredClaim[];
  /** Names of request headers that conditions may speak of, lower case; absent: none. */
  readonly metadata?: readonly string[];
  readonly quota: QuotaConfig;
  /** The longest that one call may run on one authentication; absent: as long as its credentials are good. */
  readonly leaseMs?: number;
  /** The organisation that `quota` names; absent: it names none. */
  readonly organisation?: OrganisationConfig;
  /** Hard limit of bytes in flight. */
  readonly byteAccountBytes: number;
  readonly upstream: UpstreamConfig;
  readonly trace: { readonly clientContext: 'link' | 'parent' };
  /** What the model server speaks; absent: Triton's protocol. */
  readonly protocols?: readonly ProtocolName[];
  /** The model of a server whose protocol names none; absent: requests name it. */
  readonly servedModel?: string;
  /** Further services that are read by their descriptors; absent: none. */
  readonly protoset?: ProtosetConfig;
  /** Services beyond these that are passed through without reading their messages. */
  readonly opaqueServices: readonly string[];
}

export type TenantIdentification =
  /** Patterns of SPIFFE ids (`spiffe-pattern.ts`), which no other tenant has. */
  | { readonly kind: 'spiffe'; readonly ids: readonly string[] }
  /** Any certificate that one of its CAs has signed; no other tenant has one of these. `names`: of the CAs, as certificates name their issuer. */
  | { readonly kind: 'client-ca'; readonly names: readonly string[] };

/** Keys of a tenant's file that an explanation points to. */
export type TenantSection =
  | 'addresses'
  | 'deniedAddresses'
  | 'clientCa'
  | 'accept'
  | 'issuers'
  | 'apiKeys'
  | 'roles'
  | 'bindings'
  | 'denyRules'
  | 'quota';

export interface ProtosetConfig {
  /** A FileDescriptorSet, in base64. */
  readonly descriptors: string;
  readonly methods: readonly ProtosetMethod[];
}

export type CredentialKind = 'certificate' | 'token' | 'api-key';

export interface IssuerConfig {
  /** Exact `iss`. */
  readonly issuer: string;
  /** One of these must be in `aud`. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  readonly jwks:
    | { readonly kind: 'inline'; readonly json: string }
    | { readonly kind: 'url'; readonly url: string; readonly caPem: string | undefined }
    /** Where the issuer's metadata say (OpenID Connect Discovery, RFC 8414). */
    | { readonly kind: 'discovery'; readonly caPem: string | undefined }
    /** Nowhere: it is asked about each token. */
    | { readonly kind: 'none' };
  /** How it is asked about tokens that cannot be verified here; absent: it is not, and they are refused. */
  readonly introspection?: IntrospectionConfig;
  readonly clockSkewMs: number;
  /** A claim that must equal the tenant's id; undefined when the issuer serves this tenant only. */
  readonly tenantClaim: string | undefined;
  /** Tokens must be bound to the client's certificate (RFC 8705); one that says it is bound must match in any case. */
  readonly requireBound: boolean;
  /** What a token's first use binds it to; absent: nothing. */
  readonly replay?: 'certificate' | 'connection' | 'call';
  /** `at+jwt`: tokens must be access tokens by RFC 9068, and say so; absent: any JWT that does not say that it is something else. */
  readonly profile?: 'jwt' | 'at+jwt';
}

/** RFC 7662. */
export interface IntrospectionConfig {
  /** Undefined: where the issuer's metadata say. */
  readonly endpoint: string | undefined;
  readonly caPem: string | undefined;
  readonly clientId: string;
  /** Undefined: the certificate says who we are (RFC 8705 §2). */
  readonly clientSecret: string | undefined;
  /** Whether the secret goes into a header or into the form. */
  readonly method: 'basic' | 'post';
  readonly clientCertificate: KeyPairPem | undefined;
  /** `opaque`: tokens that are no JWT; `all`: JWTs of this issuer too, after their signature if it has keys. */
  readonly tokens: 'opaque' | 'all';
  /** How long an answer is good. */
  readonly cacheMs: number;
  /** And how long after that while the issuer cannot be asked. */
  readonly staleIfErrorMs: number;
}

export interface ApiKeyConfig {
  /** The public middle part of `bk_<id>_<secret>`. */
  readonly id: string;
  /** SHA-256 of the secret part, lower-case hex. Secrets are 192 random bits or more, so a fast hash is right. */
  readonly sha256: string;
  /** Unix seconds. */
  readonly expiresAtSeconds: number | undefined;
  readonly revoked: boolean;
  /** The secret before this one, while its users change over; absent: there is none. */
  readonly previous?: { readonly sha256: string; readonly expiresAtSeconds: number };
  /** Absent: none. */
  readonly scopes?: readonly string[];
  /** Ranges of IP addresses that it may be used from; absent: any. */
  readonly addresses?: readonly string[];
  /** Ranges that it may not be used from, whatever the other list says; absent: none. */
  readonly deniedAddresses?: readonly string[];
  /** Globs over the models and versions that it may be used for, of those that roles give; absent: all of these. */
  readonly models?: readonly string[];
  readonly versions?: readonly string[];
}

export interface ClientRevocationConfig extends RevocationPolicy {
  /** From files. */
  readonly lists: readonly RevocationList[];
  readonly urls: readonly { readonly url: string; readonly caPem: string | undefined; readonly allowHttp: boolean }[];
  readonly refreshMs: number;
}

/** What a deny list names. */
export interface DeniedCredential {
  readonly kind: 'serial' | 'spiffe' | 'key' | 'subject' | 'session';
  /** A serial as upper-case hex without leading zeros; of the others, what is compared. */
  readonly value: string;
  /** Whose it is: the CA's name, or `iss`; absent: anybody's. */
  readonly issuer?: string;
  /** Unix seconds from which on it means nothing; absent: never. */
  readonly untilSeconds?: number;
  /** `tenants/acme.yaml:12 denied[0]`, for records and explanations. */
  readonly source: string;
}

export interface RoleConfig {
  readonly name: string;
  /** Full names (`inference.GRPCInferenceService/ModelInfer`) or `package.Service/*`. */
  readonly methods: readonly string[];
  /** Globs (`*` within a name) over model names. */
  readonly models: readonly string[];
  /** Globs over versions; the version that a request leaves empty is written `latest`. */
  readonly versions: readonly string[];
  /** In CEL: the role counts only for calls that meet it; absent: for all. */
  readonly condition?: string;
  /** Decided and recorded, and without effect; absent: in force. */
  readonly mode?: 'shadow';
  /** All of these are needed besides; absent: none. */
  readonly scopes?: readonly string[];
  /** How the caller's subject must have signed in; absent: in whichever way its issuer lets it. */
  readonly stepUp?: StepUpConfig;
  /** Where it stands, for the audit record's rule. */
  readonly source: string;
}

/** RFC 9470; what is left away is not asked for. */
export interface StepUpConfig {
  /** One of these must be the token's `acr`. */
  readonly acrValues: readonly string[];
  /** Longest time since `auth_time`. */
  readonly maxAgeMs: number | undefined;
  /** All of these must be in the token's `amr`. */
  readonly amr: readonly string[];
}

export interface BindingConfig {
  readonly role: string;
  /** `sub` of a token; `*` for any. */
  readonly subjects: readonly string[];
  /** Ids of API keys; `*` for any. */
  readonly keys: readonly string[];
  /** `spiffe://…` or `dns:…` of the client certificate; `spiffe://…/*` for all ids below a path, `*` for any. */
  readonly certificates: readonly string[];
  /** What the token must say, all of it; absent: it is not asked. */
  readonly claims?: readonly ClaimMatch[];
  /** In CEL: the binding counts only for calls that meet it; absent: for all. */
  readonly condition?: string;
  readonly mode?: 'shadow';
  readonly source: string;
}

/** What is refused, whatever roles allow. What is left away does not narrow it. */
export interface DenyConfig {
  readonly name: string;
  /** Absent: everybody. */
  readonly who?: Pick<BindingConfig, 'subjects' | 'keys' | 'certificates' | 'claims'>;
  /** Full names, `package.Service/*` (sensitive methods too) or `*`; absent: all. */
  readonly methods?: readonly string[];
  /** Globs; absent: all, and methods that name none. A request that leaves the model open may mean any of them. */
  readonly models?: readonly string[];
  /** Globs; absent: all. A request that leaves the version open may mean any of them. */
  readonly versions?: readonly string[];
  /** Ranges of IP addresses that calls come from; absent: any. */
  readonly addresses?: readonly string[];
  readonly condition?: string;
  readonly mode?: 'shadow';
  readonly source: string;
}

/** A claim of tokens that conditions may speak of. */
export interface DeclaredClaim {
  /** `claims.<name>` in conditions. */
  readonly name: string;
  /** JSON Pointer to the claim. */
  readonly path: string;
  readonly type: 'string' | 'strings' | 'bool' | 'int';
}

/** What a claim's value may be to a rule; of a list, each member. */
export type ClaimScalar = string | number | boolean;

export interface ClaimMatch {
  /** JSON Pointer to the claim. */
  readonly path: string;
  /** One of these must be the claim's value, or in its list; `*`: it must be there. */
  readonly values: readonly ClaimScalar[];
}

export interface QuotaConfig {
  readonly perTenant: RateConfig | undefined;
  readonly perCaller: RateConfig | undefined;
  /** Calls of this tenant in progress at once, over all threads. */
  readonly maxConcurrentCalls: number | undefined;
  /** Further limits, all of which a call must fit into; absent: none. */
  readonly limits?: readonly LimitConfig[];
  /** The organisation whose limits hold besides; absent: none. */
  readonly organisation?: string;
}

export interface RateConfig {
  readonly callsPerSecond: number;
  readonly burst: number;
}

/** A group of tenants, and what all of them together may use. */
export interface OrganisationConfig {
  readonly name: string;
  /** Index of its cells in the shared tables. */
  readonly slot: number;
  readonly limits: readonly LimitConfig[];
}

export type LimitLevel = QuotaLevel;

export interface LimitConfig {
  /** Unique within its tenant or organisation: what was used is kept under it. */
  readonly name: string;
  readonly level: LimitLevel;
  /** Absent: calls. Bytes are those of whole messages, with their framing. */
  readonly unit?: QuotaUnit;
  /** Globs over the models that a limit per model is for; absent: all. */
  readonly models?: readonly string[];
  readonly bound: LimitBound;
}

export type CalendarUnit = 'minute' | 'hour' | 'day' | 'month';

export type LimitBound =
  | { readonly kind: 'rate'; readonly callsPerSecond: number; readonly burst: number }
  | { readonly kind: 'concurrency'; readonly calls: number }
  /** Within a minute, hour, day or month of a time zone (IANA). */
  | { readonly kind: 'calendar'; readonly amount: number; readonly unit: CalendarUnit; readonly zone: string }
  /** Within any stretch of time of this length. */
  | { readonly kind: 'sliding'; readonly amount: number; readonly lengthMs: number }
  /** Until a `sinceSeconds` (Unix) that is later and has come. */
  | { readonly kind: 'total'; readonly amount: number; readonly sinceSeconds: number };

export interface UpstreamConfig {
  readonly target:
    | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
    | { readonly kind: 'unix'; readonly path: string };
  /** Present for `https://`. */
  readonly tls:
    | {
        readonly caPem: string | undefined;
        readonly serverName: string;
        readonly clientCertificate: KeyPairPem | undefined;
        /** The server must show this SPIFFE id, whatever names it has; absent: it must have the server name. */
        readonly spiffeId?: string;
        /** What the SPIFFE Workload API does not give now, without which nobody connects; absent: nothing is missing. */
        readonly missing?: string;
      }
    | undefined;
  /** As written, for records. */
  readonly display: string;
  readonly connectTimeoutMs: number;
  readonly maxConnections: number;
  /** Calls that may wait for a connection or a free stream. */
  readonly maxPendingCalls: number;
  /** Connections that are kept whether there are calls or not; absent: 0. */
  readonly minConnections?: number;
  /** A connection beyond these is closed when it had no call for so long; absent: never. */
  readonly idleTimeoutMs?: number;
  /** Calls of this worker that may be there at once; absent: as many as the connections take. */
  readonly maxConcurrentCalls?: number;
  /** When to stop asking; absent: never. */
  readonly circuit?: CircuitConfig;
  /** How to ask whether it serves; absent: not at all. */
  readonly healthCheck?: HealthCheckConfig;
  /** `:authority` sent upstream. */
  readonly authority: string;
}

export interface HealthCheckConfig {
  /** Of grpc.health.v1: empty for the server as a whole. */
  readonly service: string;
  /** From one answer to the next question, ± 10 %. */
  readonly intervalMs: number;
  /** For one answer, on a connection that is there. */
  readonly timeoutMs: number;
  /** So many times in a row without an answer, and no call goes there. */
  readonly unhealthyThreshold: number;
  /** So many good answers in a row, and calls go there again. */
  readonly healthyThreshold: number;
}

export interface CircuitConfig {
  /** Calls in a row that the server failed. */
  readonly failures: number;
  /** How long it is not asked the first time, ± 50 %; doubled each time that it fails again, up to `maxOpenMs`. */
  readonly openMs: number;
  readonly maxOpenMs: number;
}
