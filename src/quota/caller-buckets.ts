/**
 * The buckets of one tenant's callers: an open-addressing table in that tenant's own region of shared memory, keyed by a
 * salted 63-bit hash of the caller's id.
 *
 * The region belongs to the tenant alone: a flood of callers at one tenant cannot evict, crowd or slow a caller of another.
 * Within the tenant, the table starts at 64 places (one page of memory) and doubles up to its region, half full at most. When
 * it is full, places whose bucket is full again are taken over, which loses nothing: a full bucket is what a new caller
 * gets. Callers beyond that share the tenant's one overflow bucket, at the rate of one caller.
 *
 * Every function here runs with the tenant's lock held. A caller's place is cached per caller object and validated by its
 * key at each use, since the table may have been rebuilt by another thread.
 */
import { hash } from 'node:crypto';
import type { Gcra } from './gcra.ts';
import { underNewLimit } from './gcra.ts';
import type { SharedTables } from './shared-state.ts';
import { CALLER_COUNT, CALLER_TABLE_SIZE, LAST_SWEEP } from './shared-state.ts';

/** Who calls: the same object for the same caller as far as possible, so that its place need not be searched. */
export interface CallerKey {
  readonly id: string;
}

/** `find`'s answer when the caller has to share the overflow bucket. */
export const OVERFLOW = -1;

/**
 * How long a bucket must have been full before its place is taken over. Threads read their clocks once per turn, so one
 * thread's "full" may be another's "nearly": the grace is longer than a turn.
 */
const IDLE_GRACE_MICROS = 1_000_000;

/** A full table is searched for idle places at most so often: a flood of new callers must not buy a scan with each call. */
const SWEEP_EVERY_MICROS = 1_000_000;

export class CallerBuckets {
  readonly #keys: Int32Array;
  readonly #times: Float64Array;
  readonly #tables: SharedTables;
  /** First entry of the region. */
  readonly #first: number;
  readonly #capacity: number;
  readonly #ints: number;
  readonly #sweepAt: number;
  readonly #places = new WeakMap<CallerKey, Place>();

  constructor(tables: SharedTables, tenantSlot: number) {
    this.#tables = tables;
    this.#keys = tables.callerKeys;
    this.#times = tables.callerTimes;
    this.#capacity = tables.state.callerSlotsPerTenant;
    this.#first = tenantSlot * this.#capacity;
    this.#ints = tables.cellBase(tenantSlot);
    this.#sweepAt = tables.timeBase(tenantSlot) + LAST_SWEEP;
  }

  /** Computes what the lock need not be held for. Returns what `find` takes. */
  placeOf(caller: CallerKey): Place {
    const known = this.#places.get(caller);
    if (known !== undefined) return known;
    const digest = hash('sha256', `${this.#tables.state.salt}:${caller.id}`, 'buffer');
    // An entry of two zeros is empty, so a key is never that.
    const place: Place = { high: digest.readInt32LE(0), low: digest.readInt32LE(4) | 1, entry: this.#first };
    this.#places.set(caller, place);
    return place;
  }

  /** Index of the caller's arrival time in `tables.callerTimes`, entered if it was not there; or `OVERFLOW`. */
  find(place: Place, now: number): number {
    if (this.#holds(place.entry, place)) return place.entry * 2 + 1;
    let entry = this.#probe(place);
    if (!this.#holds(entry, place)) {
      if (this.#count * 2 >= this.#size) {
        if (!this.#makeRoom(now)) return OVERFLOW;
        entry = this.#probe(place);
      }
      this.#enter(entry, place.high, place.low, Number.NEGATIVE_INFINITY);
    }
    place.entry = entry;
    return entry * 2 + 1;
  }

  /** Brings every caller's bucket under a limit that differs from the one it was written under. */
  rescale(gcra: Gcra, now: number): void {
    for (let entry = this.#first; entry < this.#first + this.#size; entry++) {
      this.#times[entry * 2 + 1] = underNewLimit(gcra, this.#times[entry * 2 + 1] ?? now, now);
    }
  }

  get #size(): number {
    return this.#tables.ints[this.#ints + CALLER_TABLE_SIZE] ?? 0;
  }

  get #count(): number {
    return this.#tables.ints[this.#ints + CALLER_COUNT] ?? 0;
  }

  #holds(entry: number, key: Place): boolean {
    return this.#keys[entry * 4] === key.high && this.#keys[entry * 4 + 1] === key.low;
  }

  /** The entry that holds the key, or the empty one where it belongs. Ends, because the table is at most half full. */
  #probe(key: Place): number {
    const mask = this.#size - 1;
    let at = key.high & mask;
    while (!this.#isEmpty(this.#first + at) && !this.#holds(this.#first + at, key)) at = (at + 1) & mask;
    return this.#first + at;
  }

  #isEmpty(entry: number): boolean {
    return this.#keys[entry * 4 + 1] === 0;
  }

  #enter(entry: number, high: number, low: number, arrival: number): void {
    this.#keys[entry * 4] = high;
    this.#keys[entry * 4 + 1] = low;
    this.#times[entry * 2 + 1] = arrival;
    this.#tables.ints[this.#ints + CALLER_COUNT] = this.#count + 1;
  }

  /** Drops idle callers, doubles the table if they were few. False when there is still no room. */
  #makeRoom(now: number): boolean {
    const canGrow = this.#size < this.#capacity;
    if (!canGrow && now - (this.#tables.times[this.#sweepAt] ?? 0) < SWEEP_EVERY_MICROS) return false;
    this.#tables.times[this.#sweepAt] = now;
    const live = this.#takeLive(now);
    const size = canGrow && live.length * 4 > this.#size ? this.#size * 2 : this.#size;
    this.#tables.ints[this.#ints + CALLER_TABLE_SIZE] = size;
    this.#tables.ints[this.#ints + CALLER_COUNT] = 0;
    for (const { place, arrival } of live) this.#enter(this.#probe(place), place.high, place.low, arrival);
    return this.#count * 2 < size;
  }

  /** Empties the table and returns who was not idle. */
  #takeLive(now: number): { place: Place; arrival: number }[] {
    const live: { place: Place; arrival: number }[] = [];
    const end = this.#first + this.#size;
    for (let entry = this.#first; entry < end; entry++) {
      const arrival = this.#times[entry * 2 + 1] ?? 0;
      if (this.#isEmpty(entry) || arrival <= now - IDLE_GRACE_MICROS) continue;
      live.push({ place: { high: this.#keys[entry * 4] ?? 0, low: this.#keys[entry * 4 + 1] ?? 0, entry }, arrival });
    }
    this.#keys.fill(0, this.#first * 4, end * 4);
    return live;
  }
}

/** A caller's key and where it was last seen. */
export interface Place {
  readonly high: number;
  readonly low: number;
  entry: number;
}
