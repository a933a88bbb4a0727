/**
 * Huffman strings of HPACK (RFC 7541 §5.2): four bits at a time through a table that is built at load.
 *
 * A state is an inner node of the code's tree (there are 256). The shortest code has five bits, so a nibble completes at most
 * one symbol; the table is 16 KiB and stays in the first-level cache.
 */
import { codeLengths, codes, END_OF_STRING } from './huffman-code.ts';

const EMITS = 1 << 16;
const SYMBOL_SHIFT = 8;
const BROKEN = -1;

const { transitions, mayEnd } = buildTransitions();

/**
 * Decodes `bytes[start, end)` into `into` from its first octet. Returns how many octets came out, or -1 when the string holds
 * the end-of-string symbol, or its padding is not the shorter-than-an-octet beginning of it. `into` must hold
 * `maxDecodedLength(end - start)` octets.
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number, into: Uint8Array): number {
  let state = 0;
  let written = 0;
  for (let at = start; at < end; at++) {
    const octet = bytes[at] ?? 0;
    let step = transitions[(state << 4) | (octet >> 4)] ?? BROKEN;
    if (step < 0) return BROKEN;
    if ((step & EMITS) !== 0) into[written++] = (step >> SYMBOL_SHIFT) & 0xff;
    step = transitions[((step & 0xff) << 4) | (octet & 0x0f)] ?? BROKEN;
    if (step < 0) return BROKEN;
    if ((step & EMITS) !== 0) into[written++] = (step >> SYMBOL_SHIFT) & 0xff;
    state = step & 0xff;
  }
  return mayEnd[state] === 1 ? written : BROKEN;
}

/** The most octets that so many octets of Huffman code can stand for. */
export function maxDecodedLength(encodedLength: number): number {
  return Math.floor((encodedLength * 8) / 5);
}

/** How many octets `text` (latin1) takes when Huffman-coded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) bits += codeLengths[text.charCodeAt(at) & 0xff] ?? 0;
  return (bits + 7) >> 3;
}

/** Writes `text` (latin1) Huffman-coded at `at` and returns the offset behind it. */
export function encodeHuffman(text: string, into: Uint8Array, at: number): number {
  let position = at;
  let pending = 0;
  let pendingBits = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index) & 0xff;
    let length = codeLengths[symbol] ?? 0;
    const code = codes[symbol] ?? 0;
    // At most seven bits wait, and a code has up to thirty: the upper part goes first, to stay within 32 bits.
    if (length > 16) {
      pending = (pending << (length - 16)) | (code >>> 16);
      pendingBits += length - 16;
      while (pendingBits >= 8) {
        pendingBits -= 8;
        into[position++] = (pending >>> pendingBits) & 0xff;
      }
      pending &= 0xff;
      length = 16;
    }
    pending = (pending << length) | (code & ((1 << length) - 1));
    pendingBits += length;
    while (pendingBits >= 8) {
      pendingBits -= 8;
      into[position++] = (pending >>> pendingBits) & 0xff;
    }
    pending &= 0xff;
  }
  if (pendingBits > 0) into[position++] = ((pending << (8 - pendingBits)) | (0xff >> pendingBits)) & 0xff;
  return position;
}

/** Walks every nibble from every inner node of the code's tree. */
function buildTransitions(): { transitions: Int32Array; mayEnd: Uint8Array } {
  const children = buildTree();
  const table = new Int32Array(256 * 16);
  for (let state = 0; state < 256; state++) {
    for (let nibble = 0; nibble < 16; nibble++) table[(state << 4) | nibble] = walk(children, state, nibble);
  }
  const ends = new Uint8Array(256);
  // Padding is the beginning of end-of-string, all ones, and shorter than an octet.
  for (let node = 0, depth = 0; depth <= 7; depth++) {
    ends[node] = 1;
    node = children[node * 2 + 1] ?? 0;
  }
  return { transitions: table, mayEnd: ends };
}

function walk(children: Int32Array, from: number, nibble: number): number {
  let node = from;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const child = children[node * 2 + ((nibble >> bit) & 1)] ?? 0;
    if (child >= 0) {
      node = child;
      continue;
    }
    const symbol = -child - 1;
    if (symbol === END_OF_STRING) return BROKEN;
    emitted = EMITS | (symbol << SYMBOL_SHIFT);
    node = 0;
  }
  return emitted | node;
}

/** The code's tree: two children per inner node; a negative child is a leaf, `-symbol - 1`. */
function buildTree(): Int32Array {
  const children = new Int32Array(512);
  let nodes = 1;
  for (let symbol = 0; symbol <= END_OF_STRING; symbol++) {
    const length = codeLengths[symbol] ?? 0;
    const code = codes[symbol] ?? 0;
    let node = 0;
    for (let bit = length - 1; bit > 0; bit--) {
      const slot = node * 2 + ((code >>> bit) & 1);
      if (children[slot] === 0) children[slot] = nodes++;
      node = children[slot] ?? 0;
    }
    children[node * 2 + (code & 1)] = -symbol - 1;
  }
  return children;
}
