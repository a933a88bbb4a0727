/**
 * Ends the calls of one connection when their leases do. There is one timer for a connection, set to the first end of all: a call
 * that begins costs a comparison, since nearly all calls end long before their leases.
 */
import type { EpochMicros } from '../kernel/ids.ts';
import type { Leased } from './call-boundary.ts';

/** A timer is set for no longer, so that those of many connections share few lists, and none overflows. */
const MAX_WAIT_MS = 60_000;

export class LeaseWatch {
  readonly #now: () => EpochMicros;
  readonly #calls: () => Iterable<Leased>;
  /** No call's lease ends before it. */
  #next = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  /** `calls`: those that run on the connection now. */
  constructor(now: () => EpochMicros, calls: () => Iterable<Leased>) {
    this.#now = now;
    this.#calls = calls;
  }

  /** A call runs whose lease ends then, in microseconds; Infinity: never. */
  note(until: number): void {
    if (until >= this.#next) return;
    this.#next = until;
    this.#arm();
  }

  /** The connection has ended. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#next = Number.NEGATIVE_INFINITY;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const waitMs = Math.ceil((this.#next - this.#now()) / 1000);
    this.#timer = setTimeout(() => this.#look(), Math.min(Math.max(waitMs, 0), MAX_WAIT_MS)).unref();
  }

  #look(): void {
    const now = this.#now();
    if (now < this.#next) return this.#arm();
    let next = Number.POSITIVE_INFINITY;
    for (const call of this.#calls()) {
      const { lease } = call;
      if (lease === undefined) continue;
      if (now >= lease.until) call.lapse(lease.denial);
      else if (lease.until < next) next = lease.until;
    }
    this.#next = Number.POSITIVE_INFINITY;
    this.note(next);
  }
}
