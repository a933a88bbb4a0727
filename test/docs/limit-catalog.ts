/**
 * What `src/manual/limits.md` says about each limit beyond what stands beside it in the source: the attack that it stops and the
 * test that tries it at n and at n + 1. The types make the table whole: a new field without a row here does not compile.
 */
import type { AuthnLimits } from '../../src/authn/limits.ts';
import type { LimitsConfig } from '../../src/config/generation.ts';
import type { ConnectionLimits } from '../../src/http2/limits.ts';

export interface LimitRow {
  /** What would happen without it. */
  readonly attack: string;
  /** `file below test/` and a title in it. */
  readonly test: readonly [file: string, title: string];
}

/** A limit that is a constant beside the code that it guards. */
export interface ConstantRow extends LimitRow {
  readonly file: string;
  readonly name: string;
  /** What it counts, when the source has no comment of its own. */
  readonly counts?: string;
}

const LIMITS = 'unit/http2/limits.test.ts';
const STALLS = 'unit/http2/stalls.test.ts';
const STRIKES = 'unit/http2/ping-strikes.test.ts';
const AGE = 'unit/proxy/connection-age.test.ts';
const UNREACHABLE_PEER = 'A peer that is gone, or plays dead, holds its streams and buffers for ever';

export const CONNECTION_ROWS: Record<keyof ConnectionLimits, LimitRow> = {
  maxHeaderFields: {
    attack: 'HPACK bomb of many tiny fields',
    test: [LIMITS, 'refuse a stream with one field more, and keep the tables in step'],
  },
  maxHeaderBlockBytes: {
    attack: 'CONTINUATION flood (CVE-2024-27316)',
    test: [LIMITS, 'the limits on header blocks'],
  },
  maxContinuationFrames: {
    attack: 'Flood of empty CONTINUATION frames (CVE-2024-28182)',
    test: [LIMITS, 'end the connection at one CONTINUATION more'],
  },
  youngResets: { attack: 'Rapid reset (CVE-2023-44487)', test: [LIMITS, 'a flood against $limit'] },
  youngStreamMs: {
    attack: 'Rapid reset with a pause, against ordinary cancellations',
    test: [LIMITS, 'of streams that are not young is a cancellation, and costs nothing'],
  },
  provokedResets: { attack: 'MadeYouReset (CVE-2025-8671)', test: [LIMITS, 'a flood against $limit'] },
  pings: { attack: 'PING flood (CVE-2019-9512)', test: [LIMITS, 'a flood against $limit'] },
  pingMinIntervalMs: {
    attack: 'Keepalive at a rate that keeps the radio and us awake (gRFC A8)',
    test: [STRIKES, 'may come at the least interval, for ever'],
  },
  pingsWithoutStreams: {
    attack: 'The same, on a connection without calls',
    test: [STRIKES, 'without streams may come as often when that is permitted'],
  },
  maxPingStrikes: {
    attack: 'The same, again and again',
    test: [STRIKES, 'may come sooner twice, and not a third time'],
  },
  settings: { attack: 'SETTINGS flood (CVE-2019-9515)', test: [LIMITS, 'a flood of SETTINGS'] },
  maxSettingsEntries: {
    attack: 'SETTINGS frames of thousands of entries (CVE-2020-11080)',
    test: [LIMITS, 'ends the connection by its entries, at one more than there may be'],
  },
  windowUpdates: {
    attack: 'Windows dribbled open, octet by octet (CVE-2019-9511)',
    test: [LIMITS, 'a flood against $limit'],
  },
  priorities: { attack: 'PRIORITY churn (CVE-2019-9513)', test: [LIMITS, 'a flood against $limit'] },
  emptyData: { attack: 'Flood of empty DATA frames (CVE-2019-9518)', test: [LIMITS, 'a flood against $limit'] },
  goaways: { attack: 'GOAWAY flood', test: [LIMITS, 'a flood against $limit'] },
  unknownFrames: { attack: 'Flood of frames of unknown types', test: [LIMITS, 'a flood against $limit'] },
  lateFrames: { attack: 'Flood on streams that are gone', test: [LIMITS, 'a flood against $limit'] },
  maxQueuedControlFrames: {
    attack: 'Answers pile up for a peer that does not read (CVE-2019-9517)',
    test: [LIMITS, 'end the connection when it does not read its answers'],
  },
  settingsAckTimeoutMs: {
    attack: 'A handshake that never becomes a connection',
    test: [LIMITS, 'end the connection when SETTINGS are not acknowledged'],
  },
  serverKeepaliveMs: {
    attack: UNREACHABLE_PEER,
    test: [LIMITS, 'probe a silent peer, and end the connection when it does not answer'],
  },
  clientKeepaliveMs: {
    attack: 'The same, of a model server',
    test: [LIMITS, 'leave a silent peer that answers alone'],
  },
  keepaliveTimeoutMs: {
    attack: UNREACHABLE_PEER,
    test: [LIMITS, 'probe a silent peer, and end the connection when it does not answer'],
  },
  writeStallTimeoutMs: {
    attack: 'Slow reader at the socket',
    test: [LIMITS, 'end the connection when it never reads'],
  },
  frameTimeoutMs: {
    attack: 'Slow header (Slowloris)',
    test: [STALLS, 'ends the connection after %s'],
  },
  streamStallMs: {
    attack: 'Slow reader and slow body: zero and dribbled windows, messages without end',
    test: [STALLS, 'is reset when its reader opens no window'],
  },
  streamStallBytes: {
    attack: 'The same, a few bytes at a time (CVE-2019-9511, CVE-2019-9517)',
    test: [STALLS, 'stands still below the limit in bytes, and moves at it'],
  },
  drainRoundTripMs: {
    attack: 'A peer that holds up a drain',
    test: ['unit/http2/flow-control.test.ts', 'does not wait for a round trip without end'],
  },
  lingerMs: {
    attack: 'A peer that never closes its side',
    test: [LIMITS, 'close the socket when the peer does not, after GOAWAY'],
  },
  encoderTableBytes: {
    attack: 'A peer that allows a table of 4 GiB has us fill it (CVE-2016-1544)',
    test: ['unit/http2/hpack.test.ts', 'holds exactly as many octets as it may'],
  },
};

