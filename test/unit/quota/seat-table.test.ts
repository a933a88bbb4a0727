/**
 * Seats and turns against a plain model: what is taken is counted again beside the table, and shares are held against the weights.
 */
import * as fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type SeatAnswer, SeatTable, type SeatTerms } from '../../../src/quota/seat-table.ts';
import { createSharedState, isSlotInUse, SUPERVISOR } from '../../../src/quota/shared-state.ts';
import { EPOCH } from './tenants.ts';

const NEVER = Number.POSITIVE_INFINITY;

interface Waiting {
  readonly slot: number;
  readonly classIndex: number;
  readonly number: number;
  readonly since: number;
}

/** Workers with their lines, in one thread: every granted seat is claimed at once. */
class Stage {
  readonly state: ReturnType<typeof createSharedState>;
  readonly terms: SeatTerms;
  readonly tables: readonly SeatTable[];
  readonly lines: Map<string, Waiting[]>[];
  /** Calls that run, with their worker. */
  readonly running: { readonly worker: number; readonly call: Waiting; readonly from: number }[] = [];
  /** In the order in which they got their seats. */
  readonly seated: Waiting[] = [];
  now = 1_000_000;
  #number = 0;
  readonly #tenants: readonly { readonly weight: number; readonly seats: number }[];

  constructor(
    tenants: readonly { readonly weight: number; readonly seats?: number }[],
    terms: Partial<SeatTerms> = {},
    workers = 1,
  ) {
    this.#tenants = tenants.map(({ weight, seats = NEVER }) => ({ weight, seats }));
    this.state = createSharedState({ tenantSlots: 8, workers, epoch: EPOCH });
    this.terms = { seats: NEVER, maxQueued: 10_000, maxQueuedPerTenant: 10_000, classWeights: [1], ...terms };
    this.tables = Array.from({ length: workers }, (_, index) => new SeatTable(this.state.seats, index));
    this.lines = this.tables.map(() => new Map());
  }

  ask(slot: number, options: { classIndex?: number; worker?: number; left?: number } = {}): SeatAnswer {
    const { classIndex = 0, worker = 0, left = NEVER } = options;
    const call = { slot, classIndex, number: this.#number++, since: this.now };
    const answer = this.#table(worker).ask(this.#terms(slot), classIndex, left, this.terms, this.now);
    if (answer.at === 'seat') this.#begin(worker, call);
    if (answer.at === 'queue') this.#line(worker, call).push(call);
    return answer;
  }

  /** The n-th of those that run ends. */
  end(index: number): void {
    const [gone] = this.running.splice(index, 1);
    if (gone === undefined) throw new Error('nobody runs there');
    this.#table(gone.worker).free(gone.call.slot, this.now - gone.from, this.terms, this.now);
    this.claim();
  }

  /** The n-th of those that wait leaves. */
  quit(index: number): void {
    const all = this.lines.flatMap((lines, worker) => [...lines.values()].flat().map((call) => ({ worker, call })));
    const { worker, call } = all[index % all.length] ?? {};
    if (worker === undefined || call === undefined) return;
    const line = this.#line(worker, call);
    line.splice(line.indexOf(call), 1);
    this.#table(worker).quit(call.slot, call.classIndex, line[0]?.since, this.terms);
    this.claim();
  }

  claim(): void {
    for (const [worker, lines] of this.lines.entries())
      for (const line of lines.values()) {
        for (let first = line[0]; first !== undefined; first = line[0]) {
          if (!this.#table(worker).claim(first.slot, first.classIndex, line[1]?.since)) break;
          line.shift();
          this.#begin(worker, first);
        }
      }
  }

  waiting(slot: number): number {
    return this.lines.reduce(
      (sum, lines) => sum + [...lines.values()].flat().filter((call) => call.slot === slot).length,
      0,
    );
  }

  runningOf(slot: number): number {
    return this.running.filter(({ call }) => call.slot === slot).length;
  }

  seatsOf(slot: number): number {
    return this.#tenants[slot]?.seats ?? NEVER;
  }

  #begin(worker: number, call: Waiting): void {
    this.running.push({ worker, call, from: this.now });
    this.seated.push(call);
  }

  #terms(slot: number) {
    return { slot, ...(this.#tenants[slot] ?? { weight: 1, seats: NEVER }) };
  }

  #table(worker: number): SeatTable {
    const table = this.tables[worker];
    if (table === undefined) throw new Error('no such worker');
    return table;
  }

  #line(worker: number, { slot, classIndex }: Pick<Waiting, 'slot' | 'classIndex'>): Waiting[] {
    const lines = this.lines[worker];
    const key = `${slot} ${classIndex}`;
    const line = lines?.get(key) ?? [];
    lines?.set(key, line);
    return line;
  }
}

