/**
 * The last few octet sequences of a connection, and what they meant. Bounded in count and in octets.
 *
 * A match is exact: every octet, and the tag, which says under what circumstances the meaning holds.
 */

export class OctetMemo<Meaning> {
  readonly #slots: Slot<Meaning>[] = [];
  #next = 0;
  #missesInARow = 0;

  /** What exactly these octets meant under exactly this tag, if it is remembered. */
  find(bytes: Buffer, start: number, end: number, tag: number): Meaning | undefined {
    const slots = this.#slots;
    for (let index = 0; index < slots.length; index++) {
      const slot = slots[index];
      if (slot === undefined || slot.tag !== tag || slot.octets.length !== end - start) continue;
      if (equal(slot.octets, bytes, start)) {
        this.#missesInARow = 0;
        return slot.meaning;
      }
    }
    return undefined;
  }

  /** Remembers what octets meant. False when they are not worth it: too long, or of a peer whose octets never repeat. */
  remember(bytes: Buffer, start: number, end: number, tag: number, meaning: Meaning): boolean {
    if (end - start > MAX_OCTETS) return false;
    // A peer that never repeats itself must not pay for a copy each time.
    if (++this.#missesInARow > SLOTS * 4 && this.#missesInARow % 16 !== 0) return false;
    const octets = Buffer.allocUnsafeSlow(end - start);
    bytes.copy(octets, 0, start, end);
    this.#slots[this.#next] = { octets, tag, meaning };
    this.#next = (this.#next + 1) % SLOTS;
    return true;
  }
}

interface Slot<Meaning> {
  readonly octets: Buffer;
  readonly tag: number;
  readonly meaning: Meaning;
}

const SLOTS = 4;
const MAX_OCTETS = 2_048;
/** Below so many octets a loop is faster than the call of memcmp. */
const LOOP_OCTETS = 48;

function equal(octets: Buffer, bytes: Buffer, start: number): boolean {
  if (octets.length > LOOP_OCTETS) return octets.compare(bytes, start, start + octets.length) === 0;
  for (let at = 0; at < octets.length; at++) if (octets[at] !== bytes[start + at]) return false;
  return true;
}
