/**
 * Counts gRPC messages by their framing, for metering: what is in them is not looked at.
 */
export class MessageCounter {
  /** Messages that have begun. */
  messages = 0;
  /** Bytes of DATA, framing included. */
  bytes = 0;
  /** Of those, the bytes up to the end of the last whole message. */
  wholeBytes = 0;
  #headerBytes = 0;
  #length = 0;
  #remaining = 0;

  /** Takes the next bytes of the stream, in any pieces. */
  push(chunk: Buffer): void {
    const before = this.bytes;
    this.bytes = before + chunk.length;
    let at = 0;
    while (at < chunk.length) {
      if (this.#remaining > 0) {
        const step = Math.min(this.#remaining, chunk.length - at);
        this.#remaining -= step;
        at += step;
        if (this.#remaining === 0) this.wholeBytes = before + at;
        continue;
      }
      const byte = chunk[at++] ?? 0;
      // The flag, then the length, big-endian.
      this.#length = this.#headerBytes === 0 ? 0 : this.#length * 0x100 + byte;
      this.#headerBytes += 1;
      if (this.#headerBytes === FRAME_HEADER_BYTES) {
        this.#headerBytes = 0;
        this.#remaining = this.#length;
        this.messages += 1;
        if (this.#length === 0) this.wholeBytes = before + at;
      }
    }
  }

  /** True between messages: a stream that ends elsewhere was cut short. */
  get atBoundary(): boolean {
    return this.#headerBytes === 0 && this.#remaining === 0;
  }
}

/** Compressed-Flag and Message-Length (gRPC over HTTP/2, Length-Prefixed-Message). */
const FRAME_HEADER_BYTES = 5;
