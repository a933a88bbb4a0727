/**
 * One cell of a limit that holds over several sidecars, as the main thread looks after it: how much of it is used, how much should be
 * held, what is to be asked of the store, and what its answer means for the workers.
 *
 * All of it is arithmetic on the cell's block; the time is given, and nothing is sent from here (`lease-keeper.ts` does).
 *
 * What is asked for is sized by use: what was used lately in half a second, a small floor where nothing was, and as much as was just
 * refused. What is held beyond that is given back: first the workers' budget is lowered, and only with the next request the store is told,
 * so that nobody can be using what is given back.
 */
import { amountOf, bucketOf, type FleetLimit, type MarkSpan, markSpan, storeKey } from './fleet-limits.ts';
import { shareOf } from './fleet-meter.ts';
import {
  BUDGET,
  FROM,
  type LeaseCells,
  LOCAL_TAKEN,
  NEED,
  REFUSALS,
  RESET_AT,
  SEEN_LOCAL,
  SEEN_SLOTS,
  SLOTS,
  TAKEN,
  UNTIL,
} from './lease-cells.ts';
import type { RateLease, RateRequest, UseReport, WindowLease, WindowRequest } from './lease-store.ts';

/** A sidecar that uses none of a limit holds this part of it at most, divided by the sidecars that hold some. */
export const FLOOR_PARTS = 64;
/** The same of a rate's burst. */
export const RATE_FLOOR_PARTS = 2;
/** Use of so long is held. */
export const HORIZON_SECONDS = 0.5;
/** Use is measured over this. */
const SAMPLE_MICROS = 100_000;
/** What is left of the rate of use after another such time without any. */
const RATE_DECAY = 0.9;
/** A limit with less than this part left is scarce: who does not use it holds nothing. */
const SCARCE_PARTS = 16;
/** Who was told that there is no more asks again after it, when somebody is refused. */
const SCARCE_RETRY_MICROS = 100_000;
/** Who got no answer asks again after it. */
const FAILED_RETRY_MICROS = 200_000;
/** A calendar window may have been left so long ago that no worker's clock is in it any more. */
const SLOT_REST_MICROS = 1_000_000;
/** The estimate of the store's clock moves by less. */
const CLOCK_GRAIN_MICROS = 10_000;
/** The cell of a caller or model that was not used for so long is no longer looked after. */
export const IDLE_MICROS = 60_000_000;

/** What all leases of a process have in common at a moment. */
export interface LeaseTerms {
  /** Who we are in the store. */
  readonly process: string;
  readonly leaseMs: number;
  readonly localShare: number;
  /** The store's clock minus ours, ms. */
  readonly offsetMs: number;
  /** Ours, in microseconds since the Unix epoch, that the cells' times are relative to. */
  readonly epoch: number;
}

/** A question for the store, and what to do with its answer. */
export type Ask =
  | {
      readonly kind: 'window';
      readonly request: WindowRequest;
      readonly slot: number;
      readonly span: MarkSpan;
      readonly taken: number;
      readonly sentAt: number;
    }
  | {
      readonly kind: 'rate';
      readonly request: RateRequest;
      readonly have: number;
      readonly taken: number;
      readonly sentAt: number;
    };

interface MarkUse {
  endMs: number;
  used: number;
  /** The store knows so much of it. */
  acknowledged: number;
}

/** What a slot is leased of; undefined: of nothing. */
type Slot = MarkSpan | undefined;

export class Lease {
  readonly limit: FleetLimit;
  readonly word: number;
  readonly #high: number;
  readonly #low: number;
  readonly #cells: LeaseCells;
  readonly #block: number;
  readonly #uses = new Map<number, MarkUse>();
  readonly #slots: [Slot, Slot] = [undefined, undefined];
  #names = 0;
  /** When the store heard of it last. */
  #heardAt: number;
  #birthMs = 0;
  /** Units per second. */
  #rate = 0;
  #sampledAt: number;
  #sampleUnits = 0;
  #refusals: number;
  /** Refused since the last answer. */
  #lacked = 0;
  #usedAt: number;
  #notBefore = 0;
  #free = Number.POSITIVE_INFINITY;
  #processes = 1;
  /** Taken without asking, of a rate. */
  #debt = 0;
  /** The store has to hear of something that does not show in what is used. */
  #isStale = false;
  isAsking = false;

  constructor(
    cells: LeaseCells,
    limit: FleetLimit,
    word: number,
    key: { high: number; low: number },
    now: number,
    names: number,
  ) {
    this.#cells = cells;
    this.limit = limit;
    this.word = word;
    this.#high = key.high;
    this.#low = key.low;
    this.#block = cells.blockOf(word);
    this.#heardAt = now;
    this.#sampledAt = now;
    this.#usedAt = now;
    this.#names = names;
    this.#refusals = this.#read(REFUSALS);
    this.#lacked = this.#refusals === 0 ? 0 : this.#read(NEED);
  }