/** By the key of the main file, which is that of `LimitsConfig` without its unit. */
type Configured<K> = K extends `${infer Name}Ms` | `${infer Name}Bytes` ? Name : K;

export const CONFIGURED_ROWS: Record<Configured<keyof LimitsConfig>, LimitRow> = {
  handshakeTimeout: {
    attack: 'Handshakes that never end hold sockets',
    test: ['unit/identity/tls.test.ts', 'a handshake that stalls is ended'],
  },
  maxConnections: {
    attack: 'Connections without end exhaust memory and descriptors',
    test: ['unit/proxy/listener.test.ts', 'takes as many connections as it may, and records the one that is too many'],
  },
  maxConnectionsPerTenant: {
    attack: 'One tenant takes all connections',
    test: [
      'unit/proxy/listener.test.ts',
      'takes as many connections of a tenant as it may, and of another tenant still',
    ],
  },
  maxConnectionsPerAddress: {
    attack: 'One address takes all connections',
    test: ['unit/proxy/listener.test.ts', 'takes as many connections of an address as it may'],
  },
  maxHandshakes: {
    attack: 'Handshakes that never end take all connections, and the threads for the signatures',
    test: ['unit/proxy/listener.test.ts', 'lets the oldest handshake give way when there are too many'],
  },
  idleTimeout: {
    attack: 'Connections that do nothing are kept for ever',
    test: ['unit/http2/connection.test.ts', 'a connection without streams ends at its idle limit'],
  },
  maxConnectionAge: {
    attack: 'A connection that outlives the trust, the worker and the pod it was made for',
    test: [AGE, 'is asked to end at its age'],
  },
  maxConnectionAgeGrace: {
    attack: 'A call that never ends keeps an old connection',
    test: [AGE, 'is ended after the grace'],
  },
  keepalive: {
    attack: 'PINGs that are sent for nothing (gRFC A8)',
    test: ['unit/http2/ping-strikes.test.ts', 'may come sooner twice, and not a third time'],
  },
  maxDeadline: {
    attack: 'Calls without end hold streams, quota and bytes',
    test: ['conformance/deadlines.test.ts', 'ends at the greatest deadline'],
  },
  maxConcurrentStreams: {
    attack: 'Streams without end on one connection',
    test: [LIMITS, 'refuses one more, and lets the next in when one has ended'],
  },
  maxHeaderList: {
    attack: 'HPACK bomb (CVE-2016-6581)',
    test: [LIMITS, 'refuse a stream whose list is one byte longer, and keep the tables in step'],
  },
  streamWindow: {
    attack: 'A body that is sent faster than it moves on',
    test: ['unit/http2/flow-control.test.ts', 'end at the byte'],
  },
  connectionWindow: {
    attack: 'The same over all streams of a connection',
    test: ['unit/http2/flow-control.test.ts', 'of the connection end at the byte, whatever the streams may still take'],
  },
  maxMessage: {
    attack: 'A length prefix that promises 4 GiB',
    test: [
      'unit/inspection/message-inspector.test.ts',
      'is accepted at the size limit and refused one byte above, before any of its bytes',
    ],
  },
  maxInflated: {
    attack: 'gzip bomb',
    test: ['unit/inspection/message-inspector.test.ts', 'may inflate to the limit and not one byte further'],
  },
};

