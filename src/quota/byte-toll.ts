/**
 * What the messages of one call pay in one direction: each its whole length, as its prefix declares it, before any of it goes on. What of the
 * last one never came is given back when the call ends.
 */
import type { Denial } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';

/** Where it is paid: the quota gate, with its locks. */
export interface TollHouse {
  /** Takes so many bytes, or says why not. */
  take(bytes: number, now: EpochMicros): Denial | undefined;
  /** Gives so many back that were taken then. */
  giveBack(bytes: number, takenAt: EpochMicros): void;
}

export class ByteToll {
  readonly #house: TollHouse;
  /** Of the message that was paid last. */
  #bytes = 0;
  #paidAt: EpochMicros | undefined;

  constructor(house: TollHouse) {
    this.#house = house;
  }

  /** Pays for a message, or says why it may not go on: then nothing was paid. */
  pay(bytes: number, now: EpochMicros): Denial | undefined {
    const denial = this.#house.take(bytes, now);
    this.#bytes = denial === undefined ? bytes : 0;
    this.#paidAt = now;
    return denial;
  }

  /** The call is over, and so much of its last message has not come. Once. */
  settle(missingBytes: number): void {
    const bytes = Math.min(missingBytes, this.#bytes);
    this.#bytes = 0;
    if (bytes > 0 && this.#paidAt !== undefined) this.#house.giveBack(bytes, this.#paidAt);
  }
}
