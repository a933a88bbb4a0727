/**
 * A permutation of the 64-bit integers except zero, drawn by a key: who does not have the key cannot tell which number another one
 * becomes, nor which number becomes a given one.
 *
 * A Feistel network of ten rounds over two halves of 32 bits (as FF1 has them, NIST SP 800-38G §5.1), whose round function is
 * AES-256 over the round's number and a half.
 */
import { type Cipheriv, createCipheriv } from 'node:crypto';

export class IdPermutation {
  readonly #cipher: Cipheriv;
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  /** What the ids became that came last, in turns: a sequence has the same one in each of its requests. */
  readonly #recent: { readonly id: bigint; readonly permuted: bigint }[] = [];
  #next = 0;

  /** `key`: 32 bytes. */
  constructor(key: Buffer) {
    this.#cipher = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
  }

  /** What a number from 1 to 2^64 − 1 becomes. */
  apply(id: bigint): bigint {
    for (const recent of this.#recent) if (recent.id === id) return recent.permuted;
    let permuted = this.#forward(id);
    // Zero stands for no sequence at all: whatever would become zero takes zero's place.
    if (permuted === 0n) permuted = this.#forward(0n);
    this.#recent[this.#next] = { id, permuted };
    this.#next = (this.#next + 1) % RECENT_IDS;
    return permuted;
  }

  /** The number that became this one. */
  invert(id: bigint): bigint {
    const original = this.#backward(id);
    return original === 0n ? this.#backward(0n) : original;
  }

  #forward(id: bigint): bigint {
    let left = Number(id >> 32n);
    let right = Number(id & LOW);
    for (let round = 0; round < ROUNDS; round++) [left, right] = [right, (left ^ this.#mix(round, right)) >>> 0];
    return (BigInt(left) << 32n) | BigInt(right);
  }

  #backward(id: bigint): bigint {
    let left = Number(id >> 32n);
    let right = Number(id & LOW);
    for (let round = ROUNDS - 1; round >= 0; round--) [left, right] = [(right ^ this.#mix(round, left)) >>> 0, left];
    return (BigInt(left) << 32n) | BigInt(right);
  }

  #mix(round: number, half: number): number {
    this.#block.writeUInt32LE(round, 0);
    this.#block.writeUInt32LE(half, 4);
    return this.#cipher.update(this.#block).readUInt32LE(0);
  }
}

const BLOCK_BYTES = 16;
const RECENT_IDS = 16;
const ROUNDS = 10;
const LOW = 0xffff_ffffn;
