/**
 * Decodes header blocks (RFC 7541). One per connection: blocks are decoded in the order in which they came, all of them, even
 * those of streams that nobody wants any more, or the two tables would no longer agree.
 *
 * Most blocks of a connection repeat an earlier one octet by octet (same method, same credentials). As long as the dynamic
 * table has not changed they mean the same, so the last few blocks are remembered and answered with the same frozen array.
 * Where a block has something new each time (a timeout), its credentials still repeat, and clients do not index those: the
 * last few long literals are remembered as well.
 */
import type { HeaderBlock } from './contract.ts';
import { FIELD_OVERHEAD_BYTES, FieldTable, type HeaderField } from './field-table.ts';
import { classify, joinTraits, Trait } from './header-traits.ts';
import { decodeHuffman, maxDecodedLength } from './huffman.ts';
import { markNeverIndexed } from './never-indexed.ts';
import { OctetMemo } from './octet-memo.ts';
import { STATIC_FIELDS, staticTable } from './static-table.ts';

/** How much of a block is kept. Beyond it a block is decoded to its end, for the table's sake, and nothing of it is kept. */
export interface HeaderListLimits {
  readonly maxHeaderListBytes: number;
  readonly maxHeaderFields: number;
}

interface BlockMeaning {
  readonly block: HeaderBlock;
  readonly traits: number;
  readonly contentLength: number;
}

export class HpackDecoder {
  readonly #table = new FieldTable(DEFAULT_TABLE_BYTES);
  readonly #limits: HeaderListLimits;
  /** By the table's version. */
  readonly #blocks = new OctetMemo<BlockMeaning>();
  /** By whether they are Huffman-coded. */
  readonly #literals = new OctetMemo<HeaderField>();
  #maxTableBytes = DEFAULT_TABLE_BYTES;

  #bytes: Buffer = EMPTY;
  #at = 0;
  #end = 0;
  #fault: string | undefined;

  #block: string[] = [];
  #traits = 0;
  #listBytes = 0;
  #repeatable = true;
  #neverIndexed: ReadonlySet<string> | undefined;
  /** The name that was never indexed alone in a block: the next block has the same one, as a rule. */
  #neverIndexedAlone: ReadonlySet<string> = new Set();
  /** More than one of this block. */
  #neverIndexedTogether: Set<string> | undefined;
  #decoded: HeaderBlock = [];
  #contentLength = -1;

  constructor(limits: HeaderListLimits) {
    this.#limits = limits;
  }

  /** The last decoded block. */
  get block(): HeaderBlock {
    return this.#decoded;
  }

  /** The union of its fields' traits, with their order taken into account. */
  get traits(): number {
    return this.#traits;
  }

  /** What its content-length says, or -1. */
  get contentLength(): number {
    return this.#contentLength;
  }

