/**
 * What `src/manual/limits.md` says about each limit beyond what stands beside it in the source: the attack that it stops and the
 * test that tries it at n and at n + 1. The types make the table whole: a new field without a row here does not compile.
 */
import type { LimitsConfig } from '../../src/config/generation.ts';
import type { ConnectionLimits } from '../../src/http2/limits.ts';

export interface LimitRow {
  /** What would happen without it. */
  readonly attack: string;
  /** `file below test/`, and a title in it that tries n and n + 1; two when one tries n and the other n + 1. */
  readonly test: readonly [file: string, title: string, ...more: string[]];
}

/** What bounds calls that wait for their turn. */
export const SCHEDULING_ROWS: Readonly<Record<string, LimitRow>> = {
  concurrentCalls: {
    attack: 'More calls at the model server than it can take at once, of all tenants together',
    test: ['unit/quota/seat-table.test.ts', 'are taken at once while there are any, and not one more'],
  },
  maxQueuedCalls: {
    attack: 'Calls that wait fill the memory, or leave no place to wait for others',
    test: ['unit/quota/seat-table.test.ts', 'has room for whoever comes last, however many others have filled it'],
  },
  maxQueuedCallsPerTenant: {
    attack: 'One tenant’s calls fill the line',
    test: ['unit/quota/seat-table.test.ts', 'holds n calls of a tenant and refuses n + 1'],
  },
  maxWait: {
    attack: 'Calls without a deadline wait for ever',
    test: ['conformance/turns.test.ts', 'is left by who has waited as long as a call may'],
  },
};

/** A limit that is a constant beside the code that it guards. */
export interface ConstantRow extends LimitRow {
  readonly file: string;
  readonly name: string;
  /** What it counts, when the source has no comment of its own. */
  readonly counts?: string;
}

const LIMITS = 'unit/http2/limits.test.ts';
const STALLS = 'unit/http2/stalls.test.ts';
const TIMES = 'unit/http2/time-limits.test.ts';
const HPACK = 'unit/http2/hpack.test.ts';
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
    test: [LIMITS, 'a split block of %i bytes ends in %s'],
  },
  maxContinuationFrames: {
    attack: 'Flood of empty CONTINUATION frames (CVE-2024-28182)',
    test: [LIMITS, 'let as many CONTINUATION frames through as they say, and not one more: %j, %i'],
  },
  youngResets: { attack: 'Rapid reset (CVE-2023-44487)', test: [LIMITS, 'a flood against $limit'] },
  youngStreamMs: {
    attack: 'Rapid reset with a pause, against ordinary cancellations',
    test: [
      TIMES,
      'just below the limit, and its reset counts',
      'no more at the limit, and its reset is a cancellation',
    ],
  },
  provokedResets: { attack: 'MadeYouReset (CVE-2025-8671)', test: [LIMITS, 'a flood against $limit'] },
  pings: { attack: 'PING flood (CVE-2019-9512)', test: [LIMITS, 'a flood against $limit'] },
  pingMinIntervalMs: {
    attack: 'Keepalive at a rate that keeps the radio and us awake (gRFC A8)',
    test: [
      STRIKES,
      'may come at the least interval, for ever',
      'may come a microsecond sooner as often as there may be strikes, and not once more',
    ],
  },
  pingsWithoutStreams: {
    attack: 'The same, on a connection without calls',
    test: [STRIKES, 'without streams may come as often when that is permitted (%s), else every two hours'],
  },
  maxPingStrikes: {
    attack: 'The same, again and again',
    test: [STRIKES, 'may come a microsecond sooner as often as there may be strikes, and not once more'],
  },
  settings: { attack: 'SETTINGS flood (CVE-2019-9515)', test: [LIMITS, '%i more than the first two ends in %s'] },
  maxSettingsEntries: {
    attack: 'SETTINGS frames of thousands of entries (CVE-2020-11080)',
    test: [LIMITS, 'ends the connection by its entries, at one more than there may be: %i'],
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
    test: [LIMITS, 'let %i answers wait for it, and end the connection at one more: %i'],
  },
  settingsAckTimeoutMs: {
    attack: 'A handshake that never becomes a connection',
    test: [TIMES, 'the answer to our SETTINGS'],
  },
  serverKeepaliveMs: {
    attack: UNREACHABLE_PEER,
    test: [TIMES, 'the word of a silent client'],
  },
  clientKeepaliveMs: {
    attack: 'The same, of a model server',
    test: [TIMES, 'the word of a silent model server'],
  },
  keepaliveTimeoutMs: {
    attack: UNREACHABLE_PEER,
    test: [TIMES, 'a client’s answer to a PING', 'a model server’s answer to a PING'],
  },
  writeStallTimeoutMs: {
    attack: 'Slow reader at the socket',
    test: [TIMES, 'the socket to take one write'],
  },
  frameTimeoutMs: {
    attack: 'Slow header (Slowloris)',
    test: [TIMES, 'the rest of a frame', 'the rest of a header block'],
  },
  streamStallMs: {
    attack: 'Slow reader and slow body: zero and dribbled windows, messages without end',
    test: [TIMES, 'a reader to read on', 'a writer to go on'],
  },
  streamStallBytes: {
    attack: 'The same, a few bytes at a time (CVE-2019-9511, CVE-2019-9517)',
    test: [STALLS, 'stands still below the limit in bytes, and moves at it: %i'],
  },
  drainRoundTripMs: {
    attack: 'A peer that holds up a drain',
    test: [TIMES, 'the end’s round trip'],
  },
  lingerMs: {
    attack: 'A peer that never closes its side',
    test: [TIMES, 'the peer to close after GOAWAY'],
  },
  encoderTableBytes: {
    attack: 'A peer that allows a table of 4 GiB has us fill it (CVE-2016-1544)',
    test: [HPACK, 'of %i octets at most is no larger, whatever the peer allows; it holds two fields: %s'],
  },
};

