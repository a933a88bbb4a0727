/** Integers and strings of HPACK as an encoder writes them (RFC 7541 §5). */
import { encodeHuffman, huffmanLength } from './huffman.ts';

/** The most octets that an integer of ours takes. */
export const MAX_INTEGER_BYTES = 6;

/** Writes an integer with a prefix; `flags` are the first octet's bits above the prefix. */
export function writeInteger(into: Buffer, at: number, flags: number, prefixBits: number, value: number): number {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) {
    into[at] = flags | value;
    return at + 1;
  }
  into[at] = flags | mask;
  let position = at + 1;
  let rest = value - mask;
  while (rest >= 0x80) {
    into[position++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  into[position++] = rest;
  return position;
}

/** Writes a string, Huffman-coded when that is wanted and shorter. */
export function writeString(into: Buffer, at: number, text: string, mayHuffman: boolean): number {
  const length = text.length;
  const coded = mayHuffman ? huffmanLength(text) : length;
  if (coded < length) return encodeHuffman(text, into, writeInteger(into, at, 0x80, 7, coded));
  const position = writeInteger(into, at, 0, 7, length);
  if (length > LOOP_OCTETS) into.write(text, position, length, 'latin1');
  else for (let index = 0; index < length; index++) into[position + index] = text.charCodeAt(index);
  return position + length;
}

/** Below so many octets a loop is faster than the call into C++. */
const LOOP_OCTETS = 24;
