/**
 * The tables that make limits exact for the process and not per thread: plain `SharedArrayBuffer`s that the supervisor
 * creates once and every worker attaches.
 *
 * Five tables, all indexed by the tenant's slot, so that no tenant's traffic ever touches a cell of another:
 *
 * - `cells`: one block of 128 bytes or more per tenant: its lock, its rates' arrival times, and one count of calls in
 *   progress *per worker*. There is no total to drift: the total is the sum, and a dead worker's share is its own cell.
 * - `bytes`: bytes in flight, one Float64 per worker and tenant, written by that worker only. Worker-major, so that two
 *   workers never write to one cache line. `standing` is the same for what does not move on by itself: slabs, a call's records.
 *   `totals` has the sum of a worker's own cells of both, of all tables, and `accountLimits` what each tenant may have in flight.
 * - `callers`: one region per tenant, see `caller-buckets.ts`.
 * - `limits`: one region per tenant and one per organisation, see `limit-cells.ts`.
 * - `seats`: who runs and who waits, where calls are scheduled, see `seat-table.ts`.
 *
 * What is read and changed together (the arrival times, the caller table) is guarded by the tenant's lock. What has one
 * writer (counts, bytes) is not: an aligned 8-byte or 4-byte store is one instruction on x64 and arm64, the two platforms
 * whose runtime we pin, so a reader sees the old or the new number and never a mixture.
 *
 * Capacity is fixed when the process starts. Untouched pages of a SharedArrayBuffer are not resident, so it is generous:
 * `capacityFor` gives twice the tenants, at least 1024, and `workerCapacityFor` as many workers as the blocks have room for
 * anyhow, at least 18; a generation with more than that needs a restart. A sum over workers goes over those that there are,
 * not over all that fit: the supervisor keeps their span in the tables.
 */
import { randomBytes } from 'node:crypto';
import { systemClock } from '../kernel/clock.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { createLimitState, type FleetTerms, LimitCells, type LimitState } from './limit-cells.ts';
import { createSeatState, type SeatState, SeatTable } from './seat-table.ts';
import { isHeldBy, release } from './tenant-lock.ts';

/** Structured-clonable, to be passed through `workerData`. */
export interface SharedState {
  readonly tenantSlots: number;
  /** Workers that fit: their indexes are below it. */
  readonly workers: number;
  /** Power of two: places in each tenant's region of the caller table. */
  readonly callerSlotsPerTenant: number;
  /** Arrival times are kept relative to this, so that a Float64 holds them exactly (see `gcra.ts`). */
  readonly epoch: EpochMicros;
  /** Hex. Keys the hash of caller ids, so that nobody outside can choose where a caller falls. */
  readonly salt: string;
  readonly cells: SharedArrayBuffer;
  readonly bytes: SharedArrayBuffer;
  readonly standing: SharedArrayBuffer;
  readonly accountLimits: SharedArrayBuffer;
  /** One pair of cache lines per worker, so that no worker's charge waits for another's. */
  readonly totals: SharedArrayBuffer;
  readonly callers: SharedArrayBuffer;
  /** Use of limits, see `limit-cells.ts`. */
  readonly limits: LimitState;
  /** Who runs and who waits, see `seat-table.ts`. */
  readonly seats: SeatState;
  /** One Int32, see `setWorkerSpan`. On a page that nobody writes to while calls run. */
  readonly span: SharedArrayBuffer;
}

export interface SharedStateOptions {
  /** Tenants that fit, at most. */
  readonly tenantSlots: number;
  /** Data-plane threads that fit, 1..1024. */
  readonly workers: number;
  /**
   * Places in the caller tables of all tenants together (16 bytes each, not resident until used). Each tenant owns an equal
   * share, 64 to 8192, and may track half as many callers. Default: 8192 for each of up to 2048 tenants, less beyond.
   */
  readonly callerSlots?: number;
  /** Organisations that fit, at most. Default: none. */
  readonly organisationSlots?: number;
  /** Cells for the use of limits, of all tenants and organisations together (128 bytes each or more, not resident until used). */
  readonly limitCells?: number;
  readonly epoch?: EpochMicros;
  /** Absent: no limit holds over several sidecars. */
  readonly fleet?: FleetTerms;
  /** Hex. The same as before for what is in a journal to be found again. Default: a new one. */
  readonly salt?: string;
  /** Other tables with whose bytes these are to be summed; they have as many workers. */
  readonly summedWith?: SharedState;
}