/** Ends calls one after the other, oldest first, until so many have been seated since. */
function serve(stage: Stage, calls: number): readonly Waiting[] {
  const from = stage.seated.length;
  while (stage.seated.length < from + calls && stage.running.length > 0) {
    stage.now += 1_000;
    stage.end(0);
  }
  return stage.seated.slice(from, from + calls);
}

function countOf(calls: readonly Waiting[], slot: number): number {
  return calls.filter((call) => call.slot === slot).length;
}

describe('seats', () => {
  it('are taken at once while there are any, and not one more', () => {
    const stage = new Stage([{ weight: 1 }], { seats: 3 });
    expect([stage.ask(0).at, stage.ask(0).at, stage.ask(0).at, stage.ask(0).at]).toEqual([
      'seat',
      'seat',
      'seat',
      'queue',
    ]);
    stage.end(0);
    expect(stage.seated).toHaveLength(4);
  });

  it('go to others while a tenant waits for its own limit alone', () => {
    const stage = new Stage([{ weight: 1, seats: 1 }, { weight: 1 }], { seats: 4 });
    expect([stage.ask(0).at, stage.ask(0).at, stage.ask(1).at]).toEqual(['seat', 'queue', 'seat']);
    stage.end(1);
    expect(stage.waiting(0)).toBe(1);
    stage.end(0);
    expect(stage.waiting(0)).toBe(0);
  });

  it('of who quits while a seat is granted go to the next', () => {
    const stage = new Stage([{ weight: 1 }], { seats: 1 }, 2);
    stage.ask(0, { worker: 0 });
    stage.ask(0, { worker: 1 });
    stage.ask(0, { worker: 0 });
    // The first worker ends its call; the seat is granted to the second's, which leaves before it has looked.
    stage.tables[0]?.free(0, 1, stage.terms, stage.now);
    stage.tables[1]?.quit(0, 0, undefined, stage.terms);
    expect(stage.tables[0]?.claim(0, 0, undefined)).toBe(true);
    expect(stage.tables[0]?.running(0)).toBe(1);
  });
});

describe('a queue', () => {
  it('holds n calls of a tenant and refuses n + 1', () => {
    const stage = new Stage([{ weight: 1 }], { seats: 1, maxQueuedPerTenant: 3 });
    stage.ask(0);
    expect([stage.ask(0).at, stage.ask(0).at, stage.ask(0).at]).toEqual(['queue', 'queue', 'queue']);
    expect(stage.ask(0)).toMatchObject({ at: 'full', scope: 'tenant', limit: 3 });
    stage.quit(0);
    expect(stage.ask(0).at).toBe('queue');
  });

  it('has room for whoever comes last, however many others have filled it', () => {
    const stage = new Stage(
      Array.from({ length: 4 }, () => ({ weight: 1 })),
      { seats: 1, maxQueued: 16 },
    );
    stage.ask(0);
    const lengths = [0, 1, 2, 3].map((slot) => {
      for (let n = 0; n < 20; n++) stage.ask(slot);
      return stage.waiting(slot);
    });
    expect(lengths).toEqual([8, 4, 2, 1]);
    expect(stage.ask(0)).toMatchObject({ at: 'full', scope: 'all', limit: 16 });
  });

  it('refuses at once what could not end in its time by what is measured, and takes what can', () => {
    const stage = new Stage([{ weight: 1 }], { seats: 1 });
    for (let n = 0; n < 12; n++) stage.ask(0);
    // A seat comes free every 100 ms.
    for (let n = 0; n < 8; n++) {
      stage.now += 100_000;
      stage.end(0);
    }
    expect(stage.waiting(0)).toBe(3);
    const late = stage.ask(0, { left: 300_000 });
    expect(late).toMatchObject({ at: 'late', scope: 'all' });
    if (late.at === 'late') expect(late.waitMicros).toBeCloseTo(400_000, -4);
    expect(stage.ask(0, { left: 900_000 }).at).toBe('queue');
    expect(stage.ask(0).at).toBe('queue');
  });

  it('refuses nothing by what was measured long ago', () => {
    const stage = new Stage([{ weight: 1 }], { seats: 1 });
    for (let n = 0; n < 5; n++) stage.ask(0);
    for (let n = 0; n < 4; n++) {
      stage.now += 1_000_000;
      stage.end(0);
    }
    expect(stage.ask(0, { left: 500_000 }).at).toBe('late');
    stage.now += 11_000_000;
    expect(stage.ask(0, { left: 500_000 }).at).toBe('queue');
  });
});