/** Keys of a tenant's file, as paths. */
export const TENANT_ROWS: Readonly<Record<string, LimitRow>> = {
  'quota.tenant.calls': {
    attack: 'A tenant that calls more than its share',
    test: ['unit/quota/gcra.test.ts', 'grants a burst of n at once and refuses n + 1'],
  },
  'quota.caller.calls': {
    attack: "A caller that uses up its tenant's share",
    test: ['unit/quota/quota-gate.test.ts', 'names the limit that takes longer when both are spent'],
  },
  'quota.concurrentCalls': {
    attack: 'Slow calls that fill the model server',
    test: [
      'unit/quota/quota-gate.test.ts',
      'admits n calls at once over all workers, refuses n + 1, and admits it when one has settled',
    ],
  },
  byteAccount: {
    attack: "A tenant's bytes in flight fill the process",
    test: ['unit/buffers/byte-account.test.ts', 'is full at n bytes over all threads, and not at n - 1'],
  },
  'upstream.connectTimeout': {
    attack: 'A model server that accepts and says nothing',
    test: ['unit/proxy/dial.test.ts', 'does not wait longer for a handshake than it may'],
  },
  'upstream.maxConnections': {
    attack: 'Calls of one tenant open connections without end',
    test: [
      'unit/proxy/upstream-pool.test.ts',
      'grows by one when every connection is full, up to its limit and no further',
    ],
  },
  'upstream.idleTimeout': {
    attack: 'Connections that nobody uses any more hold the model server',
    test: ['unit/proxy/upstream-pool.test.ts', 'is closed after its time, not before, and the next call has another'],
  },
  'upstream.maxConcurrentCalls': {
    attack: 'Calls without end at a model server that is slow',
    test: ['unit/proxy/upstream-guard.test.ts', 'lets so many calls through at once, and the next when one has left'],
  },
  'upstream.circuit.failures': {
    attack: 'A model server that fails is asked again and again, and its callers wait for nothing',
    test: ['unit/proxy/circuit.test.ts', 'opens at the last of so many failures in a row'],
  },
  'upstream.maxPendingCalls': {
    attack: 'Calls that wait without end',
    test: [
      'unit/proxy/upstream-pool.test.ts',
      'grows by one when every connection is full, up to its limit and no further',
    ],
  },
};

const FETCHING = 'unit/authn/jwks-source.test.ts';
const AUTHENTICATOR = 'unit/authn/authenticator.test.ts';

