/**
 * What the threads say to each other. Plain data; calls' bytes and records never travel here.
 */
import type { KeyUse } from '../authn/key-uses.ts';
import type { CertificateStatus, StatusQuestion } from '../authn/ocsp-exchange.ts';
import type { Generation, ListenerConfig } from '../config/generation.ts';
import type { GenerationChange } from '../config/generation-change.ts';
import type { StoredTenant } from '../config/stored-tenant.ts';
import type { RevocationList } from '../identity/revocation-list-reader.ts';
import type { TenantId } from '../kernel/ids.ts';
import type { Result } from '../kernel/result.ts';
import type { HealthReport } from '../proxy/health-probes.ts';
import type { SharedState } from '../quota/shared-state.ts';
import type { MetricsDelta } from '../telemetry/metrics.ts';

/** What a data-plane worker is born with. */
export interface WorkerBirth {
  readonly index: number;
  readonly generation: Generation;
  readonly shared: SharedState;
  /** The table of the egress listeners' byte accounts. */
  readonly egressShared: SharedState;
  /** Where tenants connect to, with the port that the first worker got when the configured one is 0; undefined: nowhere. */
  readonly listen: ListenerConfig | undefined;
  /** Where they will, when a change is being prepared. */
  readonly prepared: ListenerConfig | undefined;
  /** What has been fetched so far. */
  readonly lists: readonly TenantLists[];
}

/** Revocation lists that were fetched for a tenant. */
export type TenantLists = readonly [TenantId, readonly RevocationList[]];

export type ToWorker =
  /** Tenants of the generation that comes: a part of them, so that no turn of the event loop takes in thousands. */
  | { readonly type: 'tenants'; readonly tenants: readonly StoredTenant[] }
  /** The rest of what is different, which is to be used from now on. */
  | { readonly type: 'generation'; readonly change: GenerationChange }
  /** Revocation lists have come: what was good may be revoked. */
  | { readonly type: 'lists'; readonly lists: TenantLists }
  /** What a responder says of a certificate: for whoever has such a client. */
  | { readonly type: 'status'; readonly tenant: TenantId; readonly id: string; readonly status: CertificateStatus }
  /** Bind this beside what there is: the next generation may have tenants connect there. */
  | { readonly type: 'bind'; readonly listen: ListenerConfig }
  /** That generation does not come. */
  | { readonly type: 'unbind' }
  | { readonly type: 'metrics'; readonly id: number }
  /** Every worker has taken the generation: whoever is connected to an address that is left is asked to go. */
  | { readonly type: 'leave' }
  /** Lets nobody in any more, before it is told to drain. */
  | { readonly type: 'close' }
  /** May be said again, with less time. */
  | { readonly type: 'drain'; readonly timeoutMs: number };

export type FromWorker =
  | { readonly type: 'listening'; readonly port: number | undefined }
  /** Tenants are kept ready, the generation is in use, or the doors are closed. */
  | { readonly type: 'taken' }
  /** A client's certificate has to be asked about. */
  | { readonly type: 'ask'; readonly question: StatusQuestion }
  /** The port, or why it cannot be had. */
  | { readonly type: 'bound'; readonly result: Result<number, string> }
  | {
      readonly type: 'metrics';
      readonly id: number;
      readonly delta: MetricsDelta;
      readonly gauges: WorkerGauges;
      /** What is new of the model servers' health. */
      readonly health: readonly HealthReport[];
      /** What was used of API keys since. */
      readonly keyUses: readonly KeyUse[];
    }
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
