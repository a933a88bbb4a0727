/**
 * A connection's open streams, by id: an open-addressing table that never leaves a dead copy of itself behind.
 *
 * A `Map` under this churn rehashes every few hundred calls. Its old tables die in V8's old space, where they still point at
 * streams that were open then; a minor collection takes those for alive, promotes them, and each pulls its call along: at 500
 * streams in flight two thirds of all calls outlived them (`--trace-gc`), and collecting was a third of the CPU.
 *
 * Ids of a connection are consecutive odd numbers, so `id >> 1` spreads perfectly; what collides is a stream that lives on
 * while the table's length of younger ones passed by.
 */
export class StreamTable<S extends { readonly id: number }> {
  #slots: (S | undefined)[] = emptySlots(MIN_SLOTS);
  #mask = MIN_SLOTS - 1;
  #size = 0;
  /** How many stand elsewhere than where their id says: mostly none, and then nobody has passed by another's place. */
  #strayed = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): S | undefined {
    for (let at = (id >> 1) & this.#mask; ; at = (at + 1) & this.#mask) {
      const stream = this.#slots[at];
      if (stream === undefined || stream.id === id) return stream;
    }
  }

  /** Adds a stream whose id is not there. */
  add(stream: S): void {
    if (2 * (this.#size + 1) > this.#slots.length) this.#grow();
    this.#place(stream);
    this.#size += 1;
  }

  delete(id: number): void {
    let hole = (id >> 1) & this.#mask;
    for (; ; hole = (hole + 1) & this.#mask) {
      const stream = this.#slots[hole];
      if (stream === undefined) return;
      if (stream.id === id) break;
    }
    this.#size -= 1;
    if (((id >> 1) & this.#mask) !== hole) this.#strayed -= 1;
    if (this.#strayed > 0) hole = this.#close(hole);
    this.#slots[hole] = undefined;
  }

  /** Closes the gap that one leaves who had others pass by. Returns where the gap is then. */
  #close(gap: number): number {
    let hole = gap;
    // Moves back what had to pass by this place, so that no tombstone is needed (Knuth 6.4, algorithm R).
    for (let at = (hole + 1) & this.#mask; ; at = (at + 1) & this.#mask) {
      const stream = this.#slots[at];
      if (stream === undefined) break;
      const home = (stream.id >> 1) & this.#mask;
      if (((at - home) & this.#mask) < ((at - hole) & this.#mask)) continue;
      this.#slots[hole] = stream;
      if (home === hole) this.#strayed -= 1;
      hole = at;
    }
    return hole;
  }

  /** All of them, as of now: the caller may end any while it goes through them. */
  all(): S[] {
    return this.#slots.filter((stream) => stream !== undefined);
  }

  #place(stream: S): void {
    let at = (stream.id >> 1) & this.#mask;
    const home = at;
    while (this.#slots[at] !== undefined) at = (at + 1) & this.#mask;
    if (at !== home) this.#strayed += 1;
    this.#slots[at] = stream;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = emptySlots(before.length * 2);
    this.#mask = this.#slots.length - 1;
    this.#strayed = 0;
    for (let at = 0; at < before.length; at++) {
      const stream = before[at];
      if (stream !== undefined) this.#place(stream);
      // The old table dies here; it must not keep anyone.
      before[at] = undefined;
    }
  }
}

const MIN_SLOTS = 16;

function emptySlots<S>(length: number): (S | undefined)[] {
  return Array.from<S | undefined>({ length }).fill(undefined);
}
