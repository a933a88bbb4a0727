/**
 * Ends calls whose deadline has passed. A timer per call would cost more than the call; so deadlines are gathered in slots of
 * 10 ms, and one timer runs while there are any. A call ends at most 10 ms after its deadline, never before it.
 */
import type { EpochMicros } from '../kernel/ids.ts';

/** Something with a deadline. */
export interface Mortal {
  /** Called once, after the deadline. */
  expire(): void;
}

/**
 * One call's deadline. A dead table of these may lie in V8's old space for a while and keep what it holds; so it holds this small
 * record, which lets go of the call as soon as that ends.
 */
export interface Watch {
  mortal: Mortal | undefined;
  readonly slot: number;
}

const SLOT_MICROS = 10_000;

export class Deadlines {
  readonly #slots = new Map<number, Set<Watch>>();
  readonly #now: () => EpochMicros;
  #timer: NodeJS.Timeout | undefined;
  /** The last slot that was emptied. */
  #emptied = 0;

  constructor(now: () => EpochMicros) {
    this.#now = now;
  }

  /** Watches over `mortal` until `deadline`. */
  watch(mortal: Mortal, deadline: EpochMicros): Watch {
    if (this.#timer === undefined) this.#start();
    const slot = Math.max(Math.ceil(deadline / SLOT_MICROS), this.#emptied + 1);
    let members = this.#slots.get(slot);
    if (members === undefined) this.#slots.set(slot, (members = new Set()));
    const watch = { mortal, slot };
    members.add(watch);
    return watch;
  }

  /** Stops watching: the call has ended by itself. */
  forget(watch: Watch): void {
    watch.mortal = undefined;
    const members = this.#slots.get(watch.slot);
    if (members?.delete(watch) === true && members.size === 0) this.#slots.delete(watch.slot);
  }

  #start(): void {
    this.#emptied = Math.floor(this.#now() / SLOT_MICROS);
    this.#timer = setInterval(() => this.#tick(), SLOT_MICROS / 1000).unref();
  }

  #tick(): void {
    const due = Math.floor(this.#now() / SLOT_MICROS);
    while (this.#emptied < due) {
      const slot = ++this.#emptied;
      const members = this.#slots.get(slot);
      if (members === undefined) continue;
      this.#slots.delete(slot);
      for (const watch of members) watch.mortal?.expire();
    }
    if (this.#slots.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}

/**
 * How long the response message that is under way, and what the client has yet to read, may take when what a call was admitted by has
 * ended: long enough for a message that is moving, short enough that a caller without credentials is gone within a second.
 */
export const LAPSE_GRACE_MS = 500;

/** The time that a call has: what its client asked for, and no more than the limit. Undefined: all the time in the world. */
export function clampTimeout(askedMicros: number | undefined, maxMs: number | undefined): number | undefined {
  if (maxMs === undefined) return askedMicros;
  return Math.min(askedMicros ?? Number.POSITIVE_INFINITY, maxMs * 1_000);
}
