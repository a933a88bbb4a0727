/** What the supervisor and the telemetry thread say to each other. */
import type { TelemetryConfig } from '../config/generation.ts';
import type { UsageTotals } from './usage-metrics.ts';

/** What the thread is born with. */
export interface TelemetryBirth {
  readonly auditDirectory: string;
  readonly telemetry: TelemetryConfig;
  /** `service.version`. */
  readonly serviceVersion: string;
  /** `service.instance.id`. */
  readonly instanceId: string;
}

export type ToTelemetry =
  /** Deliver what is there within the time, say `drained`, and end. */
  | { readonly type: 'drain'; readonly timeoutMs: number }
  /** Send these sums as metrics. */
  | { readonly type: 'usage'; readonly totals: UsageTotals };

export type FromTelemetry =
  /** Once a second while there is something to tell. */
  | { readonly type: 'status'; readonly status: TelemetryStatus }
  /** Sums were sent, or why not. */
  | { readonly type: 'usage'; readonly error: string | undefined }
  | { readonly type: 'drained'; readonly undeliveredBytes: number };

export interface TelemetryStatus {
  /** Records that the collector has acknowledged, both as log and as spans. */
  readonly deliveredRecords: number;
  /** Records that the collector has refused for good; they are in the segments only. */
  readonly rejectedRecords: number;
  /** Bytes of segments not yet acknowledged. */
  readonly backlogBytes: number;
  /** Why the last attempt failed; undefined when it did not. */
  readonly lastError: string | undefined;
}
