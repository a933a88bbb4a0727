/**
 * Where sidecars count together: what the main thread asks of it. The production's one is Redis (`redis-lease-store.ts`).
 *
 * Requests say what is, not what changed: all that this process has used of a window so far, and how much it would like to hold
 * beyond. So one that is lost, or sent twice, or comes after the store has lost its memory, does no harm.
 */
import type { Result } from '../kernel/result.ts';

/** Use of one window, or of one part of a window that slides. */
export interface UseReport {
  /** Which: a later one has a greater mark. */
  readonly mark: number;
  /** Milliseconds since the Unix epoch, by the store's clock, from when on it does not matter; 0: it always does. */
  readonly endMs: number;
  /** All that this process has used of it. */
  readonly used: number;
  /** So much of it was told by this name. */
  readonly known: number;
}

export interface WindowRequest {
  readonly key: string;
  /** Whose use is told. */
  readonly process: string;
  /** The marks that count together: from `first` to `mark`, which is the one that is leased of. */
  readonly first: number;
  readonly mark: number;
  readonly limit: number;
  /** To hold beyond what was used: so much if it may be, and `least` if there is any way. */
  readonly want: number;
  readonly least: number;
  /** For so long; then it is the others'. */
  readonly leaseMs: number;
  /** Uses of this process beyond which nothing is leased while the store does not know yet what the others have used. */
  readonly settling: number;
  /** As the last answer had it; 0: there was none. */
  readonly birthMs: number;
  /** Of `mark` one at least. */
  readonly reports: readonly UseReport[];
}

export interface WindowLease {
  /** What may be used beyond what was reported. */
  readonly held: number;
  /** What would be left for anybody. */
  readonly free: number;
  /** Sidecars that hold something, with this one. */
  readonly processes: number;
  /** When the store began to know of the limit: with another number it has lost its memory. */
  readonly birthMs: number;
  readonly nowMs: number;
  /** What was told by this name is known, but no longer by this name: go on under another, with what is not known. */
  readonly isFolded: boolean;
}

export interface RateRequest {
  readonly key: string;
  readonly intervalMicros: number;
  readonly toleranceMicros: number;
  readonly want: number;
  /** Calls that were made without asking. */
  readonly debt: number;
}

export interface RateLease {
  readonly tokens: number;
  /** Until there is a further one, when fewer than wanted were there. */
  readonly waitMicros: number;
  readonly nowMs: number;
}

/** Why the store did not answer as it should. */
export interface StoreFailure {
  readonly why: 'unreachable' | 'timeout' | 'read_only' | 'refused' | 'full' | 'failed';
  /** For the log: no secret in it. */
  readonly detail: string;
}

export interface LeaseStore {
  /** Tells use of a window and leases more of it. */
  window(request: WindowRequest): Promise<Result<WindowLease, StoreFailure>>;
  /** Takes tokens out of a bucket that refills. */
  rate(request: RateRequest): Promise<Result<RateLease, StoreFailure>>;
  close(): void;
}
