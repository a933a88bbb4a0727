/**
 * What a limit means: when there is room for more, and how what was taken is written down. One meter per kind of bound; all work on a
 * cell of `limit-cells.ts`, with its lock held.
 *
 * Times are microseconds since the process's epoch, as in `gcra.ts`. None of them reads a clock, and none grants more when another
 * thread's clock is a little behind: a window that has begun for one thread has begun for all.
 */
import type { LimitBound } from '../config/generation.ts';
import { calendarWindow } from './calendar.ts';
import { gcraOf, nextArrival, underNewLimit, waitMicros } from './gcra.ts';
import { CONCURRENCY, type LimitCells, STALE_AFTER, VALUES } from './limit-cells.ts';

/** One limit's way to count. `word`: the first of the cell. */
export interface Meter {
  /** Says which cells are this kind's; never 0. */
  readonly kind: number;
  /** Names what is counted and in which windows, but not how much there may be: under another one, use begins anew. */
  readonly signature: string;
  /** How long until `amount` more fits: 0 or less, it does now; Infinity: no time helps by itself. */
  wait(word: number, amount: number, now: number): number;
  /** Writes down what `wait` had room for. */
  take(word: number, amount: number, now: number): void;
  /** Undoes a `take` of that time, as far as it can be undone without granting it twice. */
  giveBack(word: number, amount: number, takenAt: number): void;
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

const ARRIVAL = VALUES;
const TOLERANCE = VALUES + 1;

class RateMeter implements Meter {
  readonly kind = 1;
  readonly signature = 'rate';
  readonly #words: Float64Array;
  readonly #gcra: ReturnType<typeof gcraOf>;

  constructor(bound: Extract<LimitBound, { kind: 'rate' }>, { words }: LimitCells) {
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

  /** Not at all: what is given back after the bucket has refilled would be granted twice. */
  giveBack(): void {}

  #next(word: number, amount: number, now: number): number {
    return nextArrival(this.#gcra, this.#words[word + ARRIVAL] ?? now, now) + (amount - 1) * this.#gcra.intervalMicros;
  }
}

class ConcurrencyMeter implements Meter {
  readonly kind = CONCURRENCY;
  readonly signature = 'concurrency';
  readonly #cells: LimitCells;
  readonly #calls: number;
  readonly #worker: number;

  constructor(calls: number, cells: LimitCells, workerIndex: number) {
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
  readonly kind = 2;
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

  take(word: number, amount: number, now: number): void {
    this.#roll(word, now);
    this.#words[word + USED] = (this.#words[word + USED] ?? 0) + amount;
    this.#words[word + STALE_AFTER] = this.#words[word + WINDOW_END] ?? now;
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
  readonly kind = 3;
  readonly signature: string;
  readonly #words: Float64Array;
  readonly #amount: number;
  readonly #epoch: number;
  readonly #partMicros: number;

  constructor(bound: Extract<LimitBound, { kind: 'sliding' }>, { words }: LimitCells, epoch: number) {
    this.#words = words;
    this.#amount = bound.amount;
    this.#epoch = epoch;
    this.#partMicros = (bound.lengthMs * 1_000) / SLIDING_PARTS;
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
    words[word + NEWEST] = part;
    return part;
  }
}

const SINCE = VALUES;

class TotalMeter implements Meter {
  readonly kind = 4;
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

  take(word: number, amount: number, now: number): void {
    this.#roll(word, now);
    this.#words[word + USED] = (this.#words[word + USED] ?? 0) + amount;
    // It is never as good as new by itself.
    this.#words[word + STALE_AFTER] = Number.POSITIVE_INFINITY;
  }

  giveBack(word: number, amount: number, takenAt: number): void {
    if ((this.#words[word + SINCE] ?? 0) > takenAt + this.#epoch) return;
    this.#words[word + USED] = Math.max(0, (this.#words[word + USED] ?? 0) - amount);
  }

  /** Begins anew at the configured time. */
  #roll(word: number, now: number): void {
    if (this.#since > now + this.#epoch || (this.#words[word + SINCE] ?? 0) >= this.#since) return;
    this.#words[word + USED] = 0;
    this.#words[word + SINCE] = this.#since;
  }
}
