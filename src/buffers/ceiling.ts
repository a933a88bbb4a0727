/**
 * The process-wide ceiling on what all tenants together make the process hold, as one worker holds to it.
 *
 * Each worker keeps its own total beside its accounts, so what all hold is a sum over the workers, exact at any moment. Far below
 * the ceiling nothing happens, and no timer runs: while no worker's total is at its part of the soft mark, the sum cannot be. From
 * there on the worker adds up the sum at each charge, and every few milliseconds for what others charge. Above the soft mark it looks who is
 * over its share (`fair-share.ts`), gives those no more window, and takes back their spare memory; above the ceiling it ends
 * calls of who is furthest over, as far as they are its own. The other workers are woken to do the same.
 */
import type { Denial } from '../kernel/denial.ts';
import { type SharedTables, TOTAL_STRIDE } from '../quota/shared-state.ts';
import { type Holder, judge, type Marks, marksOf, type OverShare, type Verdict } from './fair-share.ts';
import type { Pressure } from './pressure.ts';

/** A call, or a connection, as the ceiling sees it. */
export interface Holding {
  /** What would be free if it ended; of a connection, beside its calls: its output. */
  readonly heldBytes: number;
  /** Ends it. */
  shed(denial: Denial): void;
}

/** The accounts of one table on this thread, and what they are of. */
export interface Ledger {
  readonly tables: SharedTables;
  readonly pressure: Pressure;
  /** This thread's calls of the tenant in this slot. Goes through its connections: not for each call. */
  holdings(slot: number): Iterable<Holding>;
  /** This thread's connections of the tenant. */
  connections(slot: number): Iterable<Holding>;
  /** Gives back what tenants in these slots have on this thread and can do without. */
  trim(slots: ReadonlySet<number>): void;
}

/** How often the sum is added up while a worker holds much, and at most how often the table is looked through. */
const LOOK_EVERY_MS = 5;
/** What connections hold that were ended is free when their sockets have lingered: no more of them are ended before. */
const END_AGAIN_MS = 1_500;
/** Calls that are ended in one go, before others have their turn. */
const MAX_SHED_AT_ONCE = 256;

export interface CeilingOptions {
  readonly limitBytes: number;
  readonly ledgers: readonly Ledger[];
  /** Tells the other workers to look. */
  readonly wakeOthers: () => void;
}

export class Ceiling {
  readonly #ledgers: readonly Ledger[];
  /** Any of the tables: they all have the same totals. */
  readonly #tables: SharedTables;
  readonly #wakeOthers: () => void;
  #marks: Marks;
  #verdict: Verdict['kind'] = 'calm';
  #timer: NodeJS.Timeout | undefined;
  #queued = false;
  /** The last look found nothing that could be done here: charges do not ask for another one. */
  #helpless = false;
  #endAgainAtMs = 0;

  constructor({ limitBytes, ledgers, wakeOthers }: CeilingOptions) {
    const [first] = ledgers;
    if (first === undefined) throw new RangeError('a ceiling over nothing');
    this.#ledgers = ledgers;
    this.#tables = first.tables;
    this.#wakeOthers = wakeOthers;
    this.#marks = marksOf(limitBytes);
    for (const { pressure } of ledgers) pressure.ring = () => this.#ring();
    this.setLimit(limitBytes);
  }

  /** Changes the ceiling (a new generation). */
  setLimit(limitBytes: number): void {
    this.#marks = marksOf(limitBytes);
    this.look();
  }

