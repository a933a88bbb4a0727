/**
 * The main thread's care for limits that hold over several sidecars: counts what the workers have taken, leases more before it runs out, and
 * gives back what nobody uses. No call waits for it.
 *
 * Each cell has one question under way at most, and all that are asked in one turn go out together. While the store does not answer, one
 * of them asks for all, now and then; what is leased runs out, and workers go on with their own share. When it answers again, everything
 * that was used meanwhile is told.
 */

import { err, type Result } from '../kernel/result.ts';
import { amountOf, type FleetLimit } from './fleet-limits.ts';
import { Lease, type LeaseTerms } from './lease.ts';
import type { LeaseStore, StoreFailure } from './lease-store.ts';
import type { LimitCells } from './limit-cells.ts';

export interface LeaseKeeperOptions {
  readonly cells: LimitCells;
  /** Of the shared tables, in microseconds since the Unix epoch. */
  readonly epoch: number;
  readonly store: LeaseStore;
  /** Who we are in the store: nobody else is, not even the same sidecar after a restart. */
  readonly process: string;
  readonly leaseMs: number;
  readonly localShare: number;
  readonly limits: ReadonlyMap<string, FleetLimit>;
  /** Microseconds since the Unix epoch. */
  readonly now: () => number;
  readonly events: LeaseEvents;
  /** Cells that are looked after at once. Default: `MAX_LEASES`. */
  readonly maxLeases?: number;
}

/** What an operator wants to know. */
export interface LeaseEvents {
  /** It answers again, or for the first time. */
  storeBack(awayMs: number): void;
  /** It does not. Told once, and again when the reason changes. */
  storeAway(failure: StoreFailure): void;
  /** Each time. */
  storeFailed(why: StoreFailure['why']): void;
  /** Against ours, by so many milliseconds. */
  clockMoved(byMs: number): void;
}

export type StoreState =
  | { readonly at: 'unknown' }
  | { readonly at: 'there' }
  | { readonly at: 'away'; readonly failure: StoreFailure; readonly sinceMicros: number };

