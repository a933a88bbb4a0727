/**
 * How much may be called, parsed.
 */
import type { QuotaLevel, QuotaUnit } from '../kernel/denial.ts';
import type { RateServiceConfig } from './rate-service-config.ts';

export interface QuotaConfig {
  readonly perTenant: RateConfig | undefined;
  readonly perCaller: RateConfig | undefined;
  /** Calls of this tenant in progress at once, over all threads. */
  readonly maxConcurrentCalls: number | undefined;
  /** Further limits, all of which a call must fit into; absent: none. */
  readonly limits?: readonly LimitConfig[];
  /** The tenant's own rate limit service, which is asked about each call; absent: there is none. */
  readonly service?: RateServiceConfig;
  /** The organisation whose limits hold besides; absent: none. */
  readonly organisation?: string;
  /** By which fields clients are told of their limits with each answer; absent: only who is refused is told. */
  readonly announce?: readonly ('ratelimit' | 'x-ratelimit')[];
  /** How tokens are found out; absent: as the model server's protocol says, and the usual estimates. */
  readonly tokens?: TokenConfig;
  /** What a second of the model server counts; absent: one, and the usual estimate. */
  readonly compute?: ComputeConfig;
  /** gRPC statuses of the model server for which a call gets back what it took; absent: none. */
  readonly refund?: readonly number[];
}

export interface TokenConfig {
  /** Absent: only what the protocol itself says. */
  readonly input?: TokenSource;
  readonly output?: TokenSource;
  /** Whether a parameter is of its message, or of all so far. */
  readonly counting: 'increments' | 'totals';
  /** What a message is taken to need that does not say. */
  readonly estimatedInput: number;
  readonly estimatedOutput: number;
}

/** A header or trailer of the response, or a parameter of a KServe V2 response. */
export type TokenSource = { readonly metadata: string } | { readonly parameter: string };

export interface ComputeConfig {
  /** What a message is taken to need, and what is paid ahead while a call runs. */
  readonly estimateMs: number;
  /** The first that matches a model counts; none: 1. */
  readonly weights: readonly { readonly models: readonly string[]; readonly weight: number }[];
}

export const DEFAULT_TOKENS: TokenConfig = { counting: 'increments', estimatedInput: 256, estimatedOutput: 256 };
export const DEFAULT_COMPUTE: ComputeConfig = { estimateMs: 1_000, weights: [] };

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
  /** Globs over the methods (`package.Service/Method`) that it is for; absent: all. */
  readonly methods?: readonly string[];
  /** Globs over the models that it is for, and their versions as requests name them; absent: all, and what is about no model. */
  readonly models?: readonly string[];
  readonly versions?: readonly string[];
  /** `fleet`: it holds over all sidecars of the fleet together; absent: over this one. */
  readonly scope?: 'fleet';
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
