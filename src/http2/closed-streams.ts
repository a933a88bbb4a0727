/**
 * What is remembered of streams that are gone, in bounded space, to tell late frames from wrong ones (RFC 9113 §5.1).
 *
 * A peer may go on sending on a stream that we reset until it hears of it: ignored. On a stream that it ended itself it may
 * not: STREAM_CLOSED.
 */
export class ClosedStreams {
  readonly #resetByUs = new Set<number>();
  #ended: Uint32Array = new Uint32Array(ENDED_REMEMBERED);
  #nextEnded = 0;

  /** We reset the stream. */
  addReset(id: number): void {
    this.#resetByUs.add(id);
    if (this.#resetByUs.size <= RESETS_REMEMBERED) return;
    for (const oldest of this.#resetByUs) {
      this.#resetByUs.delete(oldest);
      return;
    }
  }

  /** The stream ended, or the peer reset it. */
  addEnded(id: number): void {
    this.#ended[this.#nextEnded] = id;
    this.#nextEnded = (this.#nextEnded + 1) % ENDED_REMEMBERED;
  }

  wasResetByUs(id: number): boolean {
    return this.#resetByUs.has(id);
  }

  hasEnded(id: number): boolean {
    return this.#ended.includes(id);
  }
}

/** As many as can be in flight when a whole connection's streams are reset at once. */
const RESETS_REMEMBERED = 1024;
const ENDED_REMEMBERED = 64;
