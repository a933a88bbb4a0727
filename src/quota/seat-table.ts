/**
 * Who may run and who goes next: the seats at the model server, in memory that all workers share, under one lock.
 *
 * A call that finds no seat waits, in a queue of its worker's. What all of them need to know of these queues is here: how many of each
 * tenant and class wait where, and since when the first. Whoever frees a seat gives it to the tenant whose turn it is, and of that to
 * the class and the worker, exactly as one queue would: start-time fair queueing (Goyal, Vin, Cheng 1996) between tenants by their weights
 * and between a tenant's classes by theirs, first come first served within a class. A tenant that holds less than its share of the
 * seats goes before all that have theirs, so that calls that run long cannot take what calls that are short wait for.
 *
 * Counts are kept for each worker, so that those of one that dies can be taken out exactly. They change atomically: who gives a seat back,
 * or waits no longer, does so even where the lock is not to be had in time, while others deal. Pure but for the shared memory: the time is
 * an argument, in microseconds since the process's epoch.
 */
import type { QueueScope } from '../kernel/denial.ts';
import { MAX_CLASSES } from '../kernel/priority.ts';
import { acquire, isHeldBy, release } from './tenant-lock.ts';

/** Structured-clonable: a part of the `SharedState`. */
export interface SeatState {
  readonly tenantSlots: number;
  readonly workers: number;
  /** The lock, then 16 words for each worker. */
  readonly head: SharedArrayBuffer;
  /** For each worker and tenant: seats, then waiting and granted calls of each class. */
  readonly counts: SharedArrayBuffer;
  /** For each worker and tenant: since when the first call of each class waits. */
  readonly since: SharedArrayBuffer;
  /** For each tenant: what its turn goes by, and how fast it comes. */
  readonly tenants: SharedArrayBuffer;
  /** Tenants with seats or waiting calls, and where each stands among them. */
  readonly active: SharedArrayBuffer;
  /** One Int32: every worker's index is below it. */
  readonly span: SharedArrayBuffer;
}

/** What holds for all tenants, as the worker that asks knows it. */
export interface SeatTerms {
  /** At the model server at once, of all tenants; Infinity: no limit of its own. */
  readonly seats: number;
  readonly maxQueued: number;
  readonly maxQueuedPerTenant: number;
  /** Of each class. */
  readonly classWeights: readonly number[];
}

/** What holds for one tenant. */
export interface TenantTerms {
  readonly slot: number;
  readonly weight: number;
  /** Its own limit of calls in progress; Infinity: none. */
  readonly seats: number;
}

export type SeatAnswer =
  | { readonly at: 'seat' }
  | { readonly at: 'queue' }
  | { readonly at: 'full'; readonly scope: QueueScope; readonly limit: number; readonly waitMicros: number }
  /** It could not end in its time, by what is measured. */
  | { readonly at: 'late'; readonly scope: QueueScope; readonly waitMicros: number }
  | { readonly at: 'locked' };

const LOCK = 0;
const ACTIVE = 1;
const WORKER_WORDS = 16;
const RUNNING = 0;
const WAITING = 1;
const WAKE = 2;

const COUNT_WORDS = 1 + 2 * MAX_CLASSES;
const TENANT_WORDS = 16;
/** Words of a tenant. */
const WEIGHT = 0;
const SEATS = 1;
const TURN = 2;
const CLASS_TIME = 3;
const CLASS_TURN = 4;
const HOLD = CLASS_TURN + MAX_CLASSES;
const LAST_END = HOLD + 1;
const INTERVAL = HOLD + 2;

/** Ends of calls that are further apart say nothing of how fast seats come free now. */
const FRESH_MICROS = 10_000_000;
/** A new interval counts for so much of the average, and a call moves the typical length by so much of it. */
const PART = 1 / 8;
const HOLD_STEP = 1 / 16;
/** Waits for the lock of 20 ms each: whoever has it longer is dead as well. */
const RELEASE_TRIES = 10;

