/**
 * Reserves one call of a tenant: its concurrency, its rate and its caller's rate, all or none of them.
 *
 * Every limit is looked at, then taken from, under the tenant's lock, so two threads can neither both take the last token
 * nor leave one bucket charged for what another refused. A lease returns the concurrency; a rate is never given back.
 */
import type { Caller } from '../authn/authenticator.ts';
import type { QuotaConfig, RateConfig, TenantConfig } from '../config/generation.ts';
import type { Denial, Denied } from '../kernel/denial.ts';
import { deny } from '../kernel/denial.ts';
import type { EpochMicros, TenantId } from '../kernel/ids.ts';
import type { Result } from '../kernel/result.ts';
import { ok } from '../kernel/result.ts';
import { CallerBuckets, OVERFLOW } from './caller-buckets.ts';
import type { Gcra } from './gcra.ts';
import { gcraOf, nextArrival, underNewLimit, waitMicros } from './gcra.ts';
import type { SharedTables } from './shared-state.ts';
import {
  CALLER_TOLERANCE,
  IN_PROGRESS,
  LOCK,
  OVERFLOW_ARRIVAL,
  SUPERVISOR,
  TENANT_ARRIVAL,
  TENANT_TOLERANCE,
} from './shared-state.ts';
import { acquire, release } from './tenant-lock.ts';

/**
 * What a caller over the concurrency limit is told to wait. When a call will end is unknown; long enough that a client which
 * obeys does not spin, short beside the time that a call to a model takes.
 */
const CONCURRENCY_RETRY_MS = 50;

/** One worker's view of one tenant's quota under one generation. Cheap to make; the counts live in the shared tables. */
export class QuotaGate {
  readonly #tables: SharedTables;
  readonly #tenant: TenantConfig;
  readonly #perTenant: Limit | undefined;
  readonly #perCaller: Limit | undefined;
  readonly #maxConcurrentCalls: number;
  readonly #callers: CallerBuckets;
  readonly #unlimited: boolean;
  readonly #ints: number;
  readonly #times: number;
  readonly #own: number;

  /** Throws a RangeError when the tenant's slot is outside the tables, or the thread is not a worker. */
  constructor(tables: SharedTables, tenant: TenantConfig) {
    if (tables.workerIndex === SUPERVISOR) throw new RangeError('only a worker can reserve');
    const { perTenant, perCaller, maxConcurrentCalls }: QuotaConfig = tenant.quota;
    this.#tables = tables;
    this.#tenant = tenant;
    this.#perTenant = limitOf(perTenant);
    this.#perCaller = limitOf(perCaller);
    this.#maxConcurrentCalls = maxConcurrentCalls ?? Number.POSITIVE_INFINITY;
    this.#callers = new CallerBuckets(tables, tenant.slot);
    this.#unlimited = perTenant === undefined && perCaller === undefined && maxConcurrentCalls === undefined;
    this.#ints = tables.cellBase(tenant.slot);
    this.#times = tables.timeBase(tenant.slot);
    this.#own = this.#ints + IN_PROGRESS + tables.workerIndex;
  }

