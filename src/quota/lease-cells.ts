/**
 * What this sidecar holds of limits that hold over several: one block beside each cell of `limit-cells.ts`.
 *
 * The main thread writes what was leased (from when, until when, up to which count); workers count what they take of it, with the
 * region's lock held, and never wait for anything. Each word has one writer. Counts only grow, so none has to be set back while another
 * thread adds to it. Two slots, because a calendar window's successor is leased before it begins.
 *
 * A worker that comes to a block that nobody looks after says so in `news`, a ring that the main thread reads.
 */

/** Structured-clonable: a part of the `LimitState`. */
export interface LeaseState {
  readonly blocks: SharedArrayBuffer;
  /** Int32: how many were announced, then the ring of their cells. */
  readonly news: SharedArrayBuffer;
  /** One Float64: the part of a limit that this sidecar may use while there is no lease. */
  readonly terms: SharedArrayBuffer;
  /** Keys limits and subjects, the same in all sidecars that share them. */
  readonly salt: string;
}

const BLOCK_WORDS = 16;
const NEWS_PLACES = 1 << 14;

/** A slot's words. */
export const FROM = 0;
export const UNTIL = 1;
export const BUDGET = 2;
export const TAKEN = 3;
export const SLOTS = [0, 4] as const;
/** Workers: taken while nothing was leased. */
export const LOCAL_TAKEN = 8;
/** Workers: times that there was no room, and for how much the last time. */
export const REFUSALS = 9;
export const NEED = 10;
/** Main thread: when more may be had, for those who are refused. */
export const RESET_AT = 11;
/** Workers: the limit's key (two Int32), so that the main thread knows whose cell it is. */
const LIMIT = 12;
/** Int32: whether it is looked after. Workers set it, the main thread takes it away. Then, as Float32, what the store has left. */
const ANNOUNCED = 13;
/** Main thread: what it has counted of both slots together, and of what was taken without a lease. */
export const SEEN_SLOTS = 14;
export const SEEN_LOCAL = 15;

/** Creates blocks for so many cells, all without a lease. */
export function createLeaseState(cells: number, salt: string, localShare: number): LeaseState {
  const terms = new SharedArrayBuffer(8);
  new Float64Array(terms)[0] = localShare;
  return {
    blocks: new SharedArrayBuffer(cells * BLOCK_WORDS * 8),
    news: new SharedArrayBuffer((1 + NEWS_PLACES) * 4),
    terms,
    salt,
  };
}

export class LeaseCells {
  readonly state: LeaseState;
  readonly words: Float64Array;
  readonly #ints: Int32Array;
  readonly #floats: Float32Array;
  readonly #news: Int32Array;
  readonly #terms: Float64Array;
  readonly #wordsPerCell: number;

  constructor(state: LeaseState, wordsPerCell: number) {
    this.state = state;
    this.words = new Float64Array(state.blocks);
    this.#ints = new Int32Array(state.blocks);
    this.#floats = new Float32Array(state.blocks);
    this.#news = new Int32Array(state.news);
    this.#terms = new Float64Array(state.terms);
    this.#wordsPerCell = wordsPerCell;
  }

  get localShare(): number {
    return this.#terms[0] ?? 0;
  }

  set localShare(share: number) {
    this.#terms[0] = share;
  }

  /** The first word of the block of the cell that begins at `word`. */
  blockOf(word: number): number {
    return (word / this.#wordsPerCell) * BLOCK_WORDS;
  }

  /** Another subject has the cell. */
  clear(word: number, cells = 1): void {
    const block = this.blockOf(word);
    this.words.fill(0, block, block + cells * BLOCK_WORDS);
  }

  /** The slot that is leased at a time, or -1. */
  slotAt(block: number, now: number): number {
    for (const slot of SLOTS)
      if (now < (this.words[block + slot + UNTIL] ?? 0) && now >= (this.words[block + slot + FROM] ?? 0))
        return block + slot;
    return -1;
  }

  /** Says that a cell of a limit is used, unless the main thread knows. */
  announce(word: number, block: number, limit: { readonly high: number; readonly low: number }): void {
    const ints = this.#ints;
    if (ints[(block + ANNOUNCED) * 2] === 1) return;
    ints[(block + LIMIT) * 2] = limit.high;
    ints[(block + LIMIT) * 2 + 1] = limit.low;
    ints[(block + ANNOUNCED) * 2] = 1;
    const place = Atomics.add(this.#news, 0, 1);
    Atomics.store(this.#news, 1 + ((place >>> 0) % NEWS_PLACES), word / this.#wordsPerCell);
  }

  /** About what was left for anybody when the store was asked last. */
  freeIn(block: number): number {
    return Math.floor(this.#floats[(block + ANNOUNCED) * 2 + 1] ?? 0);
  }

  setFree(block: number, free: number): void {
    this.#floats[(block + ANNOUNCED) * 2 + 1] = free;
  }

  /** Nobody looks after it any more: who comes to it says so again. */
  dismiss(block: number): void {
    this.#ints[(block + ANNOUNCED) * 2] = 0;
  }

  /** How many were announced so far; wraps. */
  get announced(): number {
    return Atomics.load(this.#news, 0);
  }

  /** First words of the cells that were announced since `from`; those that the ring has forgotten will have to say so again. */
  *newsSince(from: number): Iterable<number> {
    const to = this.announced;
    const count = Math.min((to - from) | 0, NEWS_PLACES);
    for (let back = count; back > 0; back--)
      yield Atomics.load(this.#news, 1 + (((to - back) >>> 0) % NEWS_PLACES)) * this.#wordsPerCell;
  }

  /** The limit whose cell it is, as its key. */
  limitOf(block: number): string {
    return `${this.#ints[(block + LIMIT) * 2]}:${this.#ints[(block + LIMIT) * 2 + 1]}`;
  }

  /** What was written before is seen by whoever sees what is written after. */
  fence(): void {
    Atomics.add(this.#news, 0, 0);
  }
}