  isOf(key: { readonly high: number; readonly low: number }): boolean {
    return key.high === this.#high && key.low === this.#low;
  }

  /** Nothing is held, nothing is unknown to the store, and nobody has used it for long. */
  isDone(now: number): boolean {
    if (this.limit.isWhole || this.isAsking || now - this.#usedAt < IDLE_MICROS) return false;
    return this.#slots.every((_, index) => this.#room(index) <= 0) && this.#dirty().length === 0;
  }

  /** Ends all that is leased, for the workers. */
  end(now: number): void {
    for (const slot of SLOTS) if (this.#read(slot + UNTIL) > now) this.#write(slot + UNTIL, now);
  }

  /** Counts what workers have taken since the last time. `now` as in the cells. */
  sample(now: number, terms: LeaseTerms): void {
    const nowMs = storeMs(now, terms);
    const span = markSpan(this.limit, nowMs);
    const local = this.#read(LOCAL_TAKEN) - this.#read(SEEN_LOCAL);
    const slots = SLOTS.reduce<number>((sum, slot) => sum + this.#read(slot + TAKEN), 0) - this.#read(SEEN_SLOTS);
    this.#write(SEEN_LOCAL, this.#read(LOCAL_TAKEN));
    this.#write(SEEN_SLOTS, this.#read(SEEN_SLOTS) + slots);
    if (this.limit.bound.kind === 'rate') this.#debt += local;
    else {
      // What a call takes as its window ends may be counted in the next: there it is not granted twice either.
      this.#use(span, local + slots);
    }
    if (local + slots > 0) this.#usedAt = now;
    const refusals = this.#read(REFUSALS);
    if (refusals !== this.#refusals) {
      this.#refusals = refusals;
      this.#lacked = Math.max(this.#lacked, this.#read(NEED));
      this.#usedAt = now;
    }
    this.#sampleUnits += local + slots;
    const elapsed = now - this.#sampledAt;
    if (elapsed < SAMPLE_MICROS) return;
    this.#rate = Math.max((Math.max(0, this.#sampleUnits) * 1_000_000) / elapsed, this.#rate * RATE_DECAY);
    if (this.#rate < 0.01) this.#rate = 0;
    this.#sampledAt = now;
    this.#sampleUnits = 0;
  }

  /** What is to be asked now; undefined: nothing. */
  ask(now: number, terms: LeaseTerms, isLast = false): Ask | undefined {
    if (this.isAsking || (now < this.#notBefore && !isLast)) return undefined;
    if (this.limit.bound.kind === 'rate') return isLast ? undefined : this.#askRate(this.limit.bound, now, terms);
    const span = markSpan(this.limit, storeMs(now, terms));
    this.#closeOthers(span, now, terms);
    const present = this.#slotOf(span.mark);
    if (present !== -1 && !isLast && this.#givesBack(present, now)) return undefined;
    if (present === -1 || isLast || this.#isDue(present, span, now, terms))
      return this.#askWindow(present, span, now, terms, isLast);
    if (this.limit.bound.kind !== 'calendar') return undefined;
    // The next window's lease is there before it begins.
    const untilNext = (span.nextMs - storeMs(now, terms)) * 1_000;
    if (untilNext > terms.leaseMs * 500) return undefined;
    const next = markSpan(this.limit, span.nextMs);
    const slot = this.#slotOf(next.mark);
    if (slot !== -1 && this.#read(at(slot) + UNTIL) - now > 0 && this.#lacked === 0) return undefined;
    return this.#askWindow(slot, next, now, terms, false);
  }

  /** The store has answered. `now`: then. */
  answered(ask: Extract<Ask, { kind: 'window' }>, lease: WindowLease, now: number, terms: LeaseTerms): void {
    this.isAsking = false;
    if (lease.isFolded) return this.#rename();
    const { slot, span, request, taken, sentAt } = ask;
    for (const { mark, used } of request.reports) {
      const use = this.#uses.get(mark);
      if (use !== undefined) use.acknowledged = used;
    }
    // It knows nothing of what it was told before.
    if (this.#birthMs !== 0 && lease.birthMs !== this.#birthMs)
      for (const [mark, use] of this.#uses)
        if (!request.reports.some((one) => one.mark === mark)) use.acknowledged = -1;
    this.#birthMs = lease.birthMs;
    this.#heardAt = now;
    this.#free = lease.free;
    this.#cells.setFree(this.#block, lease.free);
    this.#processes = Math.max(1, lease.processes);
    this.#slots[slot] = span;
    const base = at(slot);
    const isLess = lease.held < Math.max(request.least, request.want);
    this.#write(base + BUDGET, taken + lease.held);
    this.#write(base + FROM, this.limit.bound.kind === 'calendar' ? localMicros(span.mark, terms) : 0);
    this.#cells.fence();
    const end = this.limit.bound.kind === 'sliding' ? Number.POSITIVE_INFINITY : localMicros(span.nextMs, terms);
    // The store counts from when it had the request, which is later.
    this.#write(base + UNTIL, Math.min(sentAt + terms.leaseMs * 1_000, end));
    this.#isStale = false;
    this.#write(RESET_AT, isLess && lease.free === 0 ? resetAt(this.limit, span, terms) : 0);
    this.#notBefore = isLess ? now + SCARCE_RETRY_MICROS : 0;
    this.#lacked = 0;
  }

  answeredRate(ask: Extract<Ask, { kind: 'rate' }>, lease: RateLease, now: number, terms: LeaseTerms): void {
    this.isAsking = false;
    this.#debt -= ask.request.debt;
    this.#heardAt = now;
    this.#write(BUDGET, ask.taken + ask.have + lease.tokens);
    this.#cells.fence();
    this.#write(UNTIL, ask.sentAt + terms.leaseMs * 1_000);
    const isLess = lease.tokens < ask.request.want;
    this.#write(RESET_AT, isLess && lease.tokens === 0 ? now + lease.waitMicros : 0);
    this.#notBefore = isLess ? now + Math.min(SCARCE_RETRY_MICROS, Math.max(10_000, lease.waitMicros)) : 0;
    this.#lacked = 0;
  }

  /** The store has not answered. */
  failed(now: number): void {
    this.isAsking = false;
    this.#notBefore = now + FAILED_RETRY_MICROS;
  }

  /** What was told is no longer known by our name: another one from here on, for what was not. */
  #rename(): void {
    this.#names += 1;
    for (const [mark, use] of this.#uses) {
      use.used = Math.max(0, use.used - Math.max(0, use.acknowledged));
      use.acknowledged = 0;
      if (use.used === 0) this.#uses.delete(mark);
    }
  }

  #askWindow(known: number, span: MarkSpan, now: number, terms: LeaseTerms, isLast: boolean): Ask | undefined {
    const slot = known === -1 ? this.#freeSlot(now) : known;
    if (slot === -1) return undefined;
    const use = this.#use(span, 0);
    const taken = this.#read(at(slot) + TAKEN);
    const target = isLast ? 0 : this.#target(now);
    const have = known === -1 || isLast || this.#read(at(slot) + UNTIL) <= now ? 0 : Math.max(0, this.#room(slot));
    const others = this.#slots.flatMap((one, index) => (one === undefined || index === slot ? [] : [one.mark]));
    const reports: UseReport[] = [
      { mark: span.mark, endMs: span.endMs, used: use.used, known: Math.max(0, use.acknowledged) },
    ];
    for (const [mark, { endMs, used, acknowledged }] of this.#dirty())
      if (mark !== span.mark && !others.includes(mark))
        reports.push({ mark, endMs, used, known: Math.max(0, acknowledged) });
    const amount = amountOf(this.limit);
    this.isAsking = true;
    return {
      kind: 'window',
      slot,
      span,
      taken,
      sentAt: now,
      request: {
        key: storeKey(this.limit, this.#high, this.#low),
        process: `${terms.process}.${this.#names}`,
        first: Math.max(0, span.first),
        mark: span.mark,
        limit: amount,
        want: target,
        least: Math.max(have, Math.min(this.#lacked, amount)),
        leaseMs: terms.leaseMs,
        settling: Math.max(shareOf(amount, terms.localShare), Math.ceil(amount / FLOOR_PARTS)),
        birthMs: this.#birthMs,
        reports,
      },
    };
  }

  #askRate(bound: Extract<FleetLimit['bound'], { kind: 'rate' }>, now: number, terms: LeaseTerms): Ask | undefined {
    const until = this.#read(UNTIL);
    const have = until > now ? Math.max(0, this.#room(0)) : 0;
    const target = Math.min(Math.max(this.#target(now), this.#lacked), bound.burst);
    const isDue = until - now < terms.leaseMs * 667 || have < target / 2 || this.#lacked > have || this.#debt > 0;
    if (!isDue) return undefined;
    this.isAsking = true;
    return {
      kind: 'rate',
      have,
      taken: this.#read(TAKEN),
      sentAt: now,
      request: {
        key: storeKey(this.limit, this.#high, this.#low),
        ...bucketOf(bound),
        want: Math.max(0, Math.ceil(target - have)),
        debt: Math.max(0, this.#debt),
      },
    };
  }

  #isDue(slot: number, span: MarkSpan, now: number, terms: LeaseTerms): boolean {
    const held = this.#slots[slot];
    const left = this.#read(at(slot) + UNTIL) - now;
    const end = localMicros(span.nextMs, terms) - now;
    const isOld =
      now - this.#heardAt > terms.leaseMs * 333 || left + CLOCK_GRAIN_MICROS < Math.min(terms.leaseMs * 333, end);
    const room = this.#room(slot);
    const target = this.#target(now);
    return isOld || held?.mark !== span.mark || room < target / 2 || this.#lacked > room || this.#isStale;
  }

  #isTooMuch(room: number, target: number): boolean {
    return room > (target === 0 ? 0 : 2 * target + 1);
  }

  /** Lowers the workers' budget, when it is too much. The store is told the next time: by then nobody can be using it. */
  #givesBack(slot: number, now: number): boolean {
    const target = this.#target(now);
    if (this.#isStale || !this.#isTooMuch(this.#room(slot), target)) return false;
    this.#write(at(slot) + BUDGET, this.#read(at(slot) + TAKEN) + target);
    this.#isStale = true;
    return true;
  }

  #target(now: number): number {
    const amount = amountOf(this.limit);
    const byUse = Math.ceil(this.#rate * HORIZON_SECONDS);
    const isScarce = this.#free < amount / SCARCE_PARTS;
    const isIdle = this.#rate === 0 && (isScarce || (!this.limit.isWhole && now - this.#usedAt > IDLE_MICROS / 2));
    // Tokens that are held come at once, which is what a burst is for.
    const parts = this.limit.bound.kind === 'rate' ? RATE_FLOOR_PARTS : FLOOR_PARTS;
    const floor = isIdle ? 0 : Math.ceil(amount / (parts * this.#processes));
    return Math.min(amount, Math.max(byUse, floor));
  }

  #use({ mark, endMs }: Pick<MarkSpan, 'mark' | 'endMs'>, units: number): MarkUse {
    let use = this.#uses.get(mark);
    if (use === undefined) {
      use = { endMs, used: 0, acknowledged: 0 };
      this.#uses.set(mark, use);
    }
    use.endMs = endMs;
    // What is given back after its window is nobody's.
    use.used = Math.max(0, use.used + units);
    return use;
  }

  #dirty(): readonly (readonly [number, MarkUse])[] {
    return [...this.#uses].filter(([, { used, acknowledged }]) => used !== acknowledged);
  }

  /** Slots and uses of windows that are over. */
  #closeOthers(span: MarkSpan, now: number, terms: LeaseTerms): void {
    const nowMs = storeMs(now, terms);
    for (const [index, slot] of this.#slots.entries()) {
      if (slot === undefined || slot.mark === span.mark) continue;
      if (this.limit.bound.kind === 'sliding') {
        // The same lease goes on, and is of the newest part from now on: of the one before nothing is held.
        this.#use(slot, 0).acknowledged = -1;
        this.#slots[index] = span;
        this.#isStale = true;
        continue;
      }
      if (slot.mark > span.mark && slot.mark - span.nextMs <= 0) continue;
      const until = at(index) + UNTIL;
      if (this.#read(until) > now) this.#write(until, now);
      this.#slots[index] = undefined;
    }
    for (const [mark, { endMs }] of this.#uses) {
      if (mark === span.mark || (endMs === 0 ? mark >= span.first : endMs > nowMs)) continue;
      this.#uses.delete(mark);
    }
  }

  #slotOf(mark: number): number {
    return this.#slots.findIndex((slot) => slot?.mark === mark);
  }

  #freeSlot(now: number): number {
    const rest = this.limit.bound.kind === 'calendar' ? SLOT_REST_MICROS : 0;
    const isFree = (slot: Slot, index: number): boolean =>
      slot === undefined && (this.#read(at(index) + UNTIL) === 0 || this.#read(at(index) + UNTIL) + rest <= now);
    return this.#slots.findIndex(isFree);
  }

  #room(slot: number): number {
    return this.#read(at(slot) + BUDGET) - this.#read(at(slot) + TAKEN);
  }

  #read(word: number): number {
    return this.#cells.words[this.#block + word] ?? 0;
  }

  #write(word: number, value: number): void {
    this.#cells.words[this.#block + word] = value;
  }
}

function at(slot: number): number {
  return SLOTS[slot] ?? SLOTS[0];
}

function storeMs(now: number, { epoch, offsetMs }: LeaseTerms): number {
  return (now + epoch) / 1_000 + offsetMs;
}

/** As the cells have it. */
function localMicros(atMs: number, { epoch, offsetMs }: LeaseTerms): number {
  return (atMs - offsetMs) * 1_000 - epoch;
}

function resetAt({ bound }: FleetLimit, { nextMs }: MarkSpan, terms: LeaseTerms): number {
  return bound.kind === 'total' && nextMs === Number.POSITIVE_INFINITY
    ? Number.POSITIVE_INFINITY
    : localMicros(nextMs, terms);
}
