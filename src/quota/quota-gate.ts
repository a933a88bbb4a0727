/**
 * Reserves one call of a tenant: its concurrency, its rate, its caller's rate and all further limits that its headers decide, all or
 * none of them; and charges it for a model when a message has named one.
 *
 * Every limit is looked at, then taken from, under the tenant's lock (and before it the organisation's, when it has limits: always in
 * this order, so that nobody waits in a circle), so two threads can neither both take the last token nor leave one bucket charged
 * for what another refused. A lease returns the concurrency; a rate is never given back.
 */
import type { Caller } from '../authn/authenticator.ts';
import type { Permit } from '../authz/authorizer.ts';
import type { QuotaConfig, RateConfig } from '../config/quota-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import type { LimitState } from '../grpc/rate-limit-fields.ts';
import type { Denial, Denied } from '../kernel/denial.ts';
import { deny } from '../kernel/denial.ts';
import type { EpochMicros, TenantId } from '../kernel/ids.ts';
import type { Result } from '../kernel/result.ts';
import { ok } from '../kernel/result.ts';
import { Announcer } from './announcer.ts';
import { ByteToll } from './byte-toll.ts';
import { CallerBuckets, type CallerKey, OVERFLOW, type Place } from './caller-buckets.ts';
import type { Gcra } from './gcra.ts';
import { callsIn, gcraOf, nextArrival, underNewLimit, waitMicros } from './gcra.ts';
import { type Demand, type Holding, isAhead, isNamed, type Target } from './holding.ts';
import type { Exhausted, MeteredUnit, Unwritten } from './limit.ts';
import { LimitSet } from './limit-set.ts';
import { CONCURRENCY_RETRY_MICROS } from './meter.ts';
import type { MethodLimits } from './method-limits.ts';
import { refusalOf } from './refusal.ts';
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

