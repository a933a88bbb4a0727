/**
 * A server that calls are sent to, parsed.
 */
import type { KeyPairPem } from './generation.ts';

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
