/**
 * Small pieces of memory that is one tenant's alone, cut one after the other from a larger piece: memory of its own for each costs the
 * collector more than what is written into it costs us, and the pool that small buffers come from is shared by all tenants.
 */
export class Arena {
  #whole: Buffer = NOTHING;
  #used = 0;

  /** Memory of so many bytes, to be written over before it is read. */
  take(bytes: number): Buffer {
    if (bytes > LARGEST_PIECE_BYTES) return Buffer.allocUnsafeSlow(bytes);
    if (this.#used + bytes > this.#whole.length) {
      // What was cut from the one before keeps it alive for as long as it is needed.
      this.#whole = Buffer.allocUnsafeSlow(WHOLE_BYTES);
      this.#used = 0;
    }
    const from = this.#used;
    this.#used += bytes;
    return this.#whole.subarray(from, from + bytes);
  }
}

/** A piece that is kept keeps no more than this alive. */
const WHOLE_BYTES = 8_192;
const LARGEST_PIECE_BYTES = 1_024;
const NOTHING = Buffer.alloc(0);