/** Between two questions to a store that does not answer. */
const PROBE_EVERY_MICROS = 250_000;
/** Of less nobody needs to know: clocks are corrected. */
const CLOCK_STEP_MS = 1_000;
/** Cells that are looked after at once; the subjects of further ones have the sidecar's own share. */
export const MAX_LEASES = 20_000;
/** Names of one cell's leases that a clock that moves may use up. */
const NAMES_APART = 1_000;
/** The end of the year 9999: beyond it there are calendars that have no windows. */
const MAX_CLOCK_MS = 253_402_300_800_000;

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  #store: LeaseStore;
  #limits: ReadonlyMap<string, FleetLimit>;
  #terms: LeaseTerms;
  readonly #leases = new Map<number, Lease>();
  #news: number;
  #names = 0;
  #state: StoreState = { at: 'unknown' };
  #nextProbe = 0;
  #isProbing = false;
  #hasClock = false;

  /** Throws when the tables were made without blocks for leases. */
  constructor(options: LeaseKeeperOptions) {
    const { leases } = options.cells;
    if (leases === undefined) throw new RangeError('the tables have no room for leases');
    this.#options = options;
    this.#store = options.store;
    this.#limits = options.limits;
    leases.localShare = options.localShare;
    const { process, leaseMs, localShare, epoch } = options;
    this.#terms = { process, leaseMs, localShare, epoch, offsetMs: 0 };
    this.#news = leases.announced;
  }

  get state(): StoreState {
    return this.#state;
  }

  /** Cells that are looked after. */
  get size(): number {
    return this.#leases.size;
  }

  /**
   * Leases of the limits of tenants and organisations, before there is any worker: the first call need not come before its lease. Resolves
   * when the store has answered, or will not.
   */
  async begin(): Promise<void> {
    const { cells, now, epoch } = this.#options;
    const at = now() - epoch;
    for (const limit of this.#limits.values()) {
      if (!limit.isWhole) continue;
      const others = [...this.#limits.values()].filter(({ region }) => region === limit.region).map(({ key }) => key);
      const word = cells.own(limit.region, limit.key, limit.kind, others);
      cells.leases?.announce(word, cells.leases.blockOf(word), limit.key);
      this.#look(word, at);
    }
    this.#news = cells.leases?.announced ?? 0;
    await Promise.all([...this.#leases.values()].map((lease) => this.#ask(lease, at)));
  }

  /** Another configuration. What limits have become others is found by their cells. */
  change(store: LeaseStore, limits: ReadonlyMap<string, FleetLimit>, leaseMs: number, localShare: number): void {
    this.#store = store;
    this.#limits = limits;
    this.#terms = { ...this.#terms, leaseMs, localShare };
    const { leases } = this.#options.cells;
    if (leases === undefined) return;
    leases.localShare = localShare;
    const at = this.#options.now() - this.#options.epoch;
    for (const [word, lease] of this.#leases) {
      const limit = limits.get(lease.limit.name);
      if (limit !== undefined && amountOf(limit) === amountOf(lease.limit)) continue;
      // Who still uses it says so.
      this.#dismiss(word, lease, at);
    }
  }

  /** Every 25 ms or so. */
  tick(): void {
    const { cells, now, epoch } = this.#options;
    const { leases } = cells;
    if (leases === undefined) return;
    const at = now() - epoch;
    for (const word of leases.newsSince(this.#news)) this.#look(word, at);
    this.#news = leases.announced;
    const isAway = this.#state.at === 'away';
    for (const [word, lease] of this.#leases) {
      if (!lease.isOf(cells.keyIn(word))) {
        this.#leases.delete(word);
        continue;
      }
      lease.sample(at, this.#terms);
      if (lease.isDone(at)) this.#dismiss(word, lease, at);
      else if (!isAway) void this.#ask(lease, at);
      else if (at >= this.#nextProbe && !this.#isProbing) this.#probe(lease, at);
    }
  }

  /** Tells what was used to the last call, and gives everything back. When there is no worker any more. */
  async end(timeoutMs: number): Promise<void> {
    const at = this.#options.now() - this.#options.epoch;
    const last: Promise<void>[] = [];
    for (const lease of this.#leases.values()) {
      lease.failed(at);
      lease.end(at);
      lease.sample(at, this.#terms);
      if (this.#state.at === 'there') last.push(this.#ask(lease, at, true));
    }
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([Promise.all(last), limit]);
    clearTimeout(timer);
    this.#store.close();
  }

  #look(word: number, now: number): void {
    const { cells } = this.#options;
    const { leases } = cells;
    if (leases === undefined || this.#leases.has(word)) return;
    const block = leases.blockOf(word);
    const limit = this.#limits.get(leases.limitOf(block));
    if (limit === undefined || this.#leases.size >= (this.#options.maxLeases ?? MAX_LEASES))
      return leases.dismiss(block);
    this.#names += NAMES_APART;
    this.#leases.set(word, new Lease(leases, limit, word, cells.keyIn(word), now, this.#names));
  }

  #dismiss(word: number, lease: Lease, now: number): void {
    const { leases } = this.#options.cells;
    lease.end(now);
    this.#leases.delete(word);
    leases?.dismiss(leases.blockOf(word));
  }

  #probe(lease: Lease, now: number): void {
    this.#isProbing = true;
    this.#nextProbe = now + PROBE_EVERY_MICROS;
    void this.#ask(lease, now).finally(() => {
      this.#isProbing = false;
    });
  }

  async #ask(lease: Lease, now: number, isLast = false): Promise<void> {
    const ask = lease.ask(now, this.#terms, isLast);
    if (ask === undefined) return;
    const store = this.#store;
    if (ask.kind === 'window') {
      const { limit, want, least } = ask.request;
      const most = Math.ceil(Math.max(want, least));
      const answer = believed(await store.window(ask.request), ({ held, free }) => held <= most && free <= limit);
      const at = this.#heard(answer, now);
      if (answer.ok) lease.answered(ask, answer.value, at, this.#terms);
      else lease.failed(at);
    } else {
      const answer = believed(await store.rate(ask.request), ({ tokens }) => tokens <= ask.request.want);
      const at = this.#heard(answer, now);
      if (answer.ok) lease.answeredRate(ask, answer.value, at, this.#terms);
      else lease.failed(at);
    }
  }

  /** Returns when: relative to the epoch, as all times here. */
  #heard(answer: Result<{ readonly nowMs: number }, StoreFailure>, sentAt: number): number {
    const { now, epoch, events } = this.#options;
    const at = now() - epoch;
    if (answer.ok) {
      this.#setClock(answer.value.nowMs, (sentAt + at) / 2);
      if (this.#state.at !== 'there')
        events.storeBack(this.#state.at === 'away' ? (at - this.#state.sinceMicros) / 1_000 : 0);
      this.#state = { at: 'there' };
      return at;
    }
    const failure = answer.error;
    events.storeFailed(failure.why);
    const before = this.#state;
    if (before.at !== 'away' || before.failure.why !== failure.why) events.storeAway(failure);
    this.#state = { at: 'away', failure, sinceMicros: before.at === 'away' ? before.sinceMicros : at };
    this.#nextProbe = at + PROBE_EVERY_MICROS;
    return at;
  }

  #setClock(nowMs: number, at: number): void {
    const offsetMs = nowMs - (at + this.#terms.epoch) / 1_000;
    const byMs = offsetMs - this.#terms.offsetMs;
    const isStep = Math.abs(byMs) > CLOCK_STEP_MS;
    if (isStep && this.#hasClock) {
      this.#options.events.clockMoved(byMs);
    }
    // Small errors are those of the way there and back.
    if (isStep || !this.#hasClock) this.#terms = { ...this.#terms, offsetMs };
    else this.#terms = { ...this.#terms, offsetMs: this.#terms.offsetMs + byMs / 8 };
    this.#hasClock = true;
  }
}

/** An answer that our scripts could have given; any other is none. Nothing that a store says may stop the main thread, or lift a limit. */
function believed<T extends { readonly nowMs: number }>(
  answer: Result<T, StoreFailure>,
  fits: (answer: T) => boolean,
): Result<T, StoreFailure> {
  if (!answer.ok || (answer.value.nowMs < MAX_CLOCK_MS && fits(answer.value))) return answer;
  return err({ why: 'failed', detail: 'an answer that cannot be true' });
}
