/**
 * Counts gRPC messages by their framing, for metering: what is in them is not looked at.
 */
export class MessageCounter {
  /** Messages that have begun. */
  messages = 0;
  /** Bytes of DATA, framing included. */
  bytes = 0;
  #headerBytes = 0;
  #length = 0;
  #remaining = 0;
  #lastEnd = 0;
  /** Ends before the last, in a ring. Most streams have one message, and no need of it. */
  #earlierEnds: number[] | undefined;

  /** Takes the next bytes of the stream, in any pieces. */
  push(chunk: Buffer): void {
    this.bytes += chunk.length;
    let at = 0;
    while (at < chunk.length) {
      if (this.#remaining > 0) {
        const step = Math.min(this.#remaining, chunk.length - at);
        this.#remaining -= step;
        at += step;
        if (this.#remaining === 0) this.#ended(this.bytes - chunk.length + at);
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
        if (this.#length === 0) this.#ended(this.bytes - chunk.length + at);
      }
    }
  }

  /** Takes bytes up to the end of the message that is under way, and no further. Returns how many it took; between messages none. */
  pushToEnd(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length && !this.atBoundary) {
      const step = this.#remaining > 0 ? Math.min(this.#remaining, chunk.length - at) : 1;
      this.push(chunk.subarray(at, at + step));
      at += step;
    }
    return at;
  }

  /** Whether a message ends at this byte of the stream. Of those before the last few it is no longer known: then it is false. */
  endsAt(bytes: number): boolean {
    return bytes === 0 || bytes === this.#lastEnd || this.#earlierEnds?.includes(bytes) === true;
  }

  /** True between messages: a stream that ends elsewhere was cut short. */
  get atBoundary(): boolean {
    return this.#headerBytes === 0 && this.#remaining === 0;
  }

  #ended(at: number): void {
    if (this.#lastEnd > 0) (this.#earlierEnds ??= [])[this.messages % REMEMBERED_ENDS] = this.#lastEnd;
    this.#lastEnd = at;
  }
}

/** Ends of messages that are remembered beside the last. */
const REMEMBERED_ENDS = 15;
/** Compressed-Flag and Message-Length (gRPC over HTTP/2, Length-Prefixed-Message). */
const FRAME_HEADER_BYTES = 5;
