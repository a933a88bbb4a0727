/**
 * Where the use of limits is kept: cells in shared memory, in one region for each tenant and each organisation.
 *
 * A cell belongs to a limit and a subject (a caller, a model; nobody, for what its tenant or organisation has to itself) and is found by a
 * salted 63-bit hash of both. A region has two parts. The first cells are for the limits themselves: one each, always to be had.
 * The rest is for subjects, in sets of eight: a subject whose set is full of cells in use shares the limit's own cell with all
 * others that found no place, at the measure of one. So neither a flood of callers nor of model names can make a limit forget, and
 * it crowds nobody outside of its tenant.
 *
 * Everything here runs with the region's lock held: a tenant's is the tenant's lock, an organisation's is in its region. Where both are
 * needed the organisation's is taken first. Nothing moves once it has its place, and a cell's key is written last: what a thread that dies
 * leaves behind is at worst a charge for a call that was not granted.
 */
import { hash } from 'node:crypto';
import { createLeaseState, LeaseCells, type LeaseState } from './lease-cells.ts';
import type { JournalEntry, LimitJournal } from './limit-journal.ts';
import { isHeldBy, release } from './tenant-lock.ts';

/** Structured-clonable: a part of the `SharedState`. */
export interface LimitState {
  /** Tenants' regions come first, then organisations'. */
  readonly tenantSlots: number;
  readonly organisationSlots: number;
  /** Power of two: sets for subjects in each region. */
  readonly setsPerRegion: number;
  readonly wordsPerCell: number;
  /** One block of 128 bytes for each region: an organisation's lock, and whether the region was ever used. */
  readonly regions: SharedArrayBuffer;
  readonly cells: SharedArrayBuffer;
  /** One Int32: which of the journal's files are written to. */
  readonly journalEpoch: SharedArrayBuffer;
  /** For limits that hold over several sidecars; absent: there are none. */
  readonly leases?: LeaseState;
}

/** Cells for the limits themselves: as many as there may be, and as many again for those that the configuration had before. */
export const OWN_CELLS = 32;
/** Subjects that fit into one set. */
export const SET_WAYS = 8;

const MIN_SETS = 8;
const MAX_SETS = 512;
/** 16 words: a key, what kind it is, when it is as good as new, and what its kind keeps. */
const MIN_WORDS = 16;

const REGION_INTS = 32;
const REGION_LOCK = 0;
const REGION_USED = 1;

/** Words of a cell. In the first is the key; in the second, as Int32s, its kind and the hash that picks the set. */
export const STALE_AFTER = 2;
/** The first word that the cell's kind has to itself: a time long ago in a new cell. Counts of concurrency are Int32 from there on, one for each worker. */
export const VALUES = 3;

/** `kind` of a cell that counts calls in progress: while there are any, it is never as good as new. */
export const CONCURRENCY = 5;

/**
 * A cell must have been as good as new for so long before another subject gets it: threads read their clocks once per turn, so one
 * thread's past may be another's present.
 */
const IDLE_GRACE_MICROS = 1_000_000;

/** Creates the cells, all empty. `cells`: for all regions together, at most; each gets an equal share. */
export function createLimitState(options: {
  readonly tenantSlots: number;
  readonly organisationSlots: number;
  readonly workers: number;
  readonly cells: number;
  readonly fleet?: FleetTerms;
}): LimitState {
  const { tenantSlots, organisationSlots, workers, cells, fleet } = options;
  const regions = tenantSlots + organisationSlots;
  const share = 2 ** Math.floor(Math.log2(Math.max(1, (cells / regions - OWN_CELLS) / SET_WAYS)));
  const setsPerRegion = Math.min(MAX_SETS, Math.max(MIN_SETS, share));
  const places = regions * (OWN_CELLS + setsPerRegion * SET_WAYS);
  const wordsPerCell = Math.max(MIN_WORDS, Math.ceil((VALUES + workers / 2) / 16) * 16);
  return {
    tenantSlots,
    organisationSlots,
    setsPerRegion,
    wordsPerCell,
    regions: new SharedArrayBuffer(regions * REGION_INTS * 4),
    journalEpoch: new SharedArrayBuffer(4),
    cells: new SharedArrayBuffer(places * wordsPerCell * 8),
    ...(fleet === undefined ? {} : { leases: createLeaseState(places, fleet.salt, fleet.localShare) }),
  };
}

/** What limits that hold over several sidecars need from the start. */
export interface FleetTerms {
  /** The same in all of them. */
  readonly salt: string;
  /** The part of a limit that this one may use while it has no lease. */
  readonly localShare: number;
}

/** What a cell is found by, and where it was last seen. */
export interface CellKey {
  readonly high: number;
  readonly low: number;
  readonly set: number;
  /** First word of the cell. */
  word: number;
}