/** The slots to create for so many tenants: room for as many again to come without a restart. */
export function capacityFor(tenants: number): number {
  return Math.max(1024, 2 * tenants);
}

/** The workers to create for when so many start: what a tenant's block holds without growing. */
export function workerCapacityFor(workers: number): number {
  return cellBytes(workers) / 4 - IN_PROGRESS;
}

/** Creates the tables, every bucket full and every count zero. Throws a RangeError for sizes that are not in range. */
export function createSharedState(options: SharedStateOptions): SharedState {
  const { tenantSlots, workers } = options;
  requireCount('tenantSlots', tenantSlots, 1 << 20);
  requireCount('workers', workers, 1024);
  const callerSlots = options.callerSlots ?? Math.min(tenantSlots * MAX_CALLER_SLOTS, 1 << 24);
  requireCount('callerSlots', callerSlots, 1 << 28);
  const share = 2 ** Math.floor(Math.log2(Math.max(1, callerSlots / tenantSlots)));
  const callerSlotsPerTenant = Math.min(MAX_CALLER_SLOTS, Math.max(MIN_CALLER_SLOTS, share));
  const span = new SharedArrayBuffer(4);
  const state: SharedState = {
    tenantSlots,
    workers,
    callerSlotsPerTenant,
    epoch: options.epoch ?? systemClock.now(),
    salt: options.salt ?? randomBytes(16).toString('hex'),
    cells: new SharedArrayBuffer(tenantSlots * cellBytes(workers)),
    bytes: new SharedArrayBuffer(tenantSlots * workers * 8),
    standing: new SharedArrayBuffer(tenantSlots * workers * 8),
    accountLimits: new SharedArrayBuffer(tenantSlots * 8),
    totals: options.summedWith?.totals ?? new SharedArrayBuffer(workers * TOTAL_BYTES),
    callers: new SharedArrayBuffer(tenantSlots * callerSlotsPerTenant * 16),
    limits: createLimitState({
      tenantSlots,
      organisationSlots: options.organisationSlots ?? 0,
      workers,
      cells: options.limitCells ?? MAX_LIMIT_CELLS,
      ...(options.fleet === undefined ? {} : { fleet: options.fleet }),
    }),
    seats: createSeatState(tenantSlots, workers, span),
    span,
  };
  setWorkerSpan(state, workers);
  const tables = attachSharedState(state, SUPERVISOR);
  for (let slot = 0; slot < tenantSlots; slot++) tables.resetTimes(slot);
  return state;
}

/**
 * Says that every worker's index is below `span`: sums go no further. Raised before a worker with a higher index is started, lowered
 * after the one with the highest has been released; all there is room for, until it is said.
 */
export function setWorkerSpan(state: SharedState, span: number): void {
  requireCount('span', span, state.workers);
  Atomics.store(new Int32Array(state.span), 0, span);
}

/** The tables as one thread sees them: `workerIndex` is 0 up to `workers` - 1, or `SUPERVISOR` to read and repair only. */
export function attachSharedState(state: SharedState, workerIndex: number): SharedTables {
  return new SharedTables(state, workerIndex);
}

/** Index of the thread that owns no counts. */
export const SUPERVISOR = -1;

/** What a worker held when it died. */
export interface ReleasedShare {
  readonly calls: number;
  readonly bytes: number;
}

/**
 * Returns a dead worker's leases and bytes, exactly, and breaks the locks that it held. To be called after the thread's
 * `exit` and before its index is given to another thread.
 *
 * A worker that died inside a lock may have left that tenant's caller table half rebuilt; it is emptied, and that tenant's
 * buckets start full.
 */
export function releaseWorker(state: SharedState, workerIndex: number): ReleasedShare {
  const tables = attachSharedState(state, SUPERVISOR);
  let calls = 0;
  let bytes = 0;
  let standing = 0;
  for (let slot = 0; slot < state.tenantSlots; slot++) {
    const ints = tables.cellBase(slot);
    const held = ints + IN_PROGRESS + workerIndex;
    const charged = workerIndex * state.tenantSlots + slot;
    calls += tables.ints[held] ?? 0;
    bytes += tables.bytes[charged] ?? 0;
    standing += tables.standing[charged] ?? 0;
    tables.ints[held] = 0;
    tables.bytes[charged] = 0;
    tables.standing[charged] = 0;
    if (isHeldBy(tables.ints, ints + LOCK, workerIndex)) {
      tables.resetTimes(slot);
      release(tables.ints, ints + LOCK);
    }
  }
  tables.limits.releaseWorker(workerIndex);
  new SeatTable(state.seats, SUPERVISOR).releaseWorker(workerIndex);
  const total = workerIndex * TOTAL_STRIDE;
  // Not to zero: what other tables have in it is given back with them.
  tables.totals[total] = (tables.totals[total] ?? 0) - bytes - standing;
  return { calls, bytes };
}

