/**
 * Where calls wait for their turn, in one worker: lines of one tenant and class each, first come first served. Whose turn it is,
 * of all workers' lines, `seat-table.ts` says; here is who stands in them.
 *
 * Nothing runs while nobody waits. While somebody does, a timer looks for those who have waited too long and for seats that a
 * worker left behind that died, and another worker that gives a seat to a call of this one wakes it.
 */
import type { SchedulingConfig } from '../config/scheduling-config.ts';
import { type Denial, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { MAX_CLASSES } from '../kernel/priority.ts';
import { ok, type Result } from '../kernel/result.ts';
import { type SeatAnswer, SeatTable, type SeatTerms, type TenantTerms } from '../quota/seat-table.ts';
import type { SharedTables } from '../quota/shared-state.ts';

/** A call that asks for a seat. Neither may throw; one of them is called, once, unless the ticket leaves before. */
export interface Applicant {
  seated(seat: Seat): void;
  unseated(denial: Denial): void;
}

/** How often those who have waited too long are looked for. */
const LOOK_EVERY_MS = 50;
/** What is told to who cannot be told better, and the longest that is told. */
const MIN_RETRY_MS = 50;
const MAX_RETRY_MS = 60_000;

export class TurnQueue {
  readonly #table: SeatTable;
  readonly #now: () => number;
  readonly #lines = new Map<number, Set<Ticket>>();
  #terms: SeatTerms = NO_TERMS;
  #maxWaitMicros = Number.POSITIVE_INFINITY;
  #waiting = 0;
  #timer: NodeJS.Timeout | undefined;
  #armed = false;
  /** The wake-up word, as of the last look. */
  #seen = 0;
  #claiming = false;

  constructor(tables: SharedTables, now: () => EpochMicros) {
    this.#table = new SeatTable(tables.state.seats, tables.workerIndex);
    this.#now = () => now() - tables.state.epoch;
  }

  /** Calls of this worker that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Whether calls wait for their turn at all. */
  get isInUse(): boolean {
    return this.#terms !== NO_TERMS;
  }

  /** What holds from now on for all tenants; undefined: who waits goes on as its tenant's own limit lets it. */
  configure(scheduling: SchedulingConfig | undefined): void {
    this.#maxWaitMicros = (scheduling?.maxWaitMs ?? Number.POSITIVE_INFINITY) * 1_000;
    this.#terms =
      scheduling === undefined
        ? NO_TERMS
        : {
            seats: scheduling.concurrentCalls ?? Number.POSITIVE_INFINITY,
            maxQueued: scheduling.maxQueuedCalls,
            maxQueuedPerTenant: scheduling.maxQueuedCallsPerTenant,
            classWeights: scheduling.classes.map(({ weight }) => weight),
          };
    if (this.#waiting > 0) this.#deal();
  }

  /** What holds for a tenant from now on. */
  setTenant(tenant: TenantTerms): void {
    this.#table.setTenant(tenant);
    if (this.#waiting > 0) this.#deal();
  }

  /** A seat, or a place in the line, or why there is neither. `leftMicros`: until the call's deadline; Infinity: it has none. */
  ask(
    applicant: Applicant,
    tenant: TenantTerms,
    classIndex: number,
    leftMicros: number,
  ): Result<Seat, Denial> | Ticket {
    const now = this.#now();
    const answer = this.#table.ask(tenant, classIndex, leftMicros, this.#terms, now);
    if (answer.at === 'seat') return ok(this.#seat(tenant.slot, now));
    if (answer.at !== 'queue') return deny(denialOf(answer, leftMicros));
    const line = lineOf(tenant.slot, classIndex);
    const ticket = new Ticket(this, applicant, line, now);
    const waiting = this.#lines.get(line);
    if (waiting === undefined) this.#lines.set(line, new Set([ticket]));
    else waiting.add(ticket);
    this.#waiting += 1;
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
    this.#arm();
    return ticket;
  }

  /** It waits no longer. */
  quit(ticket: Ticket): void {
    if (!this.#remove(ticket)) return;
    const { slot, classIndex, line } = ticket;
    if (this.#table.quit(slot, classIndex, this.#firstSince(line), this.#terms)) this.#claim();
  }

  #seat(slot: number, since: number): Seat {
    return new SeatEvidence(() => {
      const now = this.#now();
      if (this.#table.free(slot, now - since, this.#terms, now)) this.#claim();
    });
  }

  #remove(ticket: Ticket): boolean {
    const line = this.#lines.get(ticket.line);
    if (line?.delete(ticket) !== true) return false;
    if (line.size === 0) this.#lines.delete(ticket.line);
    this.#waiting -= 1;
    if (this.#waiting > 0) return true;
    clearInterval(this.#timer);
    this.#timer = undefined;
    return true;
  }

  #firstSince(line: number): number | undefined {
    const [first] = this.#lines.get(line) ?? [];
    return first?.since;
  }

  #deal(): void {
    this.#table.deal(this.#terms);
    this.#claim();
  }

  /**
   * Hands out the seats that were given to calls of this worker, when what is being done is done: a connection that ends gives back the
   * seats of its calls one by one, and those of its calls that wait are not to have them; nor is a call to have one that has yet to hear
   * that it waits.
   */
  #claim(): void {
    if (this.#claiming) return;
    this.#claiming = true;
    setImmediate(() => {
      this.#claiming = false;
      for (let seated = this.#next(); seated !== undefined; seated = this.#next())
        seated.applicant.seated(this.#seat(seated.slot, this.#now()));
    });
  }

  #next(): Ticket | undefined {
    for (const line of this.#lines.values()) {
      const [first, second] = line;
      if (first === undefined || !this.#table.claim(first.slot, first.classIndex, second?.since)) continue;
      this.#remove(first);
      return first;
    }
    return undefined;
  }

  #look(): void {
    const late = this.#now() - this.#maxWaitMicros;
    for (const line of [...this.#lines.values()])
      for (const ticket of line) {
        if (ticket.since > late) break;
        this.quit(ticket);
        const waitMs = (this.#now() - ticket.since) / 1_000;
        ticket.applicant.unseated({
          kind: 'queue_too_slow',
          scope: this.#table.waitsForAll(ticket.slot) ? 'all' : 'tenant',
          waitMs,
          leftMs: this.#maxWaitMicros / 1_000,
          retryAfterMs: retryMs(waitMs),
        });
      }
    this.#deal();
  }

  #arm(): void {
    if (this.#armed || this.#waiting === 0) return;
    const { ints, at } = this.#table.wakeWord;
    const woken = Atomics.waitAsync(ints, at, this.#seen);
    this.#armed = true;
    const look = (): void => {
      this.#armed = false;
      this.#seen = Atomics.load(ints, at);
      this.#claim();
      this.#arm();
    };
    if (woken.async) void woken.value.then(look);
    else queueMicrotask(look);
  }
}

/** A place in a line. */
export class Ticket {
  readonly applicant: Applicant;
  readonly line: number;
  /** When it came, in microseconds. */
  readonly since: number;
  readonly #queue: TurnQueue;

  constructor(queue: TurnQueue, applicant: Applicant, line: number, since: number) {
    this.#queue = queue;
    this.applicant = applicant;
    this.line = line;
    this.since = since;
  }

  get slot(): number {
    return Math.floor(this.line / MAX_CLASSES);
  }

  get classIndex(): number {
    return this.line % MAX_CLASSES;
  }

  /** The call does not want it any more. Later calls do nothing. */
  leave(): void {
    this.#queue.quit(this);
  }
}

/** Evidence that it is a call's turn: only `TurnQueue` makes one, and `UNSCHEDULED` for tenants whose calls do not wait. Owes `release`. */
class SeatEvidence {
  readonly #sealed: true = true;
  #free: (() => void) | undefined;

  constructor(free: (() => void) | undefined) {
    this.#free = free;
  }

  static isGenuine(value: object): boolean {
    return #sealed in value && value.#sealed;
  }

  /** Gives it to the next. Later calls do nothing. */
  release(): void {
    const free = this.#free;
    if (free === undefined) return;
    this.#free = undefined;
    free();
  }
}

export type Seat = SeatEvidence;

/** Of a tenant whose calls do not wait for each other. */
export const UNSCHEDULED: Seat = new SeatEvidence(undefined);

const NO_TERMS: SeatTerms = {
  seats: Number.POSITIVE_INFINITY,
  maxQueued: 0,
  maxQueuedPerTenant: 0,
  classWeights: [],
};

function lineOf(slot: number, classIndex: number): number {
  return slot * MAX_CLASSES + classIndex;
}

function retryMs(waitMs: number): number {
  return Math.ceil(Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, waitMs)));
}

function denialOf(answer: Exclude<SeatAnswer, { at: 'seat' | 'queue' }>, leftMicros: number): Denial {
  if (answer.at === 'locked') return { kind: 'overloaded', why: 'seats: lock not available' };
  const { scope } = answer;
  const waitMs = answer.waitMicros / 1_000;
  const retryAfterMs = retryMs(waitMs);
  if (answer.at === 'full') return { kind: 'queue_full', scope, limit: answer.limit, retryAfterMs };
  return { kind: 'queue_too_slow', scope, waitMs, leftMs: leftMicros / 1_000, retryAfterMs };
}