  /** The limit that the last block exceeded. Its fields are then not to be used. */
  get exceeded(): keyof HeaderListLimits | undefined {
    if (this.#listBytes > this.#limits.maxHeaderListBytes) return 'maxHeaderListBytes';
    return this.#block.length > this.#limits.maxHeaderFields * 2 ? 'maxHeaderFields' : undefined;
  }

  /** The last block was so far beyond its limit that nobody sends such by mistake. */
  get isBomb(): boolean {
    return this.#listBytes > MAX_LIST_EXCESS * this.#limits.maxHeaderListBytes;
  }

  /** What our SETTINGS_HEADER_TABLE_SIZE allows the peer's encoder, once the peer has acknowledged it. */
  setMaxTableBytes(bytes: number): void {
    this.#maxTableBytes = bytes;
  }

  /** Decodes one whole block into `block` and `traits`. Returns why it could not be; the connection is then lost. */
  decode(bytes: Buffer, start: number, end: number): string | undefined {
    const known = this.#blocks.find(bytes, start, end, this.#table.version);
    if (known !== undefined) {
      this.#decoded = known.block;
      this.#traits = known.traits;
      this.#contentLength = known.contentLength;
      this.#listBytes = 0;
      this.#block = NOTHING;
      return undefined;
    }
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#fault = undefined;
    this.#block = [];
    this.#decoded = this.#block;
    this.#traits = 0;
    this.#contentLength = -1;
    this.#listBytes = 0;
    this.#repeatable = true;
    this.#neverIndexed = undefined;
    this.#neverIndexedTogether = undefined;
    this.#readSizeUpdates();
    while (this.#at < end && this.#fault === undefined) this.#readField();
    this.#bytes = EMPTY;
    markNeverIndexed(this.#block, this.#neverIndexed);
    if (this.#fault === undefined && this.#repeatable && this.exceeded === undefined) {
      this.#rememberBlock(bytes, start, end);
    }
    return this.#fault;
  }

  #rememberBlock(bytes: Buffer, start: number, end: number): void {
    const meaning = { block: this.#block, traits: this.#traits, contentLength: this.#contentLength };
    // Two calls will share it.
    if (this.#blocks.remember(bytes, start, end, this.#table.version, meaning)) Object.freeze(this.#block);
  }

  /** Updates of the table's size stand at the beginning of a block or nowhere (RFC 7541 §4.2). */
  #readSizeUpdates(): void {
    while (this.#at < this.#end && ((this.#bytes[this.#at] ?? 0) & 0xe0) === 0x20) {
      const bytes = this.#readInteger(5);
      this.#repeatable = false;
      if (this.#fault !== undefined) return;
      if (bytes > this.#maxTableBytes) {
        this.#fault = 'a table size update above what SETTINGS allow';
        return;
      }
      this.#table.resize(bytes);
    }
    if (this.#table.capacityBytes > this.#maxTableBytes) this.#fault = 'the table was not reduced as SETTINGS demand';
  }

  #readField(): void {
    const first = this.#bytes[this.#at] ?? 0;
    if ((first & 0x80) !== 0) {
      const field = this.#lookUp(this.#readInteger(7));
      if (field !== undefined) this.#keep(field);
    } else if ((first & 0x40) !== 0) {
      this.#repeatable = false;
      const field = this.#readLiteral(6, false);
      if (field === undefined) return;
      this.#table.add(field);
      this.#keep(field);
    } else if ((first & 0x20) !== 0) {
      this.#fault = 'a table size update amid a block';
    } else {
      const field = this.#readLiteral(4, true);
      if (field === undefined) return;
      if ((first & 0x10) !== 0) this.#noteNeverIndexed(field.name);
      this.#keep(field);
    }
  }

  #noteNeverIndexed(name: string): void {
    const names = this.#neverIndexed;
    if (names === undefined) {
      if (!this.#neverIndexedAlone.has(name)) this.#neverIndexedAlone = new Set([name]);
      this.#neverIndexed = this.#neverIndexedAlone;
    } else if (!names.has(name)) {
      this.#neverIndexedTogether ??= new Set(names);
      this.#neverIndexedTogether.add(name);
      this.#neverIndexed = this.#neverIndexedTogether;
    }
  }

  #keep(field: HeaderField): void {
    this.#traits = joinTraits(this.#traits, field.traits);
    if ((field.traits & Trait.CONTENT_LENGTH) !== 0) this.#contentLength = Number(field.value);
    this.#listBytes += field.name.length + field.value.length + FIELD_OVERHEAD_BYTES;
    // One more than allowed is kept: that is how `exceeded` knows.
    if (this.#listBytes <= this.#limits.maxHeaderListBytes && this.#block.length <= this.#limits.maxHeaderFields * 2) {
      this.#block.push(field.name, field.value);
    }
  }

  #lookUp(index: number): HeaderField | undefined {
    const field = index <= STATIC_FIELDS ? staticFields[index] : this.#table.at(index - STATIC_FIELDS - 1);
    if (field === undefined) this.#fault ??= 'an index of no field';
    return field;
  }

  #readLiteral(prefixBits: number, isRepeated: boolean): HeaderField | undefined {
    const index = this.#readInteger(prefixBits);
    const name = index === 0 ? this.#readString() : this.#lookUp(index)?.name;
    if (name === undefined || this.#fault !== undefined) return undefined;
    const huffman = this.#nextIsHuffman();
    const end = this.#nextStringEnd();
    const start = this.#at;
    if (this.#fault !== undefined) return undefined;
    const isLong = isRepeated && end - start >= LONG_OCTETS;
    if (isLong) {
      const known = this.#literals.find(this.#bytes, start, end, huffman ? 1 : 0);
      if (known?.name === name) {
        this.#at = end;
        return known;
      }
    }
    const value = this.#decodeString(huffman, end);
    if (this.#fault !== undefined) return undefined;
    const field = { name, value, traits: classify(name, value) };
    if (isLong) this.#literals.remember(this.#bytes, start, end, huffman ? 1 : 0, field);
    return field;
  }

  #readString(): string {
    const huffman = this.#nextIsHuffman();
    return this.#decodeString(huffman, this.#nextStringEnd());
  }

  #nextIsHuffman(): boolean {
    return ((this.#bytes[this.#at] ?? 0) & 0x80) !== 0;
  }

  /** Reads the length of the string that comes next, and returns where it ends. */
  #nextStringEnd(): number {
    const length = this.#readInteger(7);
    const end = this.#at + length;
    if (end > this.#end) this.#fault ??= 'a string beyond the end of its block';
    return end;
  }

  #decodeString(huffman: boolean, end: number): string {
    if (this.#fault !== undefined) return '';
    const start = this.#at;
    const length = end - start;
    this.#at = end;
    if (!huffman) return this.#bytes.toString('latin1', start, end);
    if (maxDecodedLength(length) > scratch.length) scratch = Buffer.allocUnsafeSlow(maxDecodedLength(length));
    const decoded = decodeHuffman(this.#bytes, start, end, scratch);
    if (decoded < 0) {
      this.#fault = 'a string that is not Huffman-coded';
      return '';
    }
    return scratch.toString('latin1', 0, decoded);
  }

  /** An integer with a prefix (RFC 7541 §5.1). Above 2^28 nothing of ours is that long: refused before it overflows. */
  #readInteger(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = (this.#bytes[this.#at++] ?? 0) & mask;
    if (this.#at > this.#end) this.#fault = 'a block that ends amid a field';
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= this.#end) {
        this.#fault ??= 'a block that ends amid an integer';
        return 0;
      }
      const octet = this.#bytes[this.#at++] ?? 0;
      value += (octet & 0x7f) << shift;
      if ((octet & 0x80) === 0) return value;
    }
    this.#fault ??= 'an integer that is too large';
    return 0;
  }
}

/** What a peer's encoder may fill before SETTINGS say otherwise (RFC 9113 §6.5.2). */
const DEFAULT_TABLE_BYTES = 4_096;
/**
 * Times its limit that a list may measure and only be refused; beyond it the connection ends. Without references to the table no block
 * below `maxHeaderBlockBytes` comes near.
 */
export const MAX_LIST_EXCESS = 16;
/** A literal value from which on a look at what is remembered costs less than decoding it. */
const LONG_OCTETS = 64;

const EMPTY = Buffer.alloc(0);
const NOTHING: string[] = [];

/** By HPACK index: 0 is none. */
const staticFields: readonly (HeaderField | undefined)[] = [
  undefined,
  ...staticTable.map(([name, value]) => ({ name, value, traits: classify(name, value) })),
];

/** Shared by all decoders of the thread; grows to the longest string that a header block's limits let in. */
let scratch = Buffer.allocUnsafeSlow(8192);