describe('turns', () => {
  it('go by weight between tenants that all have calls waiting', () => {
    const stage = new Stage([{ weight: 5 }, { weight: 3 }, { weight: 1 }], { seats: 1 });
    for (let n = 0; n < 200; n++) for (const slot of [0, 1, 2]) stage.ask(slot);
    const seated = serve(stage, 90);
    expect([0, 1, 2].map((slot) => countOf(seated, slot))).toEqual([50, 30, 10]);
  });

  it('give a tenant its share while another floods with ten times as much', () => {
    const stage = new Stage([{ weight: 1 }, { weight: 1 }], { seats: 4 });
    for (let n = 0; n < 500; n++) stage.ask(0);
    const from = stage.seated.length;
    // The other has one call waiting at any time, and gets every second seat.
    for (let n = 0; n < 100; n++) {
      for (let more = stage.waiting(1); more < 2; more++) stage.ask(1);
      stage.now += 1_000;
      stage.end(0);
    }
    const mine = countOf(stage.seated.slice(from), 1);
    expect(mine).toBeGreaterThanOrEqual(48);
  });

  it('give seats first to who has less than its share of them, however long the others’ calls run', () => {
    const stage = new Stage([{ weight: 1 }, { weight: 1 }], { seats: 4 });
    for (let n = 0; n < 20; n++) stage.ask(0);
    for (let n = 0; n < 10; n++) stage.ask(1);
    // Two of the four that run end: both seats are owed.
    stage.end(0);
    stage.end(0);
    expect([stage.runningOf(0), stage.runningOf(1)]).toEqual([2, 2]);
  });

  it('go by weight between the classes of a tenant, and first come first served within one', () => {
    const stage = new Stage([{ weight: 1 }, { weight: 1 }], { seats: 1, classWeights: [4, 1] });
    for (let n = 0; n < 100; n++) {
      stage.ask(0, { classIndex: 1 });
      stage.ask(0, { classIndex: 0 });
      stage.ask(1, { classIndex: 1 });
    }
    const seated = serve(stage, 100);
    const own = seated.filter(({ slot }) => slot === 0);
    expect(own).toHaveLength(50);
    const first = own.filter(({ classIndex }) => classIndex === 0).length;
    expect(Math.abs(first - 40)).toBeLessThanOrEqual(1);
    for (const index of [0, 1]) {
      const numbers = own.filter(({ classIndex }) => classIndex === index).map(({ number }) => number);
      expect(numbers).toEqual(numbers.toSorted((one, other) => one - other));
    }
  });

  it('come to who returns after a pause no sooner for what it has not used', () => {
    const stage = new Stage([{ weight: 1 }, { weight: 1 }], { seats: 1 });
    for (let n = 0; n < 300; n++) stage.ask(0);
    serve(stage, 100);
    for (let n = 0; n < 100; n++) stage.ask(1);
    expect(countOf(serve(stage, 40), 1)).toBeLessThanOrEqual(21);
  });

  it('go by other weights as soon as they are set', () => {
    const stage = new Stage([{ weight: 1 }, { weight: 1 }], { seats: 1 });
    for (let n = 0; n < 200; n++) for (const slot of [0, 1]) stage.ask(slot);
    expect(countOf(serve(stage, 40), 1)).toBe(20);
    stage.tables[0]?.setTenant({ slot: 1, weight: 3, seats: NEVER });
    const share = countOf(serve(stage, 40), 1);
    expect(share).toBeGreaterThanOrEqual(29);
    expect(share).toBeLessThanOrEqual(31);
  });

  it('are the same over several workers as over one, each worker’s calls in their order', () => {
    const stage = new Stage([{ weight: 2 }, { weight: 1 }], { seats: 2 }, 3);
    for (let n = 0; n < 90; n++) {
      stage.now += 1;
      stage.ask(0, { worker: n % 3 });
      stage.ask(1, { worker: 2 });
    }
    const seated = serve(stage, 60);
    expect(countOf(seated, 0)).toBe(40);
    expect(countOf(seated, 1)).toBe(20);
  });

  it('of a worker that dies go to the others, and its seats with it', () => {
    const stage = new Stage([{ weight: 1 }], { seats: 2 }, 2);
    stage.ask(0, { worker: 1 });
    stage.ask(0, { worker: 1 });
    stage.ask(0, { worker: 1 });
    stage.ask(0, { worker: 0 });
    expect(stage.waiting(0)).toBe(2);
    new SeatTable(stage.state.seats, SUPERVISOR).releaseWorker(1);
    stage.lines[1]?.clear();
    stage.tables[0]?.deal(stage.terms);
    stage.claim();
    expect(stage.seated).toHaveLength(3);
    expect(stage.tables[0]?.running(0)).toBe(1);
  });
});

