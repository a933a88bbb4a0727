/**
 * A tenant's byte account: how many of its bytes are in flight in the process, against its hard limit.
 *
 * Each worker writes its own cell, so a charge is an addition without atomics, and a dead worker's share can be returned
 * exactly. Whoever reads from a tenant's socket charges; whoever has passed the bytes on releases. A full account makes
 * nothing fail: the tenant's streams, and only they, get no more window until it is relieved.
 *
 * What stands there and does not move on by itself (slabs, the records of calls) is held, not charged: it counts towards the
 * process-wide ceiling (`ceiling.ts`) and not towards the account's limit, where it would keep the rest from moving on, too.
 */
import type { Standing } from '../kernel/standing.ts';
import { type SharedTables, TOTAL_STRIDE } from '../quota/shared-state.ts';
import { Pressure } from './pressure.ts';

/** How often waiters are looked at: another thread's release is not announced, so it is polled for while somebody waits. */
const RELIEF_POLL_MS = 5;

export class ByteAccount implements Standing {
  readonly #tables: SharedTables;
  readonly #pressure: Pressure;
  readonly #slot: number;
  readonly #own: number;
  readonly #total: number;
  #limitBytes: number;
  #waiters = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  #reliefQueued = false;
  readonly #relieve = (): void => {
    this.#reliefQueued = false;
    const waiting = this.#waiters;
    if (waiting.size === 0 || this.full) return;
    this.#waiters = new Set();
    this.#rest();
    for (const callback of waiting) callback();
  };

  /** Throws a RangeError when the slot is outside the tables, or the thread is not a worker. Without `pressure` there is no ceiling. */
  constructor(tables: SharedTables, tenantSlot: number, limitBytes: number, pressure: Pressure = new Pressure()) {
    tables.cellBase(tenantSlot);
    if (tables.workerIndex < 0) throw new RangeError('only a worker can charge an account');
    this.#tables = tables;
    this.#pressure = pressure;
    this.#slot = tenantSlot;
    this.#own = tables.workerIndex * tables.state.tenantSlots + tenantSlot;
    this.#total = tables.workerIndex * TOTAL_STRIDE;
    this.#limitBytes = limitBytes;
    tables.accountLimits[tenantSlot] = limitBytes;
  }

  /** Adds bytes that this thread has read and not yet passed on. Never refuses: the bytes are already here. */
  charge(bytes: number): void {
    const cells = this.#tables.bytes;
    cells[this.#own] = (cells[this.#own] ?? 0) + bytes;
    this.#add(bytes);
  }

  /** Takes off bytes that have moved on. Throws a RangeError when this thread had not charged so many: a bookkeeping error. */
  release(bytes: number): void {
    this.#takeOff(this.#tables.bytes, bytes);
    if (this.#waiters.size > 0) this.#queueRelief();
  }

  /** Adds memory of this thread that stands here for the tenant. */
  hold(bytes: number): void {
    const cells = this.#tables.standing;
    cells[this.#own] = (cells[this.#own] ?? 0) + bytes;
    this.#add(bytes);
  }

  /** Takes off memory that is free again. Throws as `release` does. */
  letGo(bytes: number): void {
    this.#takeOff(this.#tables.standing, bytes);
  }

  /** True at the limit and above, and while the ceiling gives the tenant no more. */
  get full(): boolean {
    return this.#pressure.squeezed?.has(this.#slot) === true || this.used >= this.#limitBytes;
  }

  /** Bytes in flight on all threads. */
  get used(): number {
    return this.#tables.bytesInFlight(this.#slot);
  }

  get limitBytes(): number {
    return this.#limitBytes;
  }

  /** Changes the limit (a new generation); a raise relieves waiters. */
  setLimit(limitBytes: number): void {
    this.#limitBytes = limitBytes;
    this.#tables.accountLimits[this.#slot] = limitBytes;
    if (this.#waiters.size > 0) this.#queueRelief();
  }

  /**
   * Calls back once, on this thread, when usage is below the limit; in a microtask or timer, never from within `release` or
   * this call. A callback that finds the account full again waits anew.
   */
  whenRelieved(callback: () => void): void {
    this.#waiters.add(callback);
    this.#queueRelief();
    this.#timer ??= setInterval(this.#relieve, RELIEF_POLL_MS).unref();
  }

  /** Who was to be called back is not interested any more: an account may stay full for ever, and what waits for it with it. */
  forget(callback: () => void): void {
    if (this.#waiters.delete(callback) && this.#waiters.size === 0) this.#rest();
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #add(bytes: number): void {
    const { totals } = this.#tables;
    const total = (totals[this.#total] ?? 0) + bytes;
    totals[this.#total] = total;
    if (total >= this.#pressure.alarmAtBytes) this.#pressure.ring();
  }

  #takeOff(cells: Float64Array, bytes: number): void {
    const left = (cells[this.#own] ?? 0) - bytes;
    if (left < 0) throw new RangeError(`released ${-left} bytes more than were charged to slot ${this.#slot}`);
    cells[this.#own] = left;
    const { totals } = this.#tables;
    totals[this.#total] = (totals[this.#total] ?? 0) - bytes;
  }

  /** A microtask, so that no connection is entered from within another's callback; still in the same turn. */
  #queueRelief(): void {
    if (this.#reliefQueued) return;
    this.#reliefQueued = true;
    queueMicrotask(this.#relieve);
  }
}