  /**
   * Takes one call out of every limit, or says which one refuses and when to come back. With two rates exhausted, the one that
   * takes longer is named. `retryAfterMs` is exact and may be a fraction: round it up when it is sent.
   */
  reserve(caller: Caller, now: EpochMicros): Result<Lease, Denial> {
    if (caller.tenant.slot !== this.#tenant.slot || caller.tenant.id !== this.#tenant.id)
      return wrongTenant(this.#tenant.id);
    const { ints } = this.#tables;
    if (!this.#unlimited) {
      const place = this.#perCaller === undefined ? undefined : this.#callers.placeOf(caller);
      if (!acquire(ints, this.#ints + LOCK, this.#tables.workerIndex)) {
        return deny({ kind: 'overloaded', why: 'tenant lock not available' });
      }
      let refusal: Refusal | undefined;
      try {
        refusal = this.#take(place, now - this.#tables.state.epoch);
      } finally {
        release(ints, this.#ints + LOCK);
      }
      if (refusal !== undefined) return this.#refuse(refusal);
    } else {
      ints[this.#own] = (ints[this.#own] ?? 0) + 1;
    }
    return ok(new LeaseEvidence(ints, this.#own));
  }

  /** Runs with the lock held: looks at all, then takes from all. */
  #take(place: Parameters<CallerBuckets['find']>[0] | undefined, now: number): Refusal | undefined {
    const { ints, times } = this.#tables;
    if (this.#tables.callsInProgress(this.#tenant.slot) >= this.#maxConcurrentCalls) return CONCURRENCY;
    this.#noticeNewLimits(now);

    const callerAt = place === undefined ? 0 : this.#callers.find(place, now);
    const callerTimes = callerAt === OVERFLOW ? times : this.#tables.callerTimes;
    const callerIndex = callerAt === OVERFLOW ? this.#times + OVERFLOW_ARRIVAL : callerAt;
    const tenantNext = next(this.#perTenant, times[this.#times + TENANT_ARRIVAL], now);
    const callerNext = next(this.#perCaller, callerTimes[callerIndex], now);
    const tenantWait = wait(this.#perTenant, tenantNext, now);
    const callerWait = wait(this.#perCaller, callerNext, now);
    if (tenantWait > 0 || callerWait > 0) {
      return tenantWait >= callerWait
        ? { scope: 'tenant', micros: tenantWait }
        : { scope: 'caller', micros: callerWait };
    }

    if (this.#perTenant !== undefined) times[this.#times + TENANT_ARRIVAL] = tenantNext;
    if (this.#perCaller !== undefined) callerTimes[callerIndex] = callerNext;
    ints[this.#own] = (ints[this.#own] ?? 0) + 1;
    return undefined;
  }

  /** Buckets outlive generations, so a limit that has changed is met by what was written under the old one. */
  #noticeNewLimits(now: number): void {
    const { times } = this.#tables;
    const tenant = this.#perTenant?.gcra;
    if (tenant !== undefined && times[this.#times + TENANT_TOLERANCE] !== tenant.toleranceMicros) {
      times[this.#times + TENANT_TOLERANCE] = tenant.toleranceMicros;
      const at = this.#times + TENANT_ARRIVAL;
      times[at] = underNewLimit(tenant, times[at] ?? now, now);
    }
    const caller = this.#perCaller?.gcra;
    if (caller !== undefined && times[this.#times + CALLER_TOLERANCE] !== caller.toleranceMicros) {
      times[this.#times + CALLER_TOLERANCE] = caller.toleranceMicros;
      const at = this.#times + OVERFLOW_ARRIVAL;
      times[at] = underNewLimit(caller, times[at] ?? now, now);
      this.#callers.rescale(caller, now);
    }
  }

  #refuse(refusal: Refusal): Denied {
    if (refusal.scope === 'concurrency') {
      return deny({ kind: 'concurrency_limited', limit: this.#maxConcurrentCalls, retryAfterMs: CONCURRENCY_RETRY_MS });
    }
    const limit = refusal.scope === 'tenant' ? this.#perTenant : this.#perCaller;
    if (limit === undefined)
      return deny({ kind: 'internal', cause: new Error('refused by a limit that does not exist') });
    const facts = { callsPerSecond: limit.rate.callsPerSecond, burst: limit.rate.burst };
    return deny({ kind: 'rate_limited', scope: refusal.scope, limit: facts, retryAfterMs: refusal.micros / 1_000 });
  }
}

/** Evidence that a call was reserved: only `QuotaGate.reserve` makes one. Owes `settle()` on every path. */
class LeaseEvidence {
  readonly #sealed: Int32Array;
  readonly #own: number;
  #settled = false;

  constructor(ints: Int32Array, own: number) {
    this.#sealed = ints;
    this.#own = own;
  }

  /** Returns the concurrency. Later calls do nothing. On the worker that reserved, since the count is that worker's. */
  settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#sealed[this.#own] = (this.#sealed[this.#own] ?? 0) - 1;
  }

  [Symbol.dispose](): void {
    this.settle();
  }
}

export type Lease = LeaseEvidence;

type Refusal = { readonly scope: 'concurrency' } | { readonly scope: 'tenant' | 'caller'; readonly micros: number };

const CONCURRENCY: Refusal = { scope: 'concurrency' };

interface Limit {
  readonly rate: RateConfig;
  readonly gcra: Gcra;
}

function limitOf(rate: RateConfig | undefined): Limit | undefined {
  return rate === undefined ? undefined : { rate, gcra: gcraOf(rate) };
}

function next(limit: Limit | undefined, arrival: number | undefined, now: number): number {
  return limit === undefined ? now : nextArrival(limit.gcra, arrival ?? now, now);
}

function wait(limit: Limit | undefined, arrival: number, now: number): number {
  return limit === undefined ? 0 : waitMicros(limit.gcra, arrival, now);
}

function wrongTenant(tenant: TenantId): Denied {
  return deny({ kind: 'internal', cause: new Error(`a caller of another tenant came to the gate of ${tenant}`) });
}