export const AUTHN_ROWS: Record<keyof AuthnLimits, LimitRow> = {
  maxTokenBytes: {
    attack: 'Tokens that cost more to parse than they are worth',
    test: ['unit/authn/credentials.test.ts', 'a token of 16 KiB is looked at, a byte more is not'],
  },
  maxCachedTokens: {
    attack: 'New tokens without end fill the memory',
    test: [AUTHENTICATOR, 'n tokens are remembered, of n + 1 one is verified again'],
  },
  maxCachedTokenBytes: {
    attack: 'Large tokens fill the memory',
    test: [AUTHENTICATOR, 'tokens are remembered up to so many bytes together'],
  },
  maxCallersPerCredential: {
    attack: 'One token with certificates without end',
    test: ['unit/authn/second-chance-cache.test.ts', 'holds n entries and forgets one at n + 1'],
  },
  maxConcurrentSignatures: {
    attack: "A flood of forged tokens takes the threads that another tenant's tokens need",
    test: ['unit/authn/turnstile.test.ts', 'n jobs run at once, the next one waits for a place, in order'],
  },
  maxPendingVerifications: {
    attack: 'A flood of forged tokens that wait',
    test: [AUTHENTICATOR, 'n tokens are verified at once, the one after them is refused and may come again'],
  },
  maxJwksBytes: { attack: 'An issuer that answers without end', test: [FETCHING, 'takes n bytes and not n + 1'] },
  jwksTimeoutMs: {
    attack: 'An issuer that does not answer',
    test: [FETCHING, 'gives up on an issuer that does not answer, or never finishes'],
  },
  jwksCooldownMs: {
    attack: 'Unknown key ids make us flood the issuer',
    test: [FETCHING, 'an unknown kid has the keys fetched again after the cooldown, not before'],
  },
  jwksRefreshMs: {
    attack: 'A key that was withdrawn goes on counting',
    test: [
      FETCHING,
      'a remembered token is verified again when the keys have changed, and refused when its key is gone',
    ],
  },
  jwksMaxStaleMs: {
    attack: 'The same, by keeping us from the issuer',
    test: [FETCHING, 'keys that could not be renewed for a day no longer serve'],
  },
  jwksRetryMs: {
    attack: 'A dead issuer is asked for every call',
    test: [FETCHING, 'with nothing cached an issuer that is down means unavailable, and is asked again after a while'],
  },
};

