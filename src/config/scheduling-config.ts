/**
 * Who goes first when not all can, parsed.
 */

/** For all tenants together. */
export interface SchedulingConfig {
  /** Calls at the model server at once, of all tenants and workers; undefined: only each tenant's own limit counts. */
  readonly concurrentCalls: number | undefined;
  /** Calls that wait for their turn, of all tenants and workers. */
  readonly maxQueuedCalls: number;
  readonly maxQueuedCallsPerTenant: number;
  /** A call waits no longer, whatever its deadline. */
  readonly maxWaitMs: number;
  /** In the order in which they are written; the first is what calls are in by default. */
  readonly classes: readonly PriorityClass[];
}

export interface PriorityClass {
  readonly name: string;
  /** Beside the other classes of one tenant. */
  readonly weight: number;
}

/** What a tenant's file says. */
export interface PriorityConfig {
  /** Beside other tenants. */
  readonly weight: number;
  /** Of calls that no rule is about; undefined: the first. */
  readonly class: string | undefined;
  /** The first that is about a call counts. */
  readonly rules: readonly PriorityRule[];
}

export interface PriorityRule {
  readonly class: string;
  /** Globs over `package.Service/Method`; absent: any. */
  readonly methods?: readonly string[];
  /** The role by which a call is allowed; absent: any. */
  readonly roles?: readonly string[];
}

/** How one tenant's calls are scheduled: what its file says, in the terms of the main file. */
export interface TenantScheduling extends SchedulingConfig {
  readonly weight: number;
  /** Index of the class of calls that no rule is about. */
  readonly defaultClass: number;
  readonly rules: readonly (Omit<PriorityRule, 'class'> & { readonly class: number })[];
}