/** By the key of the main file, which is that of `LimitsConfig` without its unit. */
type Configured<K> = K extends `${infer Name}Ms` | `${infer Name}Bytes` ? Name : K;

export const CONFIGURED_ROWS: Record<Configured<keyof LimitsConfig>, LimitRow> = {
  maxHeld: {
    attack: 'One tenant, within all its other limits, takes the memory of all',
    test: ['unit/buffers/ceiling.test.ts', 'does nothing at n bytes, and sheds at n + 1'],
  },
  handshakeTimeout: {
    attack: 'Handshakes that never end hold sockets',
    test: [
      'unit/proxy/listener.test.ts',
      'ends a handshake at its time, counted from when it connected, and not before: %s',
      'leaves a handshake alone that takes long, and goes on within its time',
    ],
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
    test: [
      'unit/proxy/listener.test.ts',
      'leaves as many handshakes as there may be alone',
      'lets the oldest handshake give way when there are too many',
    ],
  },
  handshakeShare: {
    attack: 'A flood of handshakes takes the time of everybody’s calls',
    test: [
      'unit/proxy/handshake-queue.test.ts',
      'is theirs while calls run, and not a millisecond more',
      'is all of it while none do',
    ],
  },
  coolOff: {
    attack: 'Whoever is thrown out comes back, and the others pay for handshake and attack again',
    test: [
      'unit/proxy/cool-off.test.ts',
      'stays out for its time, and not a microsecond longer',
      'keeps at most %i of them, and lets the first go for one more',
    ],
  },
  idleTimeout: {
    attack: 'Connections that do nothing are kept for ever',
    test: [TIMES, 'doing nothing is as long as its limit, and not a millisecond longer'],
  },
  maxConnectionAge: {
    attack: 'A connection that outlives the trust, the worker and the pod it was made for',
    test: [AGE, 'is asked to end at its age, give or take a tenth (random %d: %d ms)'],
  },
  maxConnectionAgeGrace: {
    attack: 'A call that never ends keeps an old connection',
    test: [AGE, 'is ended after the grace, not before'],
  },
  keepalive: {
    attack: 'PINGs that are sent for nothing (gRFC A8)',
    test: [
      STRIKES,
      'may come at the least interval, for ever',
      'may come a microsecond sooner as often as there may be strikes, and not once more',
    ],
  },
  maxDeadline: {
    attack: 'Calls without end hold streams, quota and bytes',
    test: ['conformance/deadlines.test.ts', '%s ends at the greatest deadline'],
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
  workerHeap: {
    attack: 'A worker that leaks takes the whole process with it, or the pod',
    test: ['e2e/worker-heap.test.ts', 'lives with a heap below its limit, and ends alone when it is beyond'],
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
    test: [
      'unit/quota/quota-gate.test.ts',
      "refuses a caller over its own rate and leaves the tenant's other callers alone",
    ],
  },
  lease: {
    attack: 'A stream that runs on for ever on one authentication',
    test: ['unit/proxy/call-lease.test.ts', 'is no longer than its tenant’s, counted from the call’s start'],
  },
  'quota.concurrentCalls': {
    attack: 'Slow calls that fill the model server',
    test: [
      'unit/quota/quota-gate.test.ts',
      'admits n calls at once over all workers, refuses n + 1, and admits it when one has settled',
    ],
  },
  'quota.limits': {
    attack: 'A tenant, a caller or a model that takes more than it was given, in whatever time',
    test: [
      'unit/quota/limit-set.test.ts',
      'by the calendar has room for n calls, refuses n + 1 until its end, and has room again then',
      'that slides has room for n calls in any stretch of its length',
      'has room for n calls in all, and no time helps',
      'are paid message by message, n of them and not n + 1',
    ],
  },
  byteAccount: {
    attack: "A tenant's bytes in flight fill the process",
    test: ['unit/buffers/byte-account.test.ts', 'is full at n bytes over all threads, and not at n - 1'],
  },
  'upstream.connectTimeout': {
    attack: 'A model server that accepts and says nothing',
    test: [
      'unit/proxy/dial.test.ts',
      'waits for a handshake as long as it may',
      'does not wait longer for a handshake than it may',
    ],
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
    test: ['unit/proxy/circuit.test.ts', 'opens at the last of so many failures in a row, not before'],
  },
  'upstream.healthCheck.unhealthyThreshold': {
    attack: 'Calls go on to a model server that hangs, and each waits for its deadline',
    test: [
      'unit/proxy/upstream-health.test.ts',
      'stays %s through failures to answer, one fewer than the threshold, and not through one more',
    ],
  },
  'upstream.healthCheck.healthyThreshold': {
    attack: 'Calls flood back to a model server that is not yet well',
    test: [
      'unit/proxy/upstream-health.test.ts',
      'is good again after so many good answers in a row, and not after one fewer',
    ],
  },
  'upstream.maxPendingCalls': {
    attack: 'Calls that wait without end',
    test: [
      'unit/proxy/upstream-pool.test.ts',
      'grows by one when every connection is full, up to its limit and no further',
    ],
  },
};
