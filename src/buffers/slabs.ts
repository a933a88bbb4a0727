/**
 * Memory for output, 64 KiB at a time: each tenant keeps and reuses its own slabs; what it has too many of goes, zeroed, to
 * the thread's reserve, from which every tenant takes.
 *
 * Never from Node's shared pool, where a neighbour's bytes lie in the same ArrayBuffer. A slab is zeroed when it is made
 * (the allocator may hand out memory that was freed with another tenant's bytes in it) and whenever it leaves its tenant,
 * also when it is dropped, since the allocator may give that memory to anyone.
 *
 * A tenant pays for its slabs for as long as they are its, lent or idle.
 */
import type { Standing } from '../kernel/standing.ts';

/** Size of every slab: one write of a turn for all but bulk transfers. */
export const SLAB_BYTES = 64 * 1024;

/** Slabs kept by a tenant while it does not use them: 1 MiB. More than a handful of connections need at once. */
const MAX_IDLE_SLABS_PER_TENANT = 16;

/** Slabs that wait in a thread's reserve: 16 MiB. Beyond it the allocator has them back. */
const MAX_IDLE_SLABS_IN_RESERVE = 256;

/** One per thread. */
export class SlabReserve {
  readonly #idle: Buffer[] = [];
  readonly #maxIdle: number;

  constructor(maxIdle: number = MAX_IDLE_SLABS_IN_RESERVE) {
    this.#maxIdle = maxIdle;
  }

  get idleSlabs(): number {
    return this.#idle.length;
  }

  /** A slab of zeros. */
  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES).fill(0);
  }

  /** Zeroes the slab, and keeps it if there is room. */
  give(slab: Buffer): void {
    slab.fill(0);
    if (this.#idle.length < this.#maxIdle) this.#idle.push(slab);
  }
}

/** One per tenant and thread; what a connection's output needs of `take` and `give`. */
export class Slabs {
  readonly #reserve: SlabReserve;
  readonly #idle: Buffer[] = [];
  readonly #maxIdle: number;
  /** The tenant, which pays. */
  readonly standing: Standing | undefined;
  readonly #lent = new WeakSet<Buffer>();
  #closed = false;

  constructor(reserve: SlabReserve, maxIdle: number = MAX_IDLE_SLABS_PER_TENANT, standing?: Standing) {
    this.#reserve = reserve;
    this.#maxIdle = maxIdle;
    this.standing = standing;
  }

  /** A slab of `SLAB_BYTES`, holding zeros or what this tenant left in it. */
  take(): Buffer {
    const slab = this.#idle.pop() ?? this.#takeFromReserve();
    this.#lent.add(slab);
    return slab;
  }

  /** Takes a slab back. Throws a RangeError for one that is not out on loan: given twice, or another tenant's. */
  give(slab: Buffer): void {
    if (!this.#lent.delete(slab)) throw new RangeError('slab was not taken from here, or was given back before');
    if (!this.#closed && this.#idle.length < this.#maxIdle) this.#idle.push(slab);
    else this.#giveToReserve(slab);
  }

  /** Hands every idle slab to the reserve: there is too little memory. */
  trim(): void {
    for (const slab of this.#idle.splice(0)) this.#giveToReserve(slab);
  }

  /** The same for good: the tenant has gone or is idle. Slabs still out follow when they come back. */
  close(): void {
    this.#closed = true;
    this.trim();
  }

  #takeFromReserve(): Buffer {
    this.standing?.hold(SLAB_BYTES);
    return this.#reserve.take();
  }

  #giveToReserve(slab: Buffer): void {
    this.#reserve.give(slab);
    this.standing?.letGo(SLAB_BYTES);
  }
}
