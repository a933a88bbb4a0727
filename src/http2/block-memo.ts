/**
 * The last few header blocks that changed nothing in the dynamic table, by their octets. Bounded in count and in octets.
 *
 * A match is exact: every octet, and the table's version. What is remembered is frozen, since two calls share it.
 */
import type { HeaderBlock } from './contract.ts';

/** What a header block means. */
export interface BlockMeaning {
  readonly block: HeaderBlock;
  readonly traits: number;
  /** What content-length says, or -1. */
  readonly contentLength: number;
}

interface Remembered extends BlockMeaning {
  readonly octets: Buffer;
  readonly version: number;
}

export class BlockMemo {
  readonly #slots: Remembered[] = [];
  #next = 0;
  #missesInARow = 0;

  /** What exactly these octets meant under exactly this version of the table, if it is remembered. */
  find(bytes: Buffer, start: number, end: number, version: number): Remembered | undefined {
    const slots = this.#slots;
    for (let index = 0; index < slots.length; index++) {
      const slot = slots[index];
      if (slot === undefined || slot.version !== version || slot.octets.length !== end - start) continue;
      if (equal(slot.octets, bytes, start)) {
        this.#missesInARow = 0;
        return slot;
      }
    }
    return undefined;
  }

  /** Remembers what a block meant, and freezes it. */
  remember(bytes: Buffer, start: number, end: number, version: number, meaning: BlockMeaning): void {
    if (end - start > MAX_OCTETS) return;
    // A peer whose blocks never repeat must not pay for a copy of each of them.
    if (++this.#missesInARow > SLOTS * 4 && this.#missesInARow % 16 !== 0) return;
    const octets = Buffer.allocUnsafeSlow(end - start);
    bytes.copy(octets, 0, start, end);
    const { block, traits, contentLength } = meaning;
    Object.freeze(block);
    this.#slots[this.#next] = { octets, version, block, traits, contentLength };
    this.#next = (this.#next + 1) % SLOTS;
  }
}

const SLOTS = 4;
const MAX_OCTETS = 1024;
/** Below so many octets a loop is faster than the call of memcmp. */
const LOOP_OCTETS = 48;

function equal(octets: Buffer, bytes: Buffer, start: number): boolean {
  if (octets.length > LOOP_OCTETS) return octets.compare(bytes, start, start + octets.length) === 0;
  for (let at = 0; at < octets.length; at++) if (octets[at] !== bytes[start + at]) return false;
  return true;
}