/** Creates the table, empty. `span`: as in the `SharedState` that it is a part of. */
export function createSeatState(tenantSlots: number, workers: number, span: SharedArrayBuffer): SeatState {
  return {
    tenantSlots,
    workers,
    head: new SharedArrayBuffer((1 + workers) * WORKER_WORDS * 4),
    counts: new SharedArrayBuffer(workers * tenantSlots * COUNT_WORDS * 4),
    since: new SharedArrayBuffer(workers * tenantSlots * MAX_CLASSES * 8),
    // One more, for all tenants together.
    tenants: new SharedArrayBuffer((tenantSlots + 1) * TENANT_WORDS * 8),
    active: new SharedArrayBuffer(tenantSlots * 2 * 4),
    span,
  };
}

export class SeatTable {
  readonly #state: SeatState;
  readonly #worker: number;
  readonly #head: Int32Array;
  readonly #counts: Int32Array;
  readonly #since: Float64Array;
  readonly #tenants: Float64Array;
  readonly #active: Int32Array;
  readonly #span: Int32Array;
  readonly #all: number;

  /** `worker`: the thread's index, or -1 to read and repair only. */
  constructor(state: SeatState, worker: number) {
    this.#state = state;
    this.#worker = worker;
    this.#head = new Int32Array(state.head);
    this.#counts = new Int32Array(state.counts);
    this.#since = new Float64Array(state.since);
    this.#tenants = new Float64Array(state.tenants);
    this.#active = new Int32Array(state.active);
    this.#span = new Int32Array(state.span);
    this.#all = state.tenantSlots * TENANT_WORDS;
  }

