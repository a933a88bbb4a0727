/**
 * What a limit means: when there is room for more, and how what was taken is written down. One meter per kind of bound; all work on a
 * cell of `limit-cells.ts`, with its lock held.
 *
 * Times are microseconds since the process's epoch, as in `gcra.ts`. None of them reads a clock, and none grants more when another
 * thread's clock is a little behind: a window that has begun for one thread has begun for all.
 */
import type { LimitBound } from '../config/quota-config.ts';
import { calendarWindow } from './calendar.ts';
import { callsIn, gcraOf, nextArrival, underNewLimit, waitMicros } from './gcra.ts';
import { CONCURRENCY, type LimitCells, STALE_AFTER, VALUES } from './limit-cells.ts';
import { AHEAD_PARTS, SHORTEST_JOURNALED_MS } from './limit-journal.ts';

/** One limit's way to count. `word`: the first of the cell. */
export interface Meter {
  /** Says which cells are this kind's; never 0. */
  readonly kind: number;
  /** Names what is counted and in which windows, but not how much there may be: under another one, use begins anew. */
  readonly signature: string;
  /** How long until `amount` more fits: 0 or less, it does now; Infinity: no time helps by itself. */
  wait(word: number, amount: number, now: number): number;
  /** How much would fit now, at least 0. */
  left(word: number, now: number): number;
  /** Until more fits again, or for a rate all of it; Infinity: no time helps by itself. */
  renews(word: number, now: number): number;
  /** Writes down what `wait` had room for. */
  take(word: number, amount: number, now: number): void;
  /**
   * What the journal has to say before `take`: undefined when it says enough already, or what is counted is not kept there. After
   * `wait`, which has come to the present window.
   */
  promise(word: number, amount: number): Promised | undefined;
  /** The journal says so. */
  promised(word: number, amount: number): void;
  /** Undoes a `take` of that time, as far as it can be undone without granting it twice. */
  giveBack(word: number, amount: number, takenAt: number): void;
}

/** So much of a window may be used, by the journal. Times and marks as it has them. */
export interface Promised {
  readonly mark: number;
  readonly amount: number;
  readonly staleAfter: number;
}

/** The journal's word in a cell: what it says of the present window, or of the newest part of one that slides. */
const PROMISED = 15;

/** So much ahead is promised as keeps writing rare, and no more than there may be. */
function ahead(used: number, amount: number, limit: number): number {
  return Math.max(used + amount, Math.min(limit, used + amount + Math.ceil(limit / AHEAD_PARTS)));
}

/** What is kept nowhere but in memory. */
abstract class Unjournaled {
  promise(): undefined {
    return undefined;
  }

  promised(): void {
    throw new Error('the journal does not keep this');
  }
}

/**
 * What is told to who is over a limit of calls in progress. When a call will end is unknown; long enough that a client which
 * obeys does not spin, short beside the time that a call to a model takes.
 */
export const CONCURRENCY_RETRY_MICROS = 50_000;

/** A sliding window moves by this part of its length: what is taken counts for the whole of it, and up to this part longer. */
export const SLIDING_PARTS = 10;

/** Makes the meter of a bound. `epoch`: of the process, in microseconds since the Unix epoch. */
export function meterOf(bound: LimitBound, cells: LimitCells, epoch: number, workerIndex: number): Meter {
  switch (bound.kind) {
    case 'rate':
      return new RateMeter(bound, cells);
    case 'concurrency':
      return new ConcurrencyMeter(bound.calls, cells, workerIndex);
    case 'calendar':
      return new CalendarMeter(bound, cells, epoch);
    case 'sliding':
      return new SlidingMeter(bound, cells, epoch);
    case 'total':
      return new TotalMeter(bound, cells, epoch);
  }
}

const CALENDAR = 2;
const SLIDING = 3;
const TOTAL = 4;

const ARRIVAL = VALUES;
const TOLERANCE = VALUES + 1;

