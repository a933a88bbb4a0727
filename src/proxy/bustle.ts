/**
 * Whether calls run on a listener, as somebody sees it who asks now and then: one who asks between two short calls is told so as well.
 */
import type { Traffic } from './session.ts';

/** The last call was so long ago at least, in milliseconds, when nobody is disturbed any more. */
export const LULL_MS = 100;

export class Bustle {
  readonly #traffic: Traffic;
  #begun = 0;
  #seenAt = Number.NEGATIVE_INFINITY;

  constructor(traffic: Traffic) {
    this.#traffic = traffic;
  }

  /** Whether a call runs, or one has begun since it was asked last, or when it was asked within the last while. */
  isThere(nowMs: number): boolean {
    const { running, begun } = this.#traffic;
    if (running > 0 || begun !== this.#begun) {
      this.#begun = begun;
      this.#seenAt = nowMs;
    }
    return nowMs - this.#seenAt < LULL_MS;
  }
}
