/**
 * How a limit that holds over several sidecars is counted in one of them: against what the main thread has leased of it; and while
 * nothing is leased, against this sidecar's own share.
 *
 * Beneath is the meter that the limit would have here alone. It counts all that this sidecar takes, leased or not, and is what the
 * journal keeps. So without a lease there is room only up to the share, and what was used before counts towards it.
 */
import type { LimitBound } from '../config/quota-config.ts';
import {
  BUDGET,
  FROM,
  type LeaseCells,
  LOCAL_TAKEN,
  NEED,
  REFUSALS,
  RESET_AT,
  SLOTS,
  TAKEN,
  UNTIL,
} from './lease-cells.ts';
import type { CellKey, LimitCells } from './limit-cells.ts';
import { type Meter, meterOf, type Promised } from './meter.ts';

/** What is told to who comes between two leases: the next one is there by then. */
export const NEXT_LEASE_MICROS = 50_000;

export class FleetMeter implements Meter {
  readonly kind: number;
  readonly signature: string;
  readonly #leases: LeaseCells;
  readonly #limit: CellKey;
  readonly #cells: LimitCells;
  readonly #bound: LimitBound;
  readonly #epoch: number;
  #local: Meter;
  #share: number;
  /** So much of the limit is not for this sidecar while nothing is leased. */
  #withheld = 0;
  readonly #amount: number;
  /** A rate's tokens come from the lease alone, or from the share alone. */
  readonly #isRate: boolean;

  constructor(bound: LimitBound, cells: LimitCells, leases: LeaseCells, limit: CellKey, epoch: number) {
    this.#leases = leases;
    this.#limit = limit;
    this.#isRate = bound.kind === 'rate';
    this.#cells = cells;
    this.#bound = bound;
    this.#epoch = epoch;
    this.#share = leases.localShare;
    this.#local = this.#alone();
    this.#amount = 'amount' in bound ? bound.amount : Number.POSITIVE_INFINITY;
    this.kind = this.#local.kind;
    this.signature = this.#local.signature;
  }

  wait(word: number, amount: number, now: number): number {
    const leases = this.#leases;
    const block = leases.blockOf(word);
    if (leases.localShare !== this.#share) {
      this.#share = leases.localShare;
      this.#local = this.#alone();
    }
    // Also when there is a lease: it comes to the present window.
    const alone = this.#local.wait(word, amount + this.#withheld, now);
    const slot = leases.slotAt(block, now);
    if (slot === -1) {
      if (alone > 0) this.#refused(word, block, amount);
      return alone;
    }
    if ((leases.words[slot + TAKEN] ?? 0) + amount <= (leases.words[slot + BUDGET] ?? 0)) return 0;
    if (amount > this.#amount) return Number.POSITIVE_INFINITY;
    this.#refused(word, block, amount);
    const reset = leases.words[block + RESET_AT] ?? 0;
    return reset > now ? reset - now : NEXT_LEASE_MICROS;
  }

  /** What this sidecar holds, and what the store had left for anybody when it was asked last. */
  left(word: number, now: number): number {
    const leases = this.#leases;
    const block = leases.blockOf(word);
    const slot = leases.slotAt(block, now);
    if (slot === -1) return Math.max(0, this.#local.left(word, now) - this.#withheld);
    return Math.max(0, (leases.words[slot + BUDGET] ?? 0) - (leases.words[slot + TAKEN] ?? 0)) + leases.freeIn(block);
  }

  renews(word: number, now: number): number {
    return this.#local.renews(word, now);
  }

  take(word: number, amount: number, now: number): void {
    const leases = this.#leases;
    const block = leases.blockOf(word);
    const slot = leases.slotAt(block, now);
    const at = slot === -1 ? block + LOCAL_TAKEN : slot + TAKEN;
    leases.words[at] = (leases.words[at] ?? 0) + amount;
    if (slot === -1 || !this.#isRate) this.#local.take(word, amount, now);
    leases.announce(word, block, this.#limit);
  }

  promise(word: number, amount: number): Promised | undefined {
    return this.#local.promise(word, amount);
  }

  promised(word: number, amount: number): void {
    this.#local.promised(word, amount);
  }

  /** What was taken without a lease is not given back to the others: nobody knows any more in which window it was. */
  giveBack(word: number, amount: number, takenAt: number): void {
    this.#local.giveBack(word, amount, takenAt);
    if (this.#isRate) return;
    const leases = this.#leases;
    const block = leases.blockOf(word);
    for (const slot of SLOTS) {
      const at = block + slot;
      if (takenAt < (leases.words[at + FROM] ?? 0) || takenAt >= (leases.words[at + UNTIL] ?? 0)) continue;
      leases.words[at + TAKEN] = (leases.words[at + TAKEN] ?? 0) - amount;
      return;
    }
  }

  #alone(): Meter {
    const bound = this.#bound;
    this.#withheld = 'amount' in bound ? bound.amount - shareOf(bound.amount, this.#share) : 0;
    return meterOf(localBound(bound, this.#share), this.#cells, this.#epoch, 0);
  }

  #refused(word: number, block: number, amount: number): void {
    const { words } = this.#leases;
    words[block + NEED] = amount;
    words[block + REFUSALS] = (words[block + REFUSALS] ?? 0) + 1;
    this.#leases.announce(word, block, this.#limit);
  }
}

/** What of an amount is a sidecar's own share. */
export function shareOf(amount: number, localShare: number): number {
  return Math.floor(amount * localShare);
}

/** A rate of nothing cannot be said: then one call a day. */
const SLOWEST_PER_SECOND = 1 / 86_400;

function localBound(bound: LimitBound, localShare: number): LimitBound {
  if (bound.kind !== 'rate') return bound;
  return {
    kind: 'rate',
    callsPerSecond: Math.max(SLOWEST_PER_SECOND, bound.callsPerSecond * localShare),
    burst: Math.max(localShare === 0 ? 0 : 1, Math.floor(bound.burst * localShare)),
  };
}