class RateMeter extends Unjournaled implements Meter {
  readonly kind = 1;
  readonly signature = 'rate';
  readonly #words: Float64Array;
  readonly #gcra: ReturnType<typeof gcraOf>;

  constructor(bound: Extract<LimitBound, { kind: 'rate' }>, { words }: LimitCells) {
    super();
    this.#words = words;
    this.#gcra = gcraOf(bound);
  }

  wait(word: number, amount: number, now: number): number {
    const words = this.#words;
    if (words[word + TOLERANCE] !== this.#gcra.toleranceMicros) {
      words[word + ARRIVAL] = underNewLimit(this.#gcra, words[word + ARRIVAL] ?? now, now);
      words[word + TOLERANCE] = this.#gcra.toleranceMicros;
    }
    return waitMicros(this.#gcra, this.#next(word, amount, now), now);
  }

  take(word: number, amount: number, now: number): void {
    const next = this.#next(word, amount, now);
    this.#words[word + STALE_AFTER] = next;
    this.#words[word + ARRIVAL] = next;
  }

  left(word: number, now: number): number {
    return callsIn(this.#gcra, this.#words[word + ARRIVAL] ?? now, now);
  }

  renews(word: number, now: number): number {
    return Math.max(0, (this.#words[word + ARRIVAL] ?? now) - now);
  }

  /** Not at all: what is given back after the bucket has refilled would be granted twice. */
  giveBack(): void {}

  #next(word: number, amount: number, now: number): number {
    return nextArrival(this.#gcra, this.#words[word + ARRIVAL] ?? now, now) + (amount - 1) * this.#gcra.intervalMicros;
  }
}

class ConcurrencyMeter extends Unjournaled implements Meter {
  readonly kind = CONCURRENCY;
  readonly signature = 'concurrency';
  readonly #cells: LimitCells;
  readonly #calls: number;
  readonly #worker: number;

  constructor(calls: number, cells: LimitCells, workerIndex: number) {
    super();
    this.#cells = cells;
    this.#calls = calls;
    this.#worker = VALUES * 2 + workerIndex;
  }

  wait(word: number, amount: number): number {
    return this.#cells.callsInProgress(word) + amount > this.#calls ? CONCURRENCY_RETRY_MICROS : 0;
  }

  take(word: number, amount: number, now: number): void {
    this.#cells.words[word + STALE_AFTER] = now;
    this.#count(word, amount);
  }

  left(word: number): number {
    return Math.max(0, this.#calls - this.#cells.callsInProgress(word));
  }

  renews(): number {
    return Number.POSITIVE_INFINITY;
  }

  /** Needs no lock: the count is this worker's own. */
  giveBack(word: number, amount: number): void {
    this.#count(word, -amount);
  }

  #count(word: number, amount: number): void {
    const at = word * 2 + this.#worker;
    this.#cells.ints[at] = (this.#cells.ints[at] ?? 0) + amount;
  }
}

const WINDOW_START = VALUES;
const USED = VALUES + 1;
const WINDOW_END = VALUES + 2;

class CalendarMeter implements Meter {
  readonly kind = CALENDAR;
  readonly signature: string;
  readonly #words: Float64Array;
  readonly #bound: Extract<LimitBound, { kind: 'calendar' }>;
  readonly #epoch: number;
  /** The window of the last call. */
  #start = 0;
  #end = Number.NEGATIVE_INFINITY;

  constructor(bound: Extract<LimitBound, { kind: 'calendar' }>, { words }: LimitCells, epoch: number) {
    this.#words = words;
    this.#bound = bound;
    this.#epoch = epoch;
    this.signature = `${bound.unit} ${bound.zone}`;
  }

  wait(word: number, amount: number, now: number): number {
    this.#roll(word, now);
    const used = this.#words[word + USED] ?? 0;
    if (used + amount <= this.#bound.amount) return 0;
    if (amount > this.#bound.amount) return Number.POSITIVE_INFINITY;
    return Math.max(1, (this.#words[word + WINDOW_END] ?? now) - now);
  }

  left(word: number, now: number): number {
    this.#roll(word, now);
    return Math.max(0, this.#bound.amount - (this.#words[word + USED] ?? 0));
  }

  renews(word: number, now: number): number {
    return Math.max(1, (this.#words[word + WINDOW_END] ?? now) - now);
  }

  take(word: number, amount: number, now: number): void {
    this.#roll(word, now);
    this.#words[word + USED] = (this.#words[word + USED] ?? 0) + amount;
    this.#words[word + STALE_AFTER] = this.#words[word + WINDOW_END] ?? now;
  }

  promise(word: number, amount: number): Promised | undefined {
    const words = this.#words;
    const used = words[word + USED] ?? 0;
    if (used + amount <= (words[word + PROMISED] ?? 0)) return undefined;
    return {
      mark: (words[word + WINDOW_START] ?? 0) + this.#epoch,
      amount: ahead(used, amount, this.#bound.amount),
      staleAfter: (words[word + WINDOW_END] ?? 0) + this.#epoch,
    };
  }

  promised(word: number, amount: number): void {
    this.#words[word + PROMISED] = amount;
  }

  giveBack(word: number, amount: number, takenAt: number): void {
    if ((this.#words[word + WINDOW_START] ?? 0) > takenAt) return;
    this.#words[word + USED] = Math.max(0, (this.#words[word + USED] ?? 0) - amount);
  }

  /** Begins the window that `now` is in, unless the cell has come to it, or further, already. */
  #roll(word: number, now: number): void {
    const words = this.#words;
    if (now >= this.#end || now < this.#start) {
      const { startMs, endMs } = calendarWindow(this.#bound.unit, this.#bound.zone, (now + this.#epoch) / 1_000);
      this.#start = startMs * 1_000 - this.#epoch;
      this.#end = endMs * 1_000 - this.#epoch;
    }
    if ((words[word + WINDOW_START] ?? 0) >= this.#start) return;
    words[word + USED] = 0;
    words[word + PROMISED] = 0;
    words[word + WINDOW_END] = this.#end;
    words[word + WINDOW_START] = this.#start;
  }
}

const NEWEST = VALUES;
const PARTS = VALUES + 1;

/**
 * The window is cut into parts of a tenth of its length, counted from the Unix epoch, and the sum is over eleven: the part that has only
 * begun, and the ten before it. So no stretch of the window's length ever has more than the amount.
 */
class SlidingMeter implements Meter {
  readonly kind = SLIDING;
  readonly signature: string;
  readonly #words: Float64Array;
  readonly #amount: number;
  readonly #epoch: number;
  readonly #partMicros: number;
  readonly #journaled: boolean;

  constructor(bound: Extract<LimitBound, { kind: 'sliding' }>, { words }: LimitCells, epoch: number) {
    this.#words = words;
    this.#amount = bound.amount;
    this.#epoch = epoch;
    this.#partMicros = (bound.lengthMs * 1_000) / SLIDING_PARTS;
    this.#journaled = bound.lengthMs >= SHORTEST_JOURNALED_MS;
    this.signature = `sliding ${bound.lengthMs}`;
  }

  wait(word: number, amount: number, now: number): number {
    const newest = this.#roll(word, now);
    let over = this.#sum(word) + amount - this.#amount;
    if (over <= 0) return 0;
    for (let part = newest - SLIDING_PARTS; part <= newest; part++) {
      over -= this.#words[word + PARTS + (part % (SLIDING_PARTS + 1))] ?? 0;
      if (over <= 0) return Math.max(1, (part + SLIDING_PARTS + 1) * this.#partMicros - this.#epoch - now);
    }
    return Number.POSITIVE_INFINITY;
  }

  take(word: number, amount: number, now: number): void {
    const newest = this.#roll(word, now);
    const at = word + PARTS + (newest % (SLIDING_PARTS + 1));
    this.#words[at] = (this.#words[at] ?? 0) + amount;
    this.#words[word + STALE_AFTER] = (newest + SLIDING_PARTS + 1) * this.#partMicros - this.#epoch;
  }

  left(word: number, now: number): number {
    this.#roll(word, now);
    return Math.max(0, this.#amount - this.#sum(word));
  }

  /** When the oldest part that has something in it is left behind. */
  renews(word: number, now: number): number {
    const newest = this.#roll(word, now);
    for (let part = newest - SLIDING_PARTS; part <= newest; part++)
      if ((this.#words[word + PARTS + (part % (SLIDING_PARTS + 1))] ?? 0) > 0)
        return Math.max(1, (part + SLIDING_PARTS + 1) * this.#partMicros - this.#epoch - now);
    return Number.POSITIVE_INFINITY;
  }

  /** Of each part by itself. */
  promise(word: number, amount: number): Promised | undefined {
    if (!this.#journaled) return undefined;
    const words = this.#words;
    const newest = words[word + NEWEST] ?? 0;
    const used = words[word + PARTS + (newest % (SLIDING_PARTS + 1))] ?? 0;
    if (used + amount <= (words[word + PROMISED] ?? 0)) return undefined;
    return {
      mark: newest,
      amount: ahead(used, amount, this.#amount),
      staleAfter: (newest + SLIDING_PARTS + 1) * this.#partMicros,
    };
  }

  promised(word: number, amount: number): void {
    this.#words[word + PROMISED] = amount;
  }

  giveBack(word: number, amount: number, takenAt: number): void {
    const newest = this.#words[word + NEWEST] ?? 0;
    const part = Math.min(newest, this.#partOf(takenAt));
    if (part < newest - SLIDING_PARTS) return;
    const at = word + PARTS + (part % (SLIDING_PARTS + 1));
    this.#words[at] = Math.max(0, (this.#words[at] ?? 0) - amount);
  }

  #partOf(now: number): number {
    return Math.floor((now + this.#epoch) / this.#partMicros);
  }

  #sum(word: number): number {
    let sum = 0;
    for (let at = word + PARTS; at <= word + PARTS + SLIDING_PARTS; at++) sum += this.#words[at] ?? 0;
    return sum;
  }

  /** Empties what `now` has left behind. Returns the newest part, which is another thread's when that one is further. */
  #roll(word: number, now: number): number {
    const words = this.#words;
    const part = this.#partOf(now);
    const newest = words[word + NEWEST] ?? part;
    if (part <= newest) return newest;
    for (let gone = Math.max(newest + 1, part - SLIDING_PARTS); gone <= part; gone++)
      words[word + PARTS + (gone % (SLIDING_PARTS + 1))] = 0;
    words[word + PROMISED] = 0;
    words[word + NEWEST] = part;
    return part;
  }
}

const SINCE = VALUES;

class TotalMeter implements Meter {
  readonly kind = TOTAL;
  readonly signature = 'total';
  readonly #words: Float64Array;
  readonly #amount: number;
  readonly #since: number;
  readonly #epoch: number;

  constructor(bound: Extract<LimitBound, { kind: 'total' }>, { words }: LimitCells, epoch: number) {
    this.#words = words;
    this.#amount = bound.amount;
    this.#since = bound.sinceSeconds * 1_000_000;
    this.#epoch = epoch;
  }

  wait(word: number, amount: number, now: number): number {
    this.#roll(word, now);
    if ((this.#words[word + USED] ?? 0) + amount <= this.#amount) return 0;
    const begins = this.#since - this.#epoch;
    return begins > now && amount <= this.#amount ? begins - now : Number.POSITIVE_INFINITY;
  }

  left(word: number, now: number): number {
    this.#roll(word, now);
    return Math.max(0, this.#amount - (this.#words[word + USED] ?? 0));
  }

  renews(_word: number, now: number): number {
    const begins = this.#since - this.#epoch;
    return begins > now ? begins - now : Number.POSITIVE_INFINITY;
  }

  take(word: number, amount: number, now: number): void {
    this.#roll(word, now);
    this.#words[word + USED] = (this.#words[word + USED] ?? 0) + amount;
    // It is never as good as new by itself.
    this.#words[word + STALE_AFTER] = Number.POSITIVE_INFINITY;
  }

  promise(word: number, amount: number): Promised | undefined {
    const words = this.#words;
    const used = words[word + USED] ?? 0;
    if (used + amount <= (words[word + PROMISED] ?? 0)) return undefined;
    const mark = words[word + SINCE] ?? 0;
    return { mark, amount: ahead(used, amount, this.#amount), staleAfter: Number.POSITIVE_INFINITY };
  }

  promised(word: number, amount: number): void {
    this.#words[word + PROMISED] = amount;
  }

  giveBack(word: number, amount: number, takenAt: number): void {
    if ((this.#words[word + SINCE] ?? 0) > takenAt + this.#epoch) return;
    this.#words[word + USED] = Math.max(0, (this.#words[word + USED] ?? 0) - amount);
  }

  /** Begins anew at the configured time. */
  #roll(word: number, now: number): void {
    if (this.#since > now + this.#epoch || (this.#words[word + SINCE] ?? 0) >= this.#since) return;
    this.#words[word + USED] = 0;
    this.#words[word + PROMISED] = 0;
    this.#words[word + SINCE] = this.#since;
  }
}

/**
 * What a cell holds for the journal: one entry, or one for each part of a window that slides. `epoch` as for
 * `meterOf`; `exact`: what was used, and not what is promised.
 */
export function journaledIn(
  words: Float64Array,
  word: number,
  kind: number,
  epoch: number,
  exact: boolean,
): readonly Promised[] {
  const promised = exact ? 0 : (words[word + PROMISED] ?? 0);
  const staleAfter = (words[word + STALE_AFTER] ?? 0) + epoch;
  const used = Math.max(promised, words[word + USED] ?? 0);
  switch (kind) {
    case CALENDAR:
      return [{ mark: (words[word + WINDOW_START] ?? 0) + epoch, amount: used, staleAfter }];
    case TOTAL:
      return [{ mark: words[word + SINCE] ?? 0, amount: used, staleAfter }];
    case SLIDING: {
      const newest = words[word + NEWEST] ?? Number.NEGATIVE_INFINITY;
      if (newest === Number.NEGATIVE_INFINITY) return [];
      const parts = Array.from({ length: SLIDING_PARTS + 1 }, (_, back) => newest - back);
      return parts.map((mark, back) => {
        const inPart = words[word + PARTS + (mark % (SLIDING_PARTS + 1))] ?? 0;
        return { mark, amount: back === 0 ? Math.max(promised, inPart) : inPart, staleAfter };
      });
    }
    default:
      return [];
  }
}

/** Puts back into a new cell what the journal says of it: all that may have been used counts as used. */
export function restoreInto(
  words: Float64Array,
  word: number,
  kind: number,
  epoch: number,
  known: readonly Promised[],
): void {
  const newest = known.reduce((one, other) => (other.mark > one.mark ? other : one));
  words[word + STALE_AFTER] = Math.max(...known.map((one) => one.staleAfter)) - epoch;
  words[word + PROMISED] = newest.amount;
  switch (kind) {
    case CALENDAR:
      words[word + USED] = newest.amount;
      words[word + WINDOW_END] = newest.staleAfter - epoch;
      words[word + WINDOW_START] = newest.mark - epoch;
      return;
    case TOTAL:
      words[word + USED] = newest.amount;
      words[word + SINCE] = newest.mark;
      return;
    case SLIDING:
      for (const { mark, amount } of known)
        if (mark >= newest.mark - SLIDING_PARTS) words[word + PARTS + (mark % (SLIDING_PARTS + 1))] = amount;
      words[word + NEWEST] = newest.mark;
      return;
  }
}