  /** Calls of a tenant that wait, on all workers. */
  waiting(slot: number): number {
    let calls = 0;
    for (let worker = 0; worker < this.#workers; worker++)
      for (let index = 0; index < MAX_CLASSES; index++)
        calls += this.#counts[this.#waitingAt(worker, slot, index)] ?? 0;
    return calls;
  }

  /** Seats that a tenant has, on all workers. */
  running(slot: number): number {
    let calls = 0;
    for (let worker = 0; worker < this.#workers; worker++) calls += this.#counts[this.#seatsAt(worker, slot)] ?? 0;
    return calls;
  }

  /** Whether a tenant's calls wait although its own limit has room. */
  waitsForAll(slot: number): boolean {
    return this.running(slot) < (this.#tenants[slot * TENANT_WORDS + SEATS] ?? 0);
  }

  /** Where a worker that has to look for granted seats is told so, for `Atomics.waitAsync`. */
  get wakeWord(): { readonly ints: Int32Array; readonly at: number } {
    return { ints: this.#head, at: this.#wakeAt(this.#worker) };
  }

  /** Forgets what was measured of a tenant. For a slot that nobody uses. */
  clear(slot: number): void {
    this.#tenants.fill(0, slot * TENANT_WORDS, (slot + 1) * TENANT_WORDS);
  }

  /** What holds for a tenant from now on. */
  setTenant({ slot, weight, seats }: TenantTerms): void {
    const at = slot * TENANT_WORDS;
    this.#tenants[at + WEIGHT] = weight;
    this.#tenants[at + SEATS] = seats;
  }

  /**
   * Takes a seat for a call of this worker, or a place in its queue. `leftMicros`: until its deadline; Infinity: it has none. Never
   * takes a seat that others wait for.
   */
  ask(tenant: TenantTerms, classIndex: number, leftMicros: number, terms: SeatTerms, now: number): SeatAnswer {
    if (!this.#lock()) return { at: 'locked' };
    try {
      const { slot } = tenant;
      this.setTenant(tenant);
      const waiting = this.waiting(slot);
      const running = this.running(slot);
      if (waiting === 0 && running < tenant.seats && this.#sum(RUNNING) < terms.seats) {
        this.#enter(slot);
        this.#catchUp(slot, classIndex);
        this.#seat(this.#worker, slot, classIndex, terms);
        return { at: 'seat' };
      }
      return this.#queue(tenant, classIndex, leftMicros, waiting, terms, now);
    } finally {
      release(this.#head, LOCK);
    }
  }

  #queue(
    { slot }: TenantTerms,
    classIndex: number,
    leftMicros: number,
    waiting: number,
    terms: SeatTerms,
    now: number,
  ): SeatAnswer {
    const { scope, waitMicros } = this.#estimate(slot, classIndex, terms, now);
    if (waiting >= terms.maxQueuedPerTenant)
      return { at: 'full', scope: 'tenant', limit: terms.maxQueuedPerTenant, waitMicros };
    // No tenant may have more than is left for the others: whoever comes last finds room, however many have filled it.
    if (waiting >= terms.maxQueued - this.#sum(WAITING))
      return { at: 'full', scope: 'all', limit: terms.maxQueued, waitMicros };
    if (waitMicros > 0 && waitMicros + (this.#tenants[slot * TENANT_WORDS + HOLD] ?? 0) > leftMicros)
      return { at: 'late', scope, waitMicros };
    this.#enter(slot);
    if (this.#waitingOf(slot, classIndex) === 0) this.#catchUp(slot, classIndex);
    const at = this.#waitingAt(this.#worker, slot, classIndex);
    if ((this.#counts[at] ?? 0) === 0) this.#since[this.#sinceAt(this.#worker, slot, classIndex)] = now;
    Atomics.add(this.#counts, at, 1);
    this.#count(this.#worker, WAITING, 1);
    return { at: 'queue' };
  }

  /** A call of this worker gives its seat back, after so long: it goes to whose turn it is. Returns whether `claim` is due. */
  free(slot: number, heldMicros: number, terms: SeatTerms, now: number): boolean {
    // Without the lock as well: a seat must not be lost for it. It is dealt when somebody looks next.
    const locked = this.#lock();
    if (!locked) this.#unseat(this.#worker, slot);
    else {
      this.#measureEnd(slot, heldMicros, terms, now);
      this.#unseat(this.#worker, slot);
      this.#leave(slot);
    }
    return this.#dealAndUnlock(locked, terms, slot);
  }

  /**
   * A call of this worker waits no longer; if a seat was granted for it, and none waits behind it, that goes to the next. `firstSince`: of
   * the one that is the first now. Returns whether `claim` is due.
   */
  quit(slot: number, classIndex: number, firstSince: number | undefined, terms: SeatTerms): boolean {
    const locked = this.#lock();
    const waiting = this.#waitingAt(this.#worker, slot, classIndex);
    if (firstSince !== undefined) this.#since[this.#sinceAt(this.#worker, slot, classIndex)] = firstSince;
    if (!this.#takeWaiting(this.#worker, waiting)) {
      Atomics.sub(this.#counts, waiting + MAX_CLASSES, 1);
      this.#unseat(this.#worker, slot);
    }
    if (locked) this.#leave(slot);
    return this.#dealAndUnlock(locked, terms);
  }

  /** Gives free seats to those whose turn it is: what was not done when something changed. Returns whether `claim` is due. */
  deal(terms: SeatTerms): boolean {
    return this.#dealAndUnlock(this.#lock(), terms);
  }

  /** Wakes other workers for what is theirs. */
  #dealAndUnlock(locked: boolean, terms: SeatTerms, freed?: number): boolean {
    if (!locked) return false;
    let mine = false;
    let woken: Set<number> | undefined;
    while (this.#sum(WAITING) > 0 && this.#sum(RUNNING) < terms.seats) {
      const slot = this.#nextTenant(terms.seats);
      if (slot === -1) break;
      const classIndex = this.#nextClass(slot);
      const worker = this.#oldest(slot, classIndex);
      const waiting = this.#waitingAt(worker, slot, classIndex);
      // It has just left, without the lock.
      if (worker === -1 || !this.#takeWaiting(worker, waiting)) continue;
      Atomics.add(this.#counts, waiting + MAX_CLASSES, 1);
      this.#seat(worker, slot, classIndex, terms);
      if (worker === this.#worker) mine = true;
      else (woken ??= new Set()).add(worker);
    }
    if (freed !== undefined) this.#pause(freed, terms);
    release(this.#head, LOCK);
    for (const worker of woken ?? []) this.#wake(worker);
    return mine;
  }

  /** While seats are free, ends of calls say nothing of how fast they come free. */
  #pause(slot: number, terms: SeatTerms): void {
    const tenant = slot * TENANT_WORDS;
    if (this.#sum(RUNNING) < terms.seats) this.#tenants[this.#all + LAST_END] = 0;
    if (this.running(slot) < (this.#tenants[tenant + SEATS] ?? 0)) this.#tenants[tenant + LAST_END] = 0;
  }

  /** How fast seats come free, and how long calls take: as a median, which few long ones do not move. */
  #measureEnd(slot: number, heldMicros: number, terms: SeatTerms, now: number): void {
    const tenant = slot * TENANT_WORDS;
    if (this.#sum(RUNNING) >= terms.seats) this.#measure(this.#all, now);
    if (this.running(slot) >= (this.#tenants[tenant + SEATS] ?? 0)) this.#measure(tenant, now);
    const hold = this.#tenants[tenant + HOLD] ?? 0;
    const step = heldMicros > hold ? 1 + HOLD_STEP : 1 - HOLD_STEP;
    this.#tenants[tenant + HOLD] = hold === 0 ? heldMicros : hold * step;
  }

  /** Takes a seat that was granted to a call of this worker, if there is one. `firstSince`: of the one behind it. */
  claim(slot: number, classIndex: number, firstSince: number | undefined): boolean {
    const granted = this.#waitingAt(this.#worker, slot, classIndex) + MAX_CLASSES;
    if ((this.#counts[granted] ?? 0) <= 0 || !this.#lock()) return false;
    Atomics.sub(this.#counts, granted, 1);
    if (firstSince !== undefined) this.#since[this.#sinceAt(this.#worker, slot, classIndex)] = firstSince;
    release(this.#head, LOCK);
    return true;
  }

  /** A worker has died: its seats are free and its calls gone. The others see it when they look next. */
  releaseWorker(worker: number): void {
    const { tenantSlots } = this.#state;
    const died = isHeldBy(this.#head, LOCK, worker);
    // In its name: it needs it no more, and who deals meanwhile must not count on what is taken out.
    let locked = died;
    for (let tries = 0; !locked && tries < RELEASE_TRIES; tries++) locked = acquire(this.#head, LOCK, worker);
    this.#counts.fill(0, worker * tenantSlots * COUNT_WORDS, (worker + 1) * tenantSlots * COUNT_WORDS);
    this.#head[this.#workerAt(worker) + RUNNING] = 0;
    this.#head[this.#workerAt(worker) + WAITING] = 0;
    // It may have left the list half changed.
    this.#head[ACTIVE] = 0;
    this.#active.fill(0);
    for (let slot = 0; slot < tenantSlots; slot++) if (this.#isBusy(slot)) this.#enter(slot);
    if (locked) release(this.#head, LOCK);
  }

  /** How long a call that comes now would wait, and for whose limit; 0: nobody knows. */
  #estimate(
    slot: number,
    classIndex: number,
    terms: SeatTerms,
    now: number,
  ): { readonly scope: QueueScope; readonly waitMicros: number } {
    const tenant = slot * TENANT_WORDS;
    let classes = terms.classWeights[classIndex] ?? 1;
    for (let index = 0; index < MAX_CLASSES; index++)
      if (index !== classIndex && this.#waitingOf(slot, index) > 0) classes += terms.classWeights[index] ?? 1;
    const ahead = ((this.#waitingOf(slot, classIndex) + 1) * classes) / (terms.classWeights[classIndex] ?? 1);
    const own = this.running(slot) >= (this.#tenants[tenant + SEATS] ?? 0) ? this.#pace(tenant, now) * ahead : 0;
    if (this.#sum(RUNNING) < terms.seats) return { scope: 'tenant', waitMicros: own };
    const weight = this.#tenants[tenant + WEIGHT] ?? 1;
    let weights = this.#isWaiting(slot) ? 0 : weight;
    for (let at = 0; at < (this.#head[ACTIVE] ?? 0); at++) {
      const other = this.#active[at] ?? 0;
      if (this.#isWaiting(other)) weights += this.#tenants[other * TENANT_WORDS + WEIGHT] ?? 0;
    }
    const all = (this.#pace(this.#all, now) * ahead * weights) / weight;
    return own > all ? { scope: 'tenant', waitMicros: own } : { scope: 'all', waitMicros: all };
  }

  /** Between two ends of calls while all seats were taken; 0: nobody knows, or not any more. */
  #pace(at: number, now: number): number {
    return now - (this.#tenants[at + LAST_END] ?? 0) > FRESH_MICROS ? 0 : (this.#tenants[at + INTERVAL] ?? 0);
  }

  #measure(at: number, now: number): void {
    const last = this.#tenants[at + LAST_END] ?? 0;
    const interval = Math.max(0, now - last);
    this.#tenants[at + LAST_END] = now;
    const known = this.#tenants[at + INTERVAL] ?? 0;
    if (last === 0 || interval > FRESH_MICROS) this.#tenants[at + INTERVAL] = 0;
    else this.#tenants[at + INTERVAL] = known === 0 ? Math.max(1, interval) : known + (interval - known) * PART;
  }

  /** The tenant whose turn it is, of those that may have another seat; -1: none. */
  #nextTenant(seats: number): number {
    let weights = 0;
    const active = this.#head[ACTIVE] ?? 0;
    for (let at = 0; at < active; at++) {
      const slot = this.#active[at] ?? 0;
      if (this.#isBusy(slot)) weights += this.#tenants[slot * TENANT_WORDS + WEIGHT] ?? 0;
    }
    let best = -1;
    let bestTurn = Number.POSITIVE_INFINITY;
    let bestIsOwed = false;
    for (let at = 0; at < active; at++) {
      const slot = this.#active[at] ?? 0;
      const tenant = slot * TENANT_WORDS;
      const running = this.running(slot);
      if (!this.#isWaiting(slot) || running >= (this.#tenants[tenant + SEATS] ?? 0)) continue;
      const owed = running + 1 <= (seats * (this.#tenants[tenant + WEIGHT] ?? 0)) / weights;
      const turn = this.#tenants[tenant + TURN] ?? 0;
      if (owed === bestIsOwed ? turn >= bestTurn : bestIsOwed) continue;
      best = slot;
      bestTurn = turn;
      bestIsOwed = owed;
    }
    return best;
  }

  #nextClass(slot: number): number {
    let best = 0;
    let bestTurn = Number.POSITIVE_INFINITY;
    for (let index = 0; index < MAX_CLASSES; index++) {
      const turn = this.#tenants[slot * TENANT_WORDS + CLASS_TURN + index] ?? 0;
      if (this.#waitingOf(slot, index) === 0 || turn >= bestTurn) continue;
      best = index;
      bestTurn = turn;
    }
    return best;
  }

  /** The worker whose first call of this class has waited longest. */
  #oldest(slot: number, classIndex: number): number {
    let best = -1;
    let bestSince = Number.POSITIVE_INFINITY;
    for (let worker = 0; worker < this.#workers; worker++) {
      if ((this.#counts[this.#waitingAt(worker, slot, classIndex)] ?? 0) <= 0) continue;
      const since = this.#since[this.#sinceAt(worker, slot, classIndex)] ?? 0;
      if (best !== -1 && since >= bestSince) continue;
      best = worker;
      bestSince = since;
    }
    return best;
  }

  /** Who has not waited has saved nothing up: its turn comes no sooner than that of those who are served now. */
  #catchUp(slot: number, classIndex: number): void {
    const tenant = slot * TENANT_WORDS;
    if (!this.#isWaiting(slot)) this.#raise(tenant + TURN, this.#tenants[this.#all + TURN] ?? 0);
    this.#raise(tenant + CLASS_TURN + classIndex, this.#tenants[tenant + CLASS_TIME] ?? 0);
  }

  /** Charges a seat to a tenant and class. */
  #seat(worker: number, slot: number, classIndex: number, terms: SeatTerms): void {
    Atomics.add(this.#counts, this.#seatsAt(worker, slot), 1);
    this.#count(worker, RUNNING, 1);
    const tenant = slot * TENANT_WORDS;
    const turn = this.#tenants[tenant + TURN] ?? 0;
    this.#raise(this.#all + TURN, turn);
    this.#tenants[tenant + TURN] = turn + 1 / (this.#tenants[tenant + WEIGHT] ?? 1);
    const ofClass = tenant + CLASS_TURN + classIndex;
    const classTurn = this.#tenants[ofClass] ?? 0;
    this.#raise(tenant + CLASS_TIME, classTurn);
    this.#tenants[ofClass] = classTurn + 1 / (terms.classWeights[classIndex] ?? 1);
  }

  #raise(at: number, to: number): void {
    if ((this.#tenants[at] ?? 0) < to) this.#tenants[at] = to;
  }

  #unseat(worker: number, slot: number): void {
    Atomics.sub(this.#counts, this.#seatsAt(worker, slot), 1);
    this.#count(worker, RUNNING, -1);
  }

  /** Takes one out of those that wait, if any does. */
  #takeWaiting(worker: number, at: number): boolean {
    for (;;) {
      const calls = Atomics.load(this.#counts, at);
      if (calls <= 0) return false;
      if (Atomics.compareExchange(this.#counts, at, calls, calls - 1) !== calls) continue;
      this.#count(worker, WAITING, -1);
      return true;
    }
  }

  #enter(slot: number): void {
    const position = this.#state.tenantSlots + slot;
    if (this.#active[position] !== 0) return;
    const at = this.#head[ACTIVE] ?? 0;
    this.#active[at] = slot;
    this.#active[position] = at + 1;
    this.#head[ACTIVE] = at + 1;
  }

  #leave(slot: number): void {
    const { tenantSlots } = this.#state;
    const at = (this.#active[tenantSlots + slot] ?? 0) - 1;
    if (at === -1 || this.#isBusy(slot)) return;
    const last = (this.#head[ACTIVE] ?? 0) - 1;
    const moved = this.#active[last] ?? 0;
    this.#active[at] = moved;
    this.#active[tenantSlots + moved] = at + 1;
    this.#active[tenantSlots + slot] = 0;
    this.#head[ACTIVE] = last;
  }

  #isBusy(slot: number): boolean {
    return this.running(slot) > 0 || this.#isWaiting(slot);
  }

  #isWaiting(slot: number): boolean {
    return this.waiting(slot) > 0;
  }

  #waitingOf(slot: number, classIndex: number): number {
    let calls = 0;
    for (let worker = 0; worker < this.#workers; worker++)
      calls += this.#counts[this.#waitingAt(worker, slot, classIndex)] ?? 0;
    return calls;
  }

  get #workers(): number {
    return this.#span[0] ?? 0;
  }

  #sum(what: typeof RUNNING | typeof WAITING): number {
    let sum = 0;
    for (let worker = 0; worker < this.#workers; worker++) sum += this.#head[this.#workerAt(worker) + what] ?? 0;
    return sum;
  }

  #count(worker: number, what: typeof RUNNING | typeof WAITING, change: number): void {
    Atomics.add(this.#head, this.#workerAt(worker) + what, change);
  }

  #wake(worker: number): void {
    Atomics.add(this.#head, this.#wakeAt(worker), 1);
    Atomics.notify(this.#head, this.#wakeAt(worker));
  }

  #wakeAt(worker: number): number {
    return this.#workerAt(worker) + WAKE;
  }

  #workerAt(worker: number): number {
    return (1 + worker) * WORKER_WORDS;
  }

  #seatsAt(worker: number, slot: number): number {
    return (worker * this.#state.tenantSlots + slot) * COUNT_WORDS;
  }

  #waitingAt(worker: number, slot: number, classIndex: number): number {
    return this.#seatsAt(worker, slot) + 1 + classIndex;
  }

  #sinceAt(worker: number, slot: number, classIndex: number): number {
    return (worker * this.#state.tenantSlots + slot) * MAX_CLASSES + classIndex;
  }

  #lock(): boolean {
    return acquire(this.#head, LOCK, this.#worker);
  }
}