export class LimitCells {
  readonly state: LimitState;
  /** Where use is written ahead; undefined: it is kept in memory alone. */
  journal: LimitJournal | undefined;
  readonly words: Float64Array;
  /** The same memory: word `n` is `ints[2n]` and `ints[2n + 1]`. */
  readonly ints: Int32Array;
  /** Undefined: no limit holds over several sidecars. */
  readonly leases: LeaseCells | undefined;
  readonly #regions: Int32Array;
  readonly #cellsPerRegion: number;

  constructor(state: LimitState) {
    this.state = state;
    this.words = new Float64Array(state.cells);
    this.ints = new Int32Array(state.cells);
    this.leases = state.leases === undefined ? undefined : new LeaseCells(state.leases, state.wordsPerCell);
    this.#regions = new Int32Array(state.regions);
    this.#cellsPerRegion = OWN_CELLS + state.setsPerRegion * SET_WAYS;
  }

  /** A tenant's region. */
  tenantRegion(slot: number): number {
    return slot;
  }

  /** An organisation's region. Throws a RangeError when the slot is outside the tables. */
  organisationRegion(slot: number): number {
    const { tenantSlots, organisationSlots } = this.state;
    if (!Number.isInteger(slot) || slot < 0 || slot >= organisationSlots)
      throw new RangeError(`organisation slot ${slot} is not within 0..${organisationSlots - 1}`);
    return tenantSlots + slot;
  }