/** What a tenant has in progress on all workers. */
export interface TenantUsage {
  readonly callsInProgress: number;
  readonly bytesInFlight: number;
}

/** A tenant's usage at this moment. */
export function tenantUsage(state: SharedState, slot: number): TenantUsage {
  const tables = attachSharedState(state, SUPERVISOR);
  return { callsInProgress: tables.callsInProgress(slot), bytesInFlight: tables.bytesInFlight(slot) };
}

/** All that a tenant makes the process hold: bytes in flight, and what stands beside them (slabs, records of calls). */
export function tenantHeldBytes(state: SharedState, slot: number): number {
  return attachSharedState(state, SUPERVISOR).heldBytes(slot);
}

/** What all tenants together make the process hold, in these tables and those that they are summed with. */
export function totalHeldBytes(state: SharedState): number {
  return attachSharedState(state, SUPERVISOR).totalHeldBytes();
}

/** Whether a slot has calls, also such as wait, or anything held: while it has, it must not be given to another tenant. */
export function isSlotInUse(state: SharedState, slot: number): boolean {
  if (tenantUsage(state, slot).callsInProgress !== 0 || tenantHeldBytes(state, slot) !== 0) return true;
  const seats = new SeatTable(state.seats, SUPERVISOR);
  return seats.waiting(slot) !== 0 || seats.running(slot) !== 0;
}

/** Makes a slot that is not in use ready for another tenant: full buckets, no callers. Throws when it is in use. */
export function clearSlot(state: SharedState, slot: number): void {
  if (isSlotInUse(state, slot)) throw new RangeError(`tenant slot ${slot} is in use`);
  const tables = attachSharedState(state, SUPERVISOR);
  tables.resetTimes(slot);
  tables.limits.clear(tables.limits.tenantRegion(slot));
  new SeatTable(state.seats, SUPERVISOR).clear(slot);
}

export class SharedTables {
  readonly state: SharedState;
  readonly workerIndex: number;
  /** Int32 and Float64 views of `cells`; positions come from `cellBase`, `timeBase` and the constants below. */
  readonly ints: Int32Array;
  readonly times: Float64Array;
  readonly bytes: Float64Array;
  readonly standing: Float64Array;
  readonly accountLimits: Float64Array;
  readonly totals: Float64Array;
  /** Int32 and Float64 views of `callers`: entry `i` is key `[4i, 4i+1]` and arrival time `[2i+1]`. */
  readonly callerKeys: Int32Array;
  readonly callerTimes: Float64Array;
  readonly limits: LimitCells;
  readonly #intsPerCell: number;
  /** Read plainly: an atomic load costs as much as both sums of one worker, and a change need only be seen soon. */
  readonly #span: Int32Array;

  constructor(state: SharedState, workerIndex: number) {
    if (!Number.isInteger(workerIndex) || workerIndex < SUPERVISOR || workerIndex >= state.workers) {
      throw new RangeError(`worker index ${workerIndex} is not within 0..${state.workers - 1}`);
    }
    this.state = state;
    this.workerIndex = workerIndex;
    this.ints = new Int32Array(state.cells);
    this.times = new Float64Array(state.cells);
    this.bytes = new Float64Array(state.bytes);
    this.standing = new Float64Array(state.standing);
    this.accountLimits = new Float64Array(state.accountLimits);
    this.totals = new Float64Array(state.totals);
    this.callerKeys = new Int32Array(state.callers);
    this.callerTimes = new Float64Array(state.callers);
    this.limits = new LimitCells(state.limits);
    this.#intsPerCell = cellBytes(state.workers) / 4;
    this.#span = new Int32Array(state.span);
  }

