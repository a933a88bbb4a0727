/**
 * The Huffman code of HPACK (RFC 7541 Appendix B). The code is canonical: within one length, codes count up with the symbol,
 * and each length starts where the shorter one left off. So the lengths say everything.
 */

/** The end-of-string symbol: its code is 30 ones; seeing all of it in a string is an error. */
export const END_OF_STRING = 256;

// biome-ignore format: sixteen octets a row, the first octet of the row behind it
const LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 16
   6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6, // 32
   5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10, // 48
  13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7, // 64
   7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6, // 80
  15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5, // 96
   6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28, // 112
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 128
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 144
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 160
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 176
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 192
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 208
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 224
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 240
  30, // end of string
];

/** Bits of each symbol's code, by symbol. */
export const codeLengths: Uint8Array = Uint8Array.from(LENGTHS);

/** Each symbol's code, right-aligned, by symbol. */
export const codes: Uint32Array = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const assigned = new Uint32Array(LENGTHS.length);
  let code = 0;
  for (let length = 5; length <= 30; length++) {
    code *= 2;
    for (let symbol = 0; symbol < LENGTHS.length; symbol++) {
      if (codeLengths[symbol] === length) assigned[symbol] = code++;
    }
  }
  return assigned;
}