export const CONSTANT_ROWS: readonly ConstantRow[] = [
  {
    file: 'src/proxy/refusals.ts',
    name: 'MAX_DISTINCT_PER_SECOND',
    attack: 'A flood of refused connections fills the audit log',
    test: [
      'unit/proxy/refusals.test.ts',
      'of more than 256 kinds in a second go into one overflow record, and none is lost from the count',
    ],
  },
  {
    file: 'src/config/schema-egress.ts',
    name: 'MAX_EGRESS_LISTENERS',
    attack: 'A mistake that binds ports without end',
    test: ['unit/config/egress.test.ts', 'takes as many listeners as there may be, and not one more'],
  },
  {
    file: 'src/proxy/egress-methods.ts',
    name: 'MAX_EGRESS_METHODS',
    attack: 'Method names without end fill memory and metrics',
    test: ['unit/proxy/egress-methods.test.ts', 'are as many as may be told apart, and not one more'],
  },
  {
    file: 'src/proxy/egress-methods.ts',
    name: 'MAX_EGRESS_METHOD_LENGTH',
    attack: 'The same, with few long names',
    test: ['unit/proxy/egress-methods.test.ts', 'have names as long as may be kept, and not one character longer'],
  },
  {
    file: 'src/proxy/header-fate.ts',
    name: 'MAX_REMEMBERED_NAMES',
    attack: 'Header names without end fill the memory',
    test: ['unit/proxy/header-fate.test.ts', 'decides on names beyond those that it remembers as on the others'],
  },
  {
    file: 'src/quota/shared-state.ts',
    name: 'MAX_CALLER_SLOTS',
    counts: "Places in a tenant's table of callers; half may be taken, the callers after them share one bucket.",
    attack: 'Callers without end, to forget the debt of one',
    test: ['unit/quota/caller-buckets.test.ts', 'hold n callers, and send caller n + 1 to the overflow bucket'],
  },
  {
    file: 'src/buffers/slabs.ts',
    name: 'MAX_IDLE_SLABS_PER_TENANT',
    attack: 'Memory that one burst has claimed stays claimed',
    test: ['unit/buffers/slabs.test.ts', 'are kept up to n, and n + 1 goes to the reserve'],
  },
  {
    file: 'src/authz/authorizer.ts',
    name: 'MAX_REMEMBERED',
    attack: 'Model names without end fill the memory',
    test: [
      'unit/authz/authorizer.test.ts',
      'is remembered for 256 models and versions, and then the oldest is forgotten',
    ],
  },
  {
    file: 'src/authz/authorizer.ts',
    name: 'MAX_REMEMBERED_LENGTH',
    attack: 'Long model names fill the memory',
    test: ['unit/authz/authorizer.test.ts', 'is remembered for names of 256 characters and not of 257'],
  },
  {
    file: 'src/protobuf/scanner.ts',
    name: 'MAX_CAPTURED_BYTES',
    attack: 'A model name of a gigabyte',
    test: ['unit/protobuf/scanner.test.ts', 'captures as many bytes as the limit and not one more'],
  },
  {
    file: 'src/protobuf/scanner.ts',
    name: 'MAX_NESTING',
    attack: 'Messages in messages until the stack ends',
    test: ['unit/protobuf/scanner.test.ts', 'nests as deep as the limit and not one deeper'],
  },
  {
    file: 'src/inspection/method-table.ts',
    name: 'MAX_OPAQUE_ENTRIES',
    attack: 'Method names without end fill the memory',
    test: [
      'unit/inspection/method-table.test.ts',
      'is remembered for as many opaque methods as the bound, and still served above',
    ],
  },
  {
    file: 'src/inspection/method-table.ts',
    name: 'MAX_OPAQUE_METHOD_LENGTH',
    attack: 'Long method names fill memory and log',
    test: ['unit/inspection/method-table.test.ts', 'of an opaque method may be as long as the bound'],
  },
  {
    file: 'src/identity/spiffe-id.ts',
    name: 'MAX_ID_LENGTH',
    attack: 'A certificate whose name fills the log',
    test: [
      'unit/identity/spiffe-id.test.ts',
      'an id of 2048 bytes is one, of 2049 none; a trust domain of 255 is one, of 256 none',
    ],
  },
  {
    file: 'src/telemetry/metrics.ts',
    name: 'MAX_METHODS_PER_TENANT',
    attack: 'Series without end (metric cardinality)',
    test: [
      'unit/telemetry/metrics.test.ts',
      'keeps the most methods and reasons apart, and gathers one more as _overflow',
    ],
  },
  {
    file: 'src/telemetry/metrics.ts',
    name: 'MAX_REASONS',
    attack: 'Series without end (metric cardinality)',
    test: [
      'unit/telemetry/metrics.test.ts',
      'keeps the most methods and reasons apart, and gathers one more as _overflow',
    ],
  },
  {
    file: 'src/telemetry/metrics-registry.ts',
    name: 'MAX_TENANTS',
    attack: 'Series without end (metric cardinality)',
    test: [
      'unit/telemetry/metrics.test.ts',
      'gives the most tenants series of their own, and gathers one more as _overflow',
    ],
  },
  {
    file: 'src/audit/codec.ts',
    name: 'MAX_TEXT_CHARS',
    attack: 'Texts that the peer chooses fill the log',
    test: ['unit/audit/codec.test.ts', 'keeps a text of the most characters, and cuts one with one more'],
  },
  {
    file: 'src/audit/log.ts',
    name: 'MAX_HELD_BYTES',
    attack: 'Memory follows a full disk',
    test: ['unit/audit/log.test.ts', 'counts what is more than memory is set aside for, and says so in the chain'],
  },
  {
    file: 'src/admin/server.ts',
    name: 'MAX_HEADER_BYTES',
    attack: 'Headers without end at the admin port',
    test: ['unit/admin/server.test.ts', 'takes headers of 8 KiB and refuses more'],
  },
  {
    file: 'src/config/document.ts',
    name: 'MAX_ALIASES',
    attack: 'YAML that expands without end',
    test: ['unit/config/tenant-findings.test.ts', 'aliases that multiply'],
  },
  {
    file: 'src/config/file-cache.ts',
    name: 'MAX_FILE_BYTES',
    attack: 'A path that names a device or an image',
    test: ['unit/config/tenant-findings.test.ts', 'a file that is too large'],
  },
];
