/**
 * One row of the denial table: what the caller sees of a kind of denial.
 */
import type { Denial } from '../kernel/denial.ts';
import type { ErrorDetail } from './error-details.ts';
import type { GrpcStatus } from './status.ts';

/** One kind's row, with the denial's data already applied. Flat header lists: name, value, name, value, … */
export interface DenialView {
  /** 200 unless the answer must not look like gRPC's success to another HTTP client. */
  readonly httpStatus: 200 | 415;
  /** What the caller gets, or makes of an answer that is not gRPC. */
  readonly status: GrpcStatus;
  /** `ErrorInfo.reason`. */
  readonly reason: string;
  readonly message: string;
  /** `ErrorInfo.metadata`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Beside the ErrorInfo. */
  readonly details: readonly ErrorDetail[];
  /** Response metadata, in whichever header block carries the status. */
  readonly headers: readonly string[];
  /** RateLimit fields: never in a trailer section (draft-ietf-httpapi-ratelimit-headers). */
  readonly rateLimitHeaders: readonly string[];
}

type Kind = Denial['kind'];

export interface Row<D extends Denial> {
  readonly status: GrpcStatus;
  readonly reason: string;
  readonly message: string;
  /** Where the denial's own data decide. */
  statusOf?(denial: D): GrpcStatus;
  more?(denial: D, tenant: string): Partial<Omit<DenialView, 'status' | 'reason' | 'message'>>;
}

/** Total over `Denial`: a kind without a row does not compile, nor does a row without a kind. */
export type DenialTable = { readonly [K in Kind]: Row<Extract<Denial, { kind: K }>> };
