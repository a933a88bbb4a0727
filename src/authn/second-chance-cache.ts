/**
 * A map that is bounded by entries and by the length of its keys, and forgets first what was used least.
 *
 * Second chance (CLOCK) rather than LRU: a hit sets a flag and moves nothing, so it costs no more than the map's own get.
 */
export class SecondChanceCache<V> {
  readonly #maxEntries: number;
  readonly #maxKeyLength: number;
  readonly #slots = new Map<string, Slot<V>>();
  #keyLength = 0;

  /** `maxKeyLength` bounds the characters of all keys together. */
  constructor(maxEntries: number, maxKeyLength: number) {
    this.#maxEntries = maxEntries;
    this.#maxKeyLength = maxKeyLength;
  }

  get size(): number {
    return this.#slots.size;
  }

  get(key: string): V | undefined {
    const slot = this.#slots.get(key);
    if (slot === undefined) return undefined;
    slot.used = true;
    return slot.value;
  }

  /** Remembers a value, unless its key alone exceeds the bound. */
  set(key: string, value: V): void {
    this.delete(key);
    if (key.length > this.#maxKeyLength) return;
    this.#slots.set(key, { value, used: false });
    this.#keyLength += key.length;
    while (this.#slots.size > this.#maxEntries || this.#keyLength > this.#maxKeyLength) this.#evict(key);
  }

  delete(key: string): void {
    if (this.#slots.delete(key)) this.#keyLength -= key.length;
  }

  /** Drops the oldest entry that was not used since it last came up; `newest` is spared. */
  #evict(newest: string): void {
    for (const [key, slot] of this.#slots) {
      if (!slot.used && key !== newest) {
        this.delete(key);
        return;
      }
      // Moved behind all others; the loop meets it again only when every other had its chance.
      this.#slots.delete(key);
      this.#slots.set(key, slot);
      slot.used = false;
    }
  }
}

interface Slot<V> {
  readonly value: V;
  used: boolean;
}
