/**
 * Judges running calls again, some at a time: ten thousand streams must not keep the calls of other tenants waiting while they are
 * looked through, and are through within a second all the same.
 */

import type { TenantId } from '../kernel/ids.ts';

/** Whose calls are judged again: of those who have come by this certificate (SHA-256, lower-case hex), or of the whole tenant. */
export interface Reviewable {
  readonly tenant: TenantId;
  readonly certificate?: string;
}

/** Something that is judged again. */
export interface Reviewed {
  review(): void;
}

/** A turn of the event loop gives so much to a review; another call may wait so long for it. */
const SLICE_MS = 5;

export class Review {
  readonly #waiting: Iterator<Reviewed>[] = [];
  #scheduled = false;

  /** Has each of these judged: the first at once, and the last when its turn comes. */
  begin(calls: Iterable<Reviewed>): void {
    this.#waiting.push(calls[Symbol.iterator]());
    if (!this.#scheduled) this.#slice();
  }

  #slice(): void {
    this.#scheduled = false;
    const until = performance.now() + SLICE_MS;
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      for (let next = first.next(); next.done !== true; next = first.next()) {
        next.value.review();
        if (performance.now() >= until) return this.#later();
      }
      this.#waiting.shift();
    }
  }

  #later(): void {
    this.#scheduled = true;
    setImmediate(() => this.#slice());
  }
}