/** One worker's view of one tenant's quota under one generation. Cheap to make; the counts live in the shared tables. */
export class QuotaGate {
  readonly #tables: SharedTables;
  readonly #tenant: TenantConfig;
  readonly #perTenant: Limit | undefined;
  readonly #perCaller: Limit | undefined;
  readonly #maxConcurrentCalls: number;
  readonly #callers: CallerBuckets;
  /** undefined: there are none beyond those three. */
  readonly #limits: LimitSet | undefined;
  /** undefined: nothing is told but to who is refused. */
  readonly #announcer: Announcer | undefined;
  readonly #organisationLock: { readonly ints: Int32Array; readonly at: number } | undefined;
  readonly #unlimited: boolean;
  /** What could not be given back for want of the lock. */
  readonly #owed: ((limits: LimitSet) => void)[] = [];
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
    this.#limits = LimitSet.of(tables, tenant);
    this.#announcer = Announcer.of(tables.state.salt, tenant);
    const region = this.#limits?.organisationRegion;
    this.#organisationLock = region === undefined ? undefined : tables.limits.lockOf(region);
    this.#unlimited =
      perTenant === undefined &&
      perCaller === undefined &&
      maxConcurrentCalls === undefined &&
      this.#limits === undefined;
    this.#ints = tables.cellBase(tenant.slot);
    this.#times = tables.timeBase(tenant.slot);
    this.#own = this.#ints + IN_PROGRESS + tables.workerIndex;
  }

  /**
   * Takes one call out of every limit, or says which one refuses and when to come back. With two rates exhausted, the one that
   * takes longer is named. `retryAfterMs` is exact and may be a fraction: round it up when it is sent. `method`: as
   * `package.Service/Method`, for limits that are about some methods only.
   */
  reserve(caller: Caller, now: EpochMicros, method = ''): Result<Lease, Denial> {
    if (caller.tenant.slot !== this.#tenant.slot || caller.tenant.id !== this.#tenant.id)
      return wrongTenant(this.#tenant.id);
    const { ints } = this.#tables;
    if (this.#unlimited) {
      ints[this.#own] = (ints[this.#own] ?? 0) + 1;
      return ok(new LeaseEvidence(ints, this.#own, undefined, undefined));
    }
    const limits = this.#limits?.of(method);
    const place = this.#perCaller === undefined ? undefined : this.#callers.placeOf(caller);
    if (!this.#lock()) return LOCK_TIMED_OUT;
    let refusal: Refusal | undefined;
    let holding: Holding | undefined;
    try {
      const since = now - this.#tables.state.epoch;
      refusal = this.#take(place, caller, limits, since);
      if (refusal === undefined && limits !== undefined) holding = this.#limits?.take(limits, caller, since);
    } finally {
      this.#unlock();
    }
    return refusal === undefined
      ? ok(new LeaseEvidence(ints, this.#own, holding, this))
      : this.#refuse(refusal, caller);
  }

  /** Whether clients are told of their limits when they are not refused. */
  get announces(): boolean {
    return this.#announcer !== undefined && !this.#unlimited;
  }

  /** What a call's client is told of its limits and what is left of them: names and values in turn. Empty without the lock in time. */
  announce(lease: Lease, caller: Caller, now: EpochMicros): readonly string[] {
    const announcer = this.#announcer;
    if (announcer === undefined || !this.#lock()) return NO_FIELDS;
    const states: LimitState[] = [];
    try {
      const since = now - this.#tables.state.epoch;
      this.#tell(announcer, caller, since, states);
      const holding = LeaseEvidence.holdingOf(lease);
      if (holding !== undefined)
        this.#limits?.tell(holding, since, (config, model, remaining, micros) => {
          states.push({ limit: announcer.limit(config, caller, model), remaining, resetMs: millis(micros) });
        });
    } finally {
      this.#unlock();
    }
    return announcer.fields(states);
  }

  /** The tenant's calls in progress and the two rates. */
  #tell(announcer: Announcer, caller: Caller, now: number, states: LimitState[]): void {
    if (this.#maxConcurrentCalls !== Number.POSITIVE_INFINITY) {
      const remaining = Math.max(0, this.#maxConcurrentCalls - this.#tables.callsInProgress(this.#tenant.slot));
      states.push({ limit: announcer.concurrency(), remaining, resetMs: undefined });
    }
    const { times } = this.#tables;
    const tenant = this.#perTenant;
    if (tenant !== undefined) {
      const arrival = times[this.#times + TENANT_ARRIVAL] ?? now;
      states.push(stateOf(announcer.rate('tenant', caller, tenant.rate), tenant.gcra, arrival, now));
    }
    const each = this.#perCaller;
    if (each === undefined) return;
    const found = this.#callers.find(this.#callers.placeOf(caller), now);
    const arrival = found === OVERFLOW ? times[this.#times + OVERFLOW_ARRIVAL] : this.#tables.callerTimes[found];
    states.push(stateOf(announcer.rate('caller', caller, each.rate), each.gcra, arrival ?? now, now));
  }

  /**
   * Charges a call for a message that was permitted, before its last byte goes on: once for each model that it names, and for what it
   * costs. When there is no room, windows and totals that the call's headers took are given back if nothing was charged before: it is
   * refused as a whole. A message that was not permitted is handed back as it came. A call is counted by the limits that it began with.
   */
  charge(
    lease: Lease,
    permitted: Result<Permit, Denial>,
    now: EpochMicros,
    cost: MessageCost = NOTHING_ELSE,
  ): Result<ChargedPermit, Denial> {
    // The same object, which says that it was charged from here on: where there is nothing to charge, nothing is made.
    const charged = permitted as Result<ChargedPermit, Denial>;
    const holding = LeaseEvidence.holdingOf(lease);
    const gate = LeaseEvidence.gateOf(lease);
    if (holding === undefined || gate === undefined || !permitted.ok) return charged;
    const { method, model, version } = permitted.value;
    const readsModel = method.readsModel && holding.limits.byModel.length > 0;
    const targets = readsModel ? [{ model, version }, ...cost.further] : NO_TARGETS;
    if (cost.demands.length === 0 && targets.every((target) => isNamed(holding, target))) {
      holding.begun = true;
      return charged;
    }
    const denial = gate.#pay(holding, now, (limits, since) => {
      const lack = limits.charge(holding, targets, cost.demands, since);
      if (lack !== undefined && !holding.begun) limits.refund(holding);
      return lack;
    });
    return denial === undefined ? charged : { ok: false, error: denial };
  }

  /** Takes what a call that runs needs, or says why not: then nothing was taken. */
  pay(lease: Lease, demands: readonly Demand[], now: EpochMicros): Denial | undefined {
    const holding = LeaseEvidence.holdingOf(lease);
    const gate = LeaseEvidence.gateOf(lease);
    if (holding === undefined || gate === undefined) return undefined;
    return gate.#pay(holding, now, (limits, since) => limits.pay(holding, demands, since));
  }

  /** Writes down what was used and cannot be undone, whether there is room for it or not. */
  overdraw(lease: Lease, demands: readonly Demand[], now: EpochMicros): void {
    const holding = LeaseEvidence.holdingOf(lease);
    const since = now - this.#tables.state.epoch;
    if (holding !== undefined)
      LeaseEvidence.gateOf(lease)?.owe((limits) => {
        limits.overdraw(holding, demands, since);
      });
  }

  /** Gives back what a call took of windows and totals, but for bytes: by policy, since the model server failed it. After `settle`. */
  refund(lease: Lease): void {
    const holding = LeaseEvidence.holdingOf(lease);
    if (holding !== undefined)
      LeaseEvidence.gateOf(lease)?.owe((limits) => {
        limits.refundAll(holding);
      });
  }

  /** Has something done with the lock, now or when it is to be had. For leases of this gate. */
  owe(settle: (limits: LimitSet) => void): void {
    this.#giveBack(settle);
  }

  /** Gives back what a call has reserved and not used. By its lease, once. */
  settle(holding: Holding): void {
    if (isAhead(holding)) this.#giveBack((limits) => limits.settle(holding));
  }

  /** What limits count of the call beside itself; undefined: nothing. */
  units(lease: Lease): ReadonlySet<MeteredUnit> | undefined {
    return LeaseEvidence.holdingOf(lease)?.limits.units;
  }

  /** Where a call's messages pay for their bytes before their model is known; undefined: nothing counts them. */
  toll(lease: Lease, unit: 'requestBytes' | 'responseBytes'): ByteToll | undefined {
    const holding = LeaseEvidence.holdingOf(lease);
    const gate = LeaseEvidence.gateOf(lease);
    if (holding === undefined || gate === undefined || holding.limits.units?.has(unit) !== true) return undefined;
    // A request's model is known when its message is whole: limits that depend on it are charged then. A response's is known.
    const known = unit === 'requestBytes' ? 'headers only' : undefined;
    if (known !== undefined && !holding.accounts.some(({ limit }) => limit.unit === unit)) return undefined;
    const { epoch } = this.#tables.state;
    return new ByteToll({
      take: (bytes, now) =>
        gate.#pay(holding, now, (limits, since) =>
          limits.pay(holding, [{ unit, use: bytes, reserve: 0 }], since, known),
        ),
      giveBack: (bytes, takenAt) => {
        gate.#giveBack((limits) => limits.giveBack(holding, unit, bytes, takenAt - epoch, known));
      },
    });
  }

  #pay(
    { caller, models }: Holding,
    now: EpochMicros,
    take: (limits: LimitSet, since: number) => readonly Exhausted[] | Unwritten | undefined,
    model = models.at(-1)?.model,
  ): Denial | undefined {
    const limits = this.#limits;
    if (limits === undefined) return undefined;
    if (!this.#lock()) return LOCK_TIMED_OUT.error;
    try {
      const lack = take(limits, now - this.#tables.state.epoch);
      return lack === undefined ? undefined : this.#told(refusalOf(lack), caller, model);
    } finally {
      this.#settleOwed(limits);
      this.#unlock();
    }
  }

  /** Without the lock in time it stays taken until the next that has it: rather too little is granted than too much. */
  #giveBack(giveBack: (limits: LimitSet) => void): void {
    const limits = this.#limits;
    if (limits === undefined) return;
    if (!this.#lock()) {
      this.#owed.push(giveBack);
      return;
    }
    try {
      giveBack(limits);
      this.#settleOwed(limits);
    } finally {
      this.#unlock();
    }
  }

  #settleOwed(limits: LimitSet): void {
    if (this.#owed.length === 0) return;
    for (const giveBack of this.#owed) giveBack(limits);
    this.#owed.length = 0;
  }

  #lock(): boolean {
    const { ints, workerIndex } = this.#tables;
    const above = this.#organisationLock;
    if (above !== undefined && !acquire(above.ints, above.at, workerIndex)) return false;
    if (acquire(ints, this.#ints + LOCK, workerIndex)) return true;
    if (above !== undefined) release(above.ints, above.at);
    return false;
  }

  #unlock(): void {
    release(this.#tables.ints, this.#ints + LOCK);
    if (this.#organisationLock !== undefined) release(this.#organisationLock.ints, this.#organisationLock.at);
  }

  /** Runs with the locks held: looks at all, then takes from all but the further limits, which have room when it returns nothing. */
  #take(place: Place | undefined, caller: Caller, limits: MethodLimits | undefined, now: number): Refusal | undefined {
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

    if (limits !== undefined) {
      const lack = this.#limits?.look(limits, caller, now) ?? this.#limits?.promise();
      if (lack !== undefined) return { scope: 'limits', lack };
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

  #refuse(refusal: Refusal, caller: CallerKey): Denied {
    return deny(this.#told(this.#denialOf(refusal), caller));
  }

  #told(denial: Denial, caller: CallerKey, model?: string): Denial {
    return this.#announcer === undefined ? denial : this.#announcer.refusal(denial, caller, model);
  }

  #denialOf(refusal: Refusal): Denial {
    if (refusal.scope === 'limits') return refusalOf(refusal.lack);
    if (refusal.scope === 'concurrency') {
      return {
        kind: 'concurrency_limited',
        limit: this.#maxConcurrentCalls,
        retryAfterMs: CONCURRENCY_RETRY_MICROS / 1_000,
      };
    }
    const limit = refusal.scope === 'tenant' ? this.#perTenant : this.#perCaller;
    if (limit === undefined) return { kind: 'internal', cause: new Error('refused by a limit that does not exist') };
    const facts = { callsPerSecond: limit.rate.callsPerSecond, burst: limit.rate.burst };
    return { kind: 'rate_limited', scope: refusal.scope, limit: facts, retryAfterMs: refusal.micros / 1_000 };
  }
}

/** Evidence that a call was reserved: only `QuotaGate.reserve` makes one. Owes `settle()` on every path. */
class LeaseEvidence {
  readonly #sealed: Int32Array;
  readonly #own: number;
  readonly #holding: Holding | undefined;
  readonly #gate: QuotaGate | undefined;
  #settled = false;

  /** `gate`: that has reserved, when there is a holding. */
  constructor(ints: Int32Array, own: number, holding: Holding | undefined, gate: QuotaGate | undefined) {
    this.#sealed = ints;
    this.#own = own;
    this.#holding = holding;
    this.#gate = gate;
  }

  static gateOf(lease: LeaseEvidence): QuotaGate | undefined {
    return lease.#gate;
  }

  static holdingOf(lease: LeaseEvidence): Holding | undefined {
    return lease.#holding;
  }

  /** Returns the concurrency. Later calls do nothing. On the worker that reserved, since the count is that worker's. */
  settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#sealed[this.#own] = (this.#sealed[this.#own] ?? 0) - 1;
    if (this.#holding === undefined) return;
    for (const [meter, word] of this.#holding.counts) meter.giveBack(word, 1, 0);
    this.#gate?.settle(this.#holding);
  }

  [Symbol.dispose](): void {
    this.settle();
  }
}

export type Lease = LeaseEvidence;

declare const charged: unique symbol;
/** Evidence that the call was charged for the model of its permit: only `QuotaGate.charge` makes one, of the permit itself. */
export type ChargedPermit = Permit & { readonly [charged]: true };

/** What a message costs beside its first model, which its permit says. */
export interface MessageCost {
  readonly further: readonly Target[];
  readonly demands: readonly Demand[];
}

const NOTHING_ELSE: MessageCost = { further: [], demands: [] };
const NO_TARGETS: readonly Target[] = [];
const NO_FIELDS: readonly string[] = [];
const LOCK_TIMED_OUT = deny({ kind: 'overloaded', why: 'tenant lock not available' });

type Refusal =
  | { readonly scope: 'limits'; readonly lack: readonly Exhausted[] | Unwritten }
  | { readonly scope: 'concurrency' }
  | { readonly scope: 'tenant' | 'caller'; readonly micros: number };

const CONCURRENCY: Refusal = { scope: 'concurrency' };

interface Limit {
  readonly rate: RateConfig;
  readonly gcra: Gcra;
}

function limitOf(rate: RateConfig | undefined): Limit | undefined {
  return rate === undefined ? undefined : { rate, gcra: gcraOf(rate) };
}

function stateOf(limit: LimitState['limit'], gcra: Gcra, arrival: number, now: number): LimitState {
  return { limit, remaining: callsIn(gcra, arrival, now), resetMs: Math.max(0, arrival - now) / 1_000 };
}

function millis(micros: number): number | undefined {
  return micros === Number.POSITIVE_INFINITY ? undefined : micros / 1_000;
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