  /** Another worker has woken this one: there is something to look at, or one worker more. */
  look(): void {
    for (const { pressure } of this.#ledgers) pressure.alarmAtBytes = this.#alarmAtBytes;
    this.#look(false);
  }

  /** Watches no more. */
  close(): void {
    for (const { pressure } of this.#ledgers) pressure.alarmAtBytes = Number.POSITIVE_INFINITY;
    this.#squeeze([]);
    this.#rest();
  }

  /** Each worker's part of the soft mark: as long as every one holds less, all together do. */
  get #alarmAtBytes(): number {
    return this.#marks.softBytes / this.#tables.workerSpan;
  }

  /** A charge was made while this worker holds much. Looked at in a microtask: whoever charges is amid something. */
  #ring(): void {
    this.#timer ??= setInterval(() => this.#look(false), LOOK_EVERY_MS).unref();
    if (this.#queued || this.#helpless) return;
    const sum = this.#tables.totalHeldBytes();
    if (sum <= (this.#verdict === 'calm' ? this.#marks.softBytes : this.#marks.ceilingBytes)) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      this.#look(true);
    });
  }

  #look(wakes: boolean): void {
    this.#helpless = false;
    if (this.#tables.totalHeldBytes() <= this.#marks.softBytes) return this.#calm();
    const verdict = judge(holdersOf(this.#ledgers), this.#marks, this.#verdict === 'shed');
    if (verdict.kind === 'calm') return this.#calm();
    const wasCalm = this.#verdict === 'calm';
    this.#verdict = verdict.kind;
    this.#timer ??= setInterval(() => this.#look(false), LOOK_EVERY_MS).unref();
    this.#squeeze(verdict.over);
    if (wasCalm && wakes) this.#wakeOthers();
    if (verdict.kind === 'shed') this.#shed(verdict.worst, verdict.freeBytes);
  }

  #calm(): void {
    this.#verdict = 'calm';
    this.#squeeze([]);
    const own = this.#tables.totals[this.#tables.workerIndex * TOTAL_STRIDE] ?? 0;
    if (own < this.#alarmAtBytes) this.#rest();
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** These get no more window, and keep nothing that they can do without. The accounts themselves look whether it is over. */
  #squeeze(over: readonly OverShare[]): void {
    for (const [table, ledger] of this.#ledgers.entries()) {
      const slots = new Set(over.filter(({ holder }) => holder.table === table).map(({ holder }) => holder.slot));
      ledger.pressure.squeezed = slots.size > 0 ? slots : undefined;
      if (slots.size > 0) ledger.trim(slots);
    }
  }

  /** Ends calls of one tenant, those that hold most first, until so much is free, here or anywhere. */
  #shed({ holder, shareBytes }: OverShare, freeBytes: number): void {
    const sum = (): number => this.#tables.totalHeldBytes();
    // What was trimmed may have sufficed.
    const enoughBytes = Math.max(this.#marks.lowBytes, sum() - freeBytes);
    if (sum() <= enoughBytes) return;
    const ledger = this.#ledgers[holder.table];
    const denial: Denial = { kind: 'buffer_exceeded', heldBytes: holder.heldBytes, limitBytes: shareBytes };
    let ended = 0;
    for (const call of largestFirst(ledger?.holdings(holder.slot))) {
      if (sum() <= enoughBytes || ended === MAX_SHED_AT_ONCE) break;
      call.shed(denial);
      ended++;
    }
    // The rest, or the next one, after others have had their turn; nothing of it here: when the timer says so.
    this.#helpless = ended === 0;
    if (ended === 0) this.#endConnections(largestFirst(ledger?.connections(holder.slot)), denial, sum() - enoughBytes);
    else if (sum() > this.#marks.lowBytes) setImmediate(() => this.#look(false));
  }

  /** There are no calls left to end: what is held is output that nobody reads. It is free when the sockets are closed, in a while. */
  #endConnections(connections: readonly Holding[], denial: Denial, freeBytes: number): void {
    if (performance.now() < this.#endAgainAtMs) return;
    this.#endAgainAtMs = performance.now() + END_AGAIN_MS;
    let left = freeBytes;
    for (const connection of connections) {
      if (left <= 0 || connection.heldBytes === 0) return;
      left -= connection.heldBytes;
      connection.shed(denial);
    }
  }
}

function largestFirst(holdings: Iterable<Holding> = []): readonly Holding[] {
  return [...holdings].sort((a, b) => b.heldBytes - a.heldBytes);
}

/** The table: everybody who holds something, on any worker. */
function holdersOf(ledgers: readonly Ledger[]): readonly Holder[] {
  return ledgers.flatMap(({ tables }, table) => {
    const { tenantSlots } = tables.state;
    const held = new Float64Array(tenantSlots);
    for (let at = 0; at < tables.workerSpan * tenantSlots; at++) {
      const slot = at % tenantSlots;
      held[slot] = (held[slot] ?? 0) + (tables.bytes[at] ?? 0) + (tables.standing[at] ?? 0);
    }
    const holders: Holder[] = [];
    for (const [slot, heldBytes] of held.entries()) {
      if (heldBytes > 0) holders.push({ table, slot, heldBytes, accountBytes: tables.accountLimits[slot] ?? 0 });
    }
    return holders;
  });
}