  /** Where an organisation's lock is, for `acquire` and `release`. */
  lockOf(region: number): { readonly ints: Int32Array; readonly at: number } {
    return { ints: this.#regions, at: region * REGION_INTS + REGION_LOCK };
  }

  /** The key of a limit's cell for a subject; the lock need not be held. */
  keyOf(salt: string, limit: string, subject: string): CellKey {
    const digest = hash('sha256', `${salt}:${limit}:${subject}`, 'buffer');
    // A first word of zeros is an empty cell, so a key is never that.
    return { high: digest.readInt32LE(0), low: digest.readInt32LE(4) | 1, set: digest.readUInt32LE(8), word: 0 };
  }

  /** Whose region it is, for the journal. */
  ownerOf(salt: string, owner: string): Pick<JournalEntry, 'ownerHigh' | 'ownerLow'> {
    const digest = hash('sha256', `${salt}:owner:${owner}`, 'buffer');
    return { ownerHigh: digest.readInt32LE(0), ownerLow: digest.readInt32LE(4) };
  }

  /** The first word of a limit's own cell. `others`: the keys of all limits of the region that are to keep theirs. */
  own(region: number, key: CellKey, kind: number, others: readonly CellKey[]): number {
    if (this.#holds(key.word, key)) return key.word;
    const first = this.#firstWord(region);
    const { wordsPerCell } = this.state;
    let free = -1;
    for (let cell = 0; cell < OWN_CELLS; cell++) {
      const word = first + cell * wordsPerCell;
      if (this.#holds(word, key)) {
        key.word = word;
        return word;
      }
      if (free === -1 && this.#isEmpty(word)) free = word;
    }
    // With none empty, one of those has to go that the configuration no longer knows: there are more cells than limits. A call
    // that is in one will count itself out of it, whosever it is by then: those go last.
    let occupied = -1;
    for (let cell = 0; free === -1 && cell < OWN_CELLS; cell++) {
      const word = first + cell * wordsPerCell;
      if (others.some((other) => this.#holds(word, other))) continue;
      if (this.#hasCalls(word)) occupied = word;
      else free = word;
    }
    if (free === -1) free = occupied;
    if (free === -1) throw new RangeError('a region has more limits than cells');
    this.#enter(region, free, key, kind, Number.POSITIVE_INFINITY);
    return free;
  }

  /** The first word of a subject's cell, or -1 when its set is full of others that are in use. */
  subject(region: number, key: CellKey, kind: number, now: number): number {
    if (this.#holds(key.word, key)) return this.#touch(key.word, now);
    const { wordsPerCell, setsPerRegion } = this.state;
    const set = key.set & (setsPerRegion - 1);
    const first = this.#firstWord(region) + (OWN_CELLS + set * SET_WAYS) * wordsPerCell;
    let free = -1;
    for (let way = 0; way < SET_WAYS; way++) {
      const word = first + way * wordsPerCell;
      if (this.#holds(word, key)) {
        key.word = word;
        return this.#touch(word, now);
      }
      if (free === -1 && (this.#isEmpty(word) || this.#isIdle(word, now))) free = word;
    }
    if (free !== -1) this.#enter(region, free, key, kind, now);
    return free;
  }

  /**
   * A cell for what is known of a key from before, that no worker has come to yet: of the region's own the first that is empty, or of the
   * key's set. undefined: it has one; -1: there is no room.
   */
  reclaim(region: number, key: CellKey, kind: number, own: boolean): number | undefined {
    const set = key.set & (this.state.setsPerRegion - 1);
    const first = own ? 0 : OWN_CELLS + set * SET_WAYS;
    for (let cell = first; cell < first + (own ? OWN_CELLS : SET_WAYS); cell++) {
      const word = this.#firstWord(region) + cell * this.state.wordsPerCell;
      if (this.#holds(word, key)) return undefined;
      if (!this.#isEmpty(word)) continue;
      this.#enter(region, word, key, kind, 0);
      return word;
    }
    return -1;
  }

  /** The key of the cell that is there. */
  keyIn(word: number): CellKey {
    const { ints } = this;
    return { high: ints[word * 2] ?? 0, low: ints[word * 2 + 1] ?? 0, set: (ints[word * 2 + 3] ?? 0) >>> 0, word };
  }

  /** Whether it is a limit's own cell. */
  isOwn(region: number, word: number): boolean {
    return word < this.#firstWord(region) + OWN_CELLS * this.state.wordsPerCell;
  }

  /** All cells of a region that were ever used. */
  *used(
    region: number,
  ): Iterable<{ readonly word: number; readonly key: CellKey; readonly kind: number; readonly own: boolean }> {
    if (this.#regions[region * REGION_INTS + REGION_USED] !== 1) return;
    for (let cell = 0; cell < this.#cellsPerRegion; cell++) {
      const word = this.#firstWord(region) + cell * this.state.wordsPerCell;
      if (this.#isEmpty(word)) continue;
      yield { word, key: this.keyIn(word), kind: this.ints[word * 2 + 2] ?? 0, own: cell < OWN_CELLS };
    }
  }

  /** Calls in progress, of all workers, that a cell counts. */
  callsInProgress(word: number): number {
    const first = (word + VALUES) * 2;
    const end = (word + this.state.wordsPerCell) * 2;
    let calls = 0;
    for (let at = first; at < end; at++) calls += this.ints[at] ?? 0;
    return calls;
  }

  /** Forgets a region's cells. For a slot that nobody uses. */
  clear(region: number): void {
    if (this.#regions[region * REGION_INTS + REGION_USED] !== 1) return;
    const first = this.#firstWord(region);
    this.words.fill(0, first, first + this.#cellsPerRegion * this.state.wordsPerCell);
    this.leases?.clear(first, this.#cellsPerRegion);
    this.#regions[region * REGION_INTS + REGION_USED] = 0;
  }

  /** Takes a dead worker's calls out of every count, and breaks the organisations' locks that it held. */
  releaseWorker(workerIndex: number): void {
    const regions = this.state.tenantSlots + this.state.organisationSlots;
    const { wordsPerCell } = this.state;
    for (let region = 0; region < regions; region++) {
      if (this.#regions[region * REGION_INTS + REGION_USED] === 1) {
        const first = this.#firstWord(region);
        for (let cell = 0; cell < this.#cellsPerRegion; cell++) {
          const word = first + cell * wordsPerCell;
          if (this.ints[word * 2 + 2] === CONCURRENCY) this.ints[(word + VALUES) * 2 + workerIndex] = 0;
        }
      }
      const lock = this.lockOf(region);
      if (isHeldBy(lock.ints, lock.at, workerIndex)) release(lock.ints, lock.at);
    }
  }

  #firstWord(region: number): number {
    return region * this.#cellsPerRegion * this.state.wordsPerCell;
  }

  #holds(word: number, key: CellKey): boolean {
    return this.ints[word * 2] === key.high && this.ints[word * 2 + 1] === key.low;
  }

  /** What a call has found stays what it is until the call has taken from it, however long it had nothing in it. */
  #touch(word: number, now: number): number {
    if ((this.words[word + STALE_AFTER] ?? 0) < now) this.words[word + STALE_AFTER] = now;
    return word;
  }

  #isEmpty(word: number): boolean {
    return this.ints[word * 2 + 1] === 0;
  }

  #isIdle(word: number, now: number): boolean {
    // One that has just been entered has nothing in it yet, and is about to.
    if ((this.words[word + STALE_AFTER] ?? 0) >= now - IDLE_GRACE_MICROS) return false;
    return !this.#hasCalls(word);
  }

  #hasCalls(word: number): boolean {
    return this.ints[word * 2 + 2] === CONCURRENCY && this.callsInProgress(word) !== 0;
  }

  #enter(region: number, word: number, key: CellKey, kind: number, staleAfter: number): void {
    this.#regions[region * REGION_INTS + REGION_USED] = 1;
    this.words.fill(0, word, word + this.state.wordsPerCell);
    this.leases?.clear(word);
    this.ints[word * 2 + 2] = kind;
    this.words[word + STALE_AFTER] = staleAfter;
    if (kind !== CONCURRENCY) this.words[word + VALUES] = Number.NEGATIVE_INFINITY;
    this.ints[word * 2 + 3] = key.set | 0;
    this.ints[word * 2] = key.high;
    this.ints[word * 2 + 1] = key.low;
    key.word = word;
  }
}
