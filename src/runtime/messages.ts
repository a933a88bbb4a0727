/**
 * What the threads say to each other. Plain data; calls' bytes and records never travel here.
 */
import type { Generation } from '../config/generation.ts';
import type { SharedState } from '../quota/shared-state.ts';
import type { MetricsDelta } from '../telemetry/metrics.ts';

/** What a data-plane worker is born with. */
export interface WorkerBirth {
  readonly index: number;
  readonly generation: Generation;
  readonly shared: SharedState;
  /** The table of the egress listeners' byte accounts. */
  readonly egressShared: SharedState;
  /**
   * The port that the first worker got when the configured one is 0; otherwise the configured one. Undefined when the process was
   * started without a tenants' port.
   */
  readonly port: number | undefined;
}

export type ToWorker =
  | { readonly type: 'generation'; readonly generation: Generation }
  | { readonly type: 'metrics'; readonly id: number }
  | { readonly type: 'drain'; readonly timeoutMs: number };

export type FromWorker =
  | { readonly type: 'listening'; readonly port: number | undefined }
  | { readonly type: 'applied'; readonly number: number }
  | { readonly type: 'metrics'; readonly id: number; readonly delta: MetricsDelta; readonly gauges: WorkerGauges }
  | { readonly type: 'drained'; readonly unfinishedCalls: number };

/** A worker's state at one moment. */
export interface WorkerGauges {
  readonly connections: number;
  readonly calls: number;
  /** Why the audit log cannot be written, if so. */
  readonly auditBlocked: string | undefined;
  /** Records that the log had to drop since the worker started. */
  readonly auditDropped: number;
}
