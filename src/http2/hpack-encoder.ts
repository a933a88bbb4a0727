/**
 * Encodes header blocks (RFC 7541) with a full dynamic table. One per connection: blocks must reach the wire in the order in
 * which they were encoded.
 *
 * Everything is indexed, except what must not be (`never-indexed.ts`), and what would only push useful fields out: values above
 * 2 KiB, names whose values are made anew for each call, and names that turn out to behave so.
 */
import type { HeaderBlock } from './contract.ts';
import { EncoderTable } from './encoder-table.ts';
import { MAX_INTEGER_BYTES, writeInteger, writeString } from './hpack-primitives.ts';
import { neverIndexedIn } from './never-indexed.ts';

export class HpackEncoder {
  readonly #table = new EncoderTable();
  readonly #ownMaxTableBytes: number;
  /** The smallest and the last table size since the last block, when the peer's SETTINGS changed it (RFC 7541 §4.2). */
  #resize: { smallest: number; last: number } | undefined;

  // What stood where in the blocks before: the layout of blocks repeats, so a position predicts its field's index.
  readonly #placeNames: string[] = [];
  readonly #placeValues: string[] = [];
  readonly #placeIndices: number[] = [];

  /** What frozen blocks encode to, by identity, oldest first. */
  readonly #memo = new Map<HeaderBlock, Encoded>();

  /** `ownMaxTableBytes` bounds what we spend on the table, whatever the peer allows. */
  constructor(ownMaxTableBytes: number) {
    this.#ownMaxTableBytes = ownMaxTableBytes;
    this.#table.resize(Math.min(DEFAULT_TABLE_BYTES, ownMaxTableBytes));
    if (ownMaxTableBytes < DEFAULT_TABLE_BYTES) this.#resize = { smallest: ownMaxTableBytes, last: ownMaxTableBytes };
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. The next block begins with the change. */
  setPeerMaxTableBytes(bytes: number): void {
    const size = Math.min(bytes, this.#ownMaxTableBytes);
    if (size === (this.#resize?.last ?? this.#table.capacityBytes)) return;
    this.#resize = { smallest: Math.min(this.#resize?.smallest ?? size, size), last: size };
  }

  /** What `encode` would write, when that is known and changes nothing. */
  recall(block: HeaderBlock): Uint8Array | undefined {
    if (this.#resize !== undefined) return undefined;
    const known = this.#memo.get(block);
    return known !== undefined && known.version === this.#table.version ? known.octets : undefined;
  }

  /** The most octets that `block` can take. */
  bound(block: HeaderBlock): number {
    let bytes = 2 * MAX_INTEGER_BYTES;
    for (let at = 0; at < block.length; at++) bytes += (block[at]?.length ?? 0) + MAX_INTEGER_BYTES;
    return bytes;
  }

  /** Encodes `block` at `at`, where `bound(block)` octets must be free, and returns the offset behind it. */
  encode(block: HeaderBlock, into: Buffer, at: number): number {
    let position = this.#resize === undefined ? at : this.#writeResize(into, at);
    const version = this.#table.version;
    const repeatable = position === at;
    const never = neverIndexedIn(block);
    for (let index = 0; index < block.length; index += 2) {
      const name = block[index] ?? '';
      const value = block[index + 1] ?? '';
      if (never?.has(name) === true) position = this.#writeNeverIndexed(name, value, into, position);
      else position = this.#writeField(index >> 1, name, value, into, position);
    }
    if (repeatable && version === this.#table.version) this.#remember(block, into, at, position);
    return position;
  }

  #writeField(place: number, name: string, value: string, into: Buffer, at: number): number {
    let index = this.#placeIndices[place] ?? 0;
    if (
      index === 0 ||
      !this.#table.holds(index) ||
      this.#placeNames[place] !== name ||
      this.#placeValues[place] !== value
    ) {
      index = this.#table.find(name, value);
      if (index !== 0 && place < MAX_PLACES) this.#rememberPlace(place, name, value, index);
    }
    if (index !== 0) return writeInteger(into, at, 0x80, 7, this.#table.wireIndex(index));
    const nameIndex = this.#table.findName(name);
    const adds = this.#table.shouldAdd(name, value);
    const wireName = nameIndex === 0 ? 0 : this.#table.wireIndex(nameIndex);
    let position = adds ? writeInteger(into, at, 0x40, 6, wireName) : writeInteger(into, at, 0, 4, wireName);
    if (wireName === 0) position = writeString(into, position, name, true);
    // What is sent once and then referred to is worth its Huffman code; what is new each time is sent as it is.
    position = writeString(into, position, value, adds);
    if (adds) this.#table.add(name, value);
    return position;
  }

  #writeNeverIndexed(name: string, value: string, into: Buffer, at: number): number {
    const nameIndex = this.#table.findName(name);
    let position = writeInteger(into, at, 0x10, 4, nameIndex === 0 ? 0 : this.#table.wireIndex(nameIndex));
    if (nameIndex === 0) position = writeString(into, position, name, true);
    return writeString(into, position, value, false);
  }

  #rememberPlace(place: number, name: string, value: string, index: number): void {
    while (this.#placeIndices.length <= place) {
      this.#placeNames.push('');
      this.#placeValues.push('');
      this.#placeIndices.push(0);
    }
    this.#placeNames[place] = name;
    this.#placeValues[place] = value;
    this.#placeIndices[place] = index;
  }

  #writeResize(into: Buffer, at: number): number {
    const resize = this.#resize;
    if (resize === undefined) return at;
    this.#resize = undefined;
    let position = at;
    if (resize.smallest < resize.last) {
      this.#table.resize(resize.smallest);
      position = writeInteger(into, position, 0x20, 5, resize.smallest);
    }
    this.#table.resize(resize.last);
    return writeInteger(into, position, 0x20, 5, resize.last);
  }

  /** Only frozen blocks are known by identity: any other may have other fields the next time. */
  #remember(block: HeaderBlock, from: Buffer, start: number, end: number): void {
    if (end - start > MAX_MEMO_OCTETS || !Object.isFrozen(block)) return;
    const octets = new Uint8Array(from.subarray(start, end));
    this.#memo.set(block, { version: this.#table.version, octets });
    if (this.#memo.size <= MAX_MEMO_BLOCKS) return;
    for (const oldest of this.#memo.keys()) {
      this.#memo.delete(oldest);
      return;
    }
  }
}

/** What a peer's decoder has before it says anything else (RFC 9113 §6.5.2). */
const DEFAULT_TABLE_BYTES = 4096;
const MAX_PLACES = 32;
/** About as many as connections that share this one, and their kinds of calls. */
const MAX_MEMO_BLOCKS = 64;
const MAX_MEMO_OCTETS = 96;

interface Encoded {
  readonly version: number;
  readonly octets: Uint8Array;
}
