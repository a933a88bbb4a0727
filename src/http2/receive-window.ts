/**
 * What a peer may still send, on a stream or on the connection (RFC 9113 §6.9). The peer gets room back only for bytes that
 * were credited, in steps of half the window: seldom enough to cost nothing, soon enough never to stall it.
 */
export class ReceiveWindow {
  #sizeBytes: number;
  #availableBytes: number;
  #creditedBytes = 0;

  /** `availableBytes` differs from the size while the peer has not yet heard of the size. */
  constructor(sizeBytes: number, availableBytes: number = sizeBytes) {
    this.#sizeBytes = sizeBytes;
    this.#availableBytes = availableBytes;
  }

  /** Counts bytes that came. False when the peer had no right to send them. */
  take(bytes: number): boolean {
    this.#availableBytes -= bytes;
    return this.#availableBytes >= 0;
  }

  /** Counts bytes that have moved on. Returns the increment to announce, or 0 for not yet. */
  credit(bytes: number): number {
    this.#creditedBytes += bytes;
    if (this.#creditedBytes * 2 < this.#sizeBytes) return 0;
    const increment = this.#creditedBytes;
    this.#creditedBytes = 0;
    this.#availableBytes += increment;
    return increment;
  }

  /**
   * The size changes (SETTINGS_INITIAL_WINDOW_SIZE), and what the peer may send with it, by `shiftBytes`; it may become
   * negative (RFC 9113 §6.9.2).
   */
  resize(sizeBytes: number, shiftBytes: number): void {
    this.#sizeBytes = sizeBytes;
    this.#availableBytes += shiftBytes;
  }
}
