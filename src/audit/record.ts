/**
 * What is written down. One `CallRecord` per call, whatever became of it; audit logs, spans and usage are views of it, so
 * that they cannot disagree.
 */
import type { Consumption } from '../kernel/consumption.ts';
import type { EpochMicros } from '../kernel/ids.ts';

export type AuditRecord = CallRecord | RefusalRecord | EventRecord;

/** One call, written when its last byte is about to leave, or when it is known that none will. */
export interface CallRecord {
  readonly type: 'call';
  readonly startedAt: EpochMicros;
  readonly durationMicros: number;
  /** From SNI until authentication agreed, then the verified tenant. */
  readonly tenant: string;
  /** False: `tenant` is only what was claimed. */
  readonly tenantVerified: boolean;
  /** `token:<sub>`, `key:<id>`, `cert:spiffe://…`; empty when nobody was authenticated. */
  readonly caller: string;
  readonly peerAddress: string;
  readonly peerPort: number;
  /** Of the load balancer that says that the peer is there; absent: the connection itself does. */
  readonly proxyAddress?: string | undefined;
  /** SHA-256 of the client's leaf certificate, hex. */
  readonly certificateSha256: string;
  /** `package.Service/Method`; `_OTHER` when unknown. */
  readonly method: string;
  /** Only when `method` is `_OTHER`: the path as sent, cut to 256 characters. */
  readonly methodOriginal: string;
  readonly model: string;
  readonly modelVersion: string;
  readonly outcome: 'ok' | 'denied' | 'failed' | 'cancelled';
  /** gRPC status that the caller got (0..16); for a cancelled call 1. */
  readonly grpcStatus: number;
  /** `Denial.kind`, or what failed; empty for ok. */
  readonly reason: string;
  /** What decided: the binding and role with file and line, the limit, …; empty when nothing did. */
  readonly rule: string;
  /** More about a refusal, for operators only. Never a secret. */
  readonly detail: string;
  /** What rules in shadow would have decided otherwise; absent: nothing. */
  readonly shadow?: { readonly verdict: 'allow' | 'deny'; readonly rule: string };
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly requestMessages: number;
  readonly responseMessages: number;
  /** What limits counted of it beside the call and its bytes; absent: nothing. */
  readonly consumed?: Consumption;
  readonly upstream: string;
  /** 32 hex digits. */
  readonly traceId: string;
  /** 16 hex digits: our server span. */
  readonly spanId: string;
  /** 16 hex digits: our client span towards the upstream. */
  readonly upstreamSpanId: string;
  /** Whether spans are exported for this call. */
  readonly sampled: boolean;
  /** The client's own `traceparent`, if it sent a valid one: becomes a link, or the parent when the tenant is trusted for that. */
  readonly clientTrace:
    | { readonly traceId: string; readonly spanId: string; readonly as: 'link' | 'parent' }
    | undefined;
  /** Which gates took part, in order, with their time and verdict. */
  readonly gates: readonly GateRecord[];
  /** Configuration generation that the call began with. */
  readonly generation: number;
}

export type GateName = 'identify' | 'authenticate' | 'authorize' | 'reserve' | 'inspect' | 'upstream' | 'queue';

export interface GateRecord {
  readonly gate: GateName;
  /** Offsets from `startedAt`. */
  readonly fromMicros: number;
  readonly toMicros: number;
  readonly verdict: 'pass' | 'deny' | 'fail';
}

/** Refusals before a call exists (TLS, preface, limits), gathered per peer address, reason and second. */
export interface RefusalRecord {
  readonly type: 'refusal';
  readonly at: EpochMicros;
  /** `TLS_CLIENT_CERT_REQUIRED`, `TLS_UNKNOWN_SERVER_NAME`, `HTTP2_PROTOCOL_ERROR`, … */
  readonly reason: string;
  /** Server name asked for, cut to 255 characters; empty when there was none. */
  readonly serverName: string;
  /** Tenant that the server name claims, if any. */
  readonly tenantClaim: string;
  readonly peerAddress: string;
  readonly detail: string;
  /** How many were gathered into this record. */
  readonly count: number;
}

/** Something an operator did or must know: configuration changes, worker restarts, drains. */
export interface EventRecord {
  readonly type: 'event';
  readonly at: EpochMicros;
  readonly event: string;
  readonly detail: string;
}