it('never has more seats than there are, leaves none free that somebody may have, and loses none', () => {
  const step = fc.record({
    do: fc.constantFrom('ask', 'ask', 'ask', 'end', 'end', 'quit'),
    slot: fc.integer({ min: 0, max: 3 }),
    classIndex: fc.integer({ min: 0, max: 3 }),
    worker: fc.integer({ min: 0, max: 2 }),
    pick: fc.nat(50),
  });
  const tenant = fc.record({ weight: fc.integer({ min: 1, max: 9 }), seats: fc.integer({ min: 1, max: 5 }) });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.array(tenant, { minLength: 4, maxLength: 4 }),
      fc.array(step, { maxLength: 120 }),
      (seats, tenants, steps) => {
        const stage = new Stage(tenants, { seats, maxQueued: 40, classWeights: [8, 4, 2, 1] }, 3);
        for (const { do: what, slot, classIndex, worker, pick } of steps) {
          stage.now += 1_000;
          if (what === 'ask') stage.ask(slot, { classIndex, worker });
          else if (what === 'quit') stage.quit(pick);
          else if (stage.running.length > 0) stage.end(pick % stage.running.length);
          expect(stage.running.length).toBeLessThanOrEqual(seats);
          for (const each of [0, 1, 2, 3]) {
            expect(stage.tables[0]?.running(each)).toBe(stage.runningOf(each));
            expect(stage.tables[0]?.waiting(each)).toBe(stage.waiting(each));
            expect(stage.runningOf(each)).toBeLessThanOrEqual(stage.seatsOf(each));
            const mayRun = stage.running.length < seats && stage.runningOf(each) < stage.seatsOf(each);
            if (mayRun) expect(stage.waiting(each)).toBe(0);
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});

it('serves tenants within one call of what their weights say, whatever these are', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 6 }),
      fc.integer({ min: 1, max: 8 }),
      (weights, seats) => {
        const stage = new Stage(
          weights.map((weight) => ({ weight })),
          { seats },
        );
        for (let n = 0; n < 400; n++) for (const slot of weights.keys()) stage.ask(slot);
        const sum = weights.reduce((one, other) => one + other, 0);
        // Past what the first seats went by, when nobody waited yet.
        serve(stage, 4 * sum);
        const seated = serve(stage, 2 * sum);
        for (const [slot, weight] of weights.entries())
          expect(Math.abs(countOf(seated, slot) - 2 * weight)).toBeLessThanOrEqual(2);
      },
    ),
    { numRuns: 60 },
  );
});

it('a call that leaves without the lock, in the moment in which it is given a seat, leaves the seat to others', () => {
  const { seats } = createSharedState({ tenantSlots: 8, workers: 2, epoch: EPOCH });
  const terms: SeatTerms = { seats: 1, maxQueued: 10, maxQueuedPerTenant: 10, classWeights: [1] };
  const [leaving, dealing] = [new SeatTable(seats, 0), new SeatTable(seats, 1)];
  const tenant = { slot: 1, weight: 1, seats: NEVER };
  expect(dealing.ask(tenant, 0, NEVER, terms, 1_000).at).toBe('seat');
  expect(leaving.ask(tenant, 0, NEVER, terms, 1_000).at).toBe('queue');
  const lock = new Int32Array(seats.head);
  Atomics.store(lock, 0, 2);
  const { compareExchange } = Atomics;
  onTestFinished(() => {
    Atomics.compareExchange = compareExchange;
  });
  // Between its look at the count and what it makes of it, the other thread deals.
  const interrupted = (ints: Int32Array, at: number, expected: number, value: number): number => {
    if (ints.buffer === seats.counts) {
      Atomics.compareExchange = compareExchange;
      Atomics.store(lock, 0, 0);
      dealing.free(1, 100, terms, 2_000);
    }
    return compareExchange(ints, at, expected, value);
  };
  // The function has another signature for bigints, with which nobody calls it here.
  Atomics.compareExchange = interrupted as typeof compareExchange;
  leaving.quit(1, 0, undefined, terms);
  expect([leaving.running(1), leaving.waiting(1)]).toEqual([0, 0]);
  expect(leaving.claim(1, 0, undefined)).toBe(false);
  expect(dealing.ask(tenant, 0, NEVER, terms, 3_000).at).toBe('seat');
});

it('a slot with a call that waits is not given to another tenant', () => {
  const state = createSharedState({ tenantSlots: 8, workers: 1, epoch: EPOCH });
  const terms: SeatTerms = { seats: 1, maxQueued: 10, maxQueuedPerTenant: 10, classWeights: [1] };
  const table = new SeatTable(state.seats, 0);
  expect(table.ask({ slot: 2, weight: 1, seats: NEVER }, 0, NEVER, terms, 1_000).at).toBe('seat');
  expect(table.ask({ slot: 1, weight: 1, seats: NEVER }, 0, NEVER, terms, 1_000).at).toBe('queue');
  expect([isSlotInUse(state, 1), isSlotInUse(state, 2), isSlotInUse(state, 3)]).toEqual([true, true, false]);
  table.quit(1, 0, undefined, terms);
  table.free(2, 100, terms, 2_000);
  expect([isSlotInUse(state, 1), isSlotInUse(state, 2)]).toEqual([false, false]);
});
