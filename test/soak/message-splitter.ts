/**
 * gRPC messages out of a stream's bytes, inflated when they say that they are compressed.
 */
import { gunzipSync } from 'node:zlib';

const PREFIX_BYTES = 5;

export class MessageSplitter {
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Bytes that came, prefixes included. */
  total = 0;

  /** Takes bytes and gives the messages that are whole with them. Throws when a prefix is none. */
  push(chunk: Buffer): readonly Buffer[] {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.total += chunk.length;
    const whole: Buffer[] = [];
    for (;;) {
      const length = this.#length();
      if (length === undefined || this.#bytes < PREFIX_BYTES + length) return whole;
      const all = this.#chunks.length === 1 ? (this.#chunks[0] ?? chunk) : Buffer.concat(this.#chunks);
      const message = all.subarray(PREFIX_BYTES, PREFIX_BYTES + length);
      whole.push(all[0] === 1 ? gunzipSync(message) : message);
      const rest = all.subarray(PREFIX_BYTES + length);
      this.#chunks = rest.length === 0 ? [] : [rest];
      this.#bytes = rest.length;
    }
  }

  /** Bytes of a message that is not whole. */
  get unfinished(): number {
    return this.#bytes;
  }

  #length(): number | undefined {
    if (this.#bytes < PREFIX_BYTES) return undefined;
    let [first] = this.#chunks;
    if (first === undefined || first.length < PREFIX_BYTES) {
      first = Buffer.concat(this.#chunks);
      this.#chunks = [first];
    }
    const flag = first.readUInt8(0);
    if (flag > 1) throw new Error(`a message's compressed flag is ${flag}`);
    return first.readUInt32BE(1);
  }
}