  /** Position of a tenant's block in `ints`. Throws a RangeError when the slot is outside the tables. */
  cellBase(slot: number): number {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.state.tenantSlots) {
      throw new RangeError(`tenant slot ${slot} is not within 0..${this.state.tenantSlots - 1}`);
    }
    return slot * this.#intsPerCell;
  }

  /** Position of a tenant's block in `times`. */
  timeBase(slot: number): number {
    return this.cellBase(slot) / 2;
  }

  /** Workers that there are, see `setWorkerSpan`. */
  get workerSpan(): number {
    return this.#span[0] ?? 0;
  }

  /** Calls of the tenant in progress on all workers. */
  callsInProgress(slot: number): number {
    const first = this.cellBase(slot) + IN_PROGRESS;
    const span = this.#span[0] ?? 0;
    let calls = 0;
    for (let worker = 0; worker < span; worker++) calls += this.ints[first + worker] ?? 0;
    return calls;
  }

  /** Bytes of the tenant in flight on all workers. */
  bytesInFlight(slot: number): number {
    const { tenantSlots } = this.state;
    const end = (this.#span[0] ?? 0) * tenantSlots;
    let bytes = 0;
    for (let at = slot; at < end; at += tenantSlots) bytes += this.bytes[at] ?? 0;
    return bytes;
  }

  /** Bytes of the tenant in flight and standing, on all workers. */
  heldBytes(slot: number): number {
    let bytes = this.bytesInFlight(slot);
    const { tenantSlots } = this.state;
    const end = (this.#span[0] ?? 0) * tenantSlots;
    for (let at = slot; at < end; at += tenantSlots) bytes += this.standing[at] ?? 0;
    return bytes;
  }

  /** The sum over all workers, and over the tables that these are summed with. */
  totalHeldBytes(): number {
    let bytes = 0;
    const end = (this.#span[0] ?? 0) * TOTAL_STRIDE;
    for (let at = 0; at < end; at += TOTAL_STRIDE) bytes += this.totals[at] ?? 0;
    return bytes;
  }

  /** Makes both rates' buckets full and forgets the tenant's callers. For a slot that nobody uses, or whose lock is held. */
  resetTimes(slot: number): void {
    const times = this.timeBase(slot);
    for (const field of [TENANT_ARRIVAL, OVERFLOW_ARRIVAL, TENANT_TOLERANCE, CALLER_TOLERANCE, LAST_SWEEP]) {
      this.times[times + field] =
        field === TENANT_TOLERANCE || field === CALLER_TOLERANCE ? 0 : Number.NEGATIVE_INFINITY;
    }
    const ints = this.cellBase(slot);
    const size = this.ints[ints + CALLER_TABLE_SIZE] ?? 0;
    const first = slot * this.state.callerSlotsPerTenant;
    this.callerKeys.fill(0, first * 4, (first + size) * 4);
    this.ints[ints + CALLER_TABLE_SIZE] = MIN_CALLER_SLOTS;
    this.ints[ints + CALLER_COUNT] = 0;
  }
}

/** Fields of a tenant's block in `ints`. */
export const LOCK = 0;
export const CALLER_TABLE_SIZE = 1;
export const CALLER_COUNT = 2;
/** First of one count per worker. */
export const IN_PROGRESS = 14;

/** Fields of a tenant's block in `times` (the first two places are the ints above). */
export const TENANT_ARRIVAL = 2;
/** Bucket size, in time, under which `TENANT_ARRIVAL` was written: how a changed limit is noticed. */
export const TENANT_TOLERANCE = 3;
/** The bucket that callers share who found no place of their own. */
export const OVERFLOW_ARRIVAL = 4;
export const CALLER_TOLERANCE = 5;
export const LAST_SWEEP = 6;

/** A worker's total in `totals`, and from one to the next: two cache lines, as `cellBytes` says. */
const TOTAL_BYTES = 128;
export const TOTAL_STRIDE = TOTAL_BYTES / 8;

export const MIN_CALLER_SLOTS = 64;
const MAX_CALLER_SLOTS = 8192;
/** At most 512 MiB of address space, of which what is used becomes memory. */
const MAX_LIMIT_CELLS = 1 << 22;

/** Two cache lines at least, which hold 18 workers: neighbouring tenants' locks neither share a line nor a prefetched pair. */
function cellBytes(workers: number): number {
  return Math.ceil((IN_PROGRESS * 4 + workers * 4) / 128) * 128;
}

function requireCount(name: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 1 || value > max) {
    throw new RangeError(`${name} is ${value}, not an integer within 1..${max}`);
  }
}
