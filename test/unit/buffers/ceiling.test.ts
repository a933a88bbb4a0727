import { afterEach, describe, expect, it } from 'vitest';
import { ByteAccount } from '../../../src/buffers/byte-account.ts';
import { Ceiling, type Holding } from '../../../src/buffers/ceiling.ts';
import { Pressure } from '../../../src/buffers/pressure.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import {
  attachSharedState,
  createSharedState,
  releaseWorker,
  type SharedState,
  setWorkerSpan,
  totalHeldBytes,
} from '../../../src/quota/shared-state.ts';

const CEILING = 8_000;
const [SOFT, LOW] = [6_000, 7_000];
const ACCOUNT = 1_000_000;

/** A call that holds bytes of its tenant until it is shed. */
class FakeCall implements Holding {
  heldBytes: number;
  denial: Denial | undefined;
  readonly #account: ByteAccount;

  constructor(account: ByteAccount, heldBytes: number) {
    account.charge(heldBytes);
    this.#account = account;
    this.heldBytes = heldBytes;
  }

  shed(denial: Denial): void {
    this.denial = denial;
    this.#account.release(this.heldBytes);
    this.heldBytes = 0;
  }
}

/** A connection whose output nobody reads: it is free only when its socket has closed. */
class FakeConnection implements Holding {
  readonly slot: number;
  readonly heldBytes: number;
  ended = false;

  constructor(slot: number, heldBytes: number) {
    this.slot = slot;
    this.heldBytes = heldBytes;
  }

  shed(): void {
    this.ended = true;
  }
}

/** What one worker has: its accounts, its calls, its part of the ceiling. */
class FakeWorker {
  readonly accounts: readonly ByteAccount[];
  readonly calls: FakeCall[][];
  readonly trimmed: number[][] = [];
  readonly connections: FakeConnection[] = [];
  readonly ceiling: Ceiling;
  woken = 0;

  constructor(shared: SharedState, index: number, limitBytes = CEILING) {
    const tables = attachSharedState(shared, index);
    const pressure = new Pressure();
    const slots = Array.from({ length: shared.tenantSlots }, (_, slot) => slot);
    this.accounts = slots.map((slot) => new ByteAccount(tables, slot, ACCOUNT, pressure));
    this.calls = slots.map(() => []);
    this.ceiling = new Ceiling({
      limitBytes,
      ledgers: [
        {
          tables,
          pressure,
          holdings: (slot) => this.calls[slot]?.filter(({ heldBytes }) => heldBytes > 0) ?? [],
          connections: (slot) => this.connections.filter((each) => each.slot === slot),
          trim: (over) => void this.trimmed.push([...over]),
        },
      ],
      wakeOthers: () => {
        this.woken++;
      },
    });
    made.push(this.ceiling);
  }

  call(slot: number, bytes: number): FakeCall {
    const account = this.accounts[slot];
    if (account === undefined) throw new RangeError('no such slot');
    const call = new FakeCall(account, bytes);
    this.calls[slot]?.push(call);
    return call;
  }

  isFull(slot: number): boolean | undefined {
    return this.accounts[slot]?.full;
  }
}

const made: Ceiling[] = [];
afterEach(() => {
  for (const ceiling of made.splice(0)) ceiling.close();
});

const ground = (workers = 1, tenantSlots = 4): SharedState => createSharedState({ tenantSlots, workers });
const turns = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
};
const shed = (calls: readonly FakeCall[]): number[] =>
  calls.flatMap((call, index) => (call.denial === undefined ? [] : index));

describe('the process-wide ceiling', () => {
  it('does nothing at n bytes, and sheds at n + 1', async () => {
    const shared = ground();
    const worker = new FakeWorker(shared, 0);
    const hog = [worker.call(0, 4_000), worker.call(0, 3_000)];
    const neighbour = worker.call(1, 1_000);
    await turns();
    expect([totalHeldBytes(shared), shed(hog)]).toEqual([CEILING, []]);
    worker.call(1, 1);
    await turns();
    expect([shed(hog), neighbour.denial]).toEqual([[0], undefined]);
    expect(hog[0]?.denial).toEqual({ kind: 'buffer_exceeded', heldBytes: 7_000, limitBytes: LOW - 1_001 });
    expect(totalHeldBytes(shared)).toBe(4_001);
  });

  it('without it, the sum passes any number', async () => {
    const shared = ground();
    const worker = new FakeWorker(shared, 0, Number.POSITIVE_INFINITY);
    const call = worker.call(0, 10 * CEILING);
    await turns();
    expect([totalHeldBytes(shared), call.denial, worker.isFull(0)]).toEqual([10 * CEILING, undefined, false]);
  });

  it('gives no more window to who is over its share at n + 1 bytes above the soft mark, and to everybody at n', async () => {
    const worker = new FakeWorker(ground(), 0);
    worker.call(0, SOFT - 1_000);
    worker.call(1, 1_000);
    await turns();
    expect([worker.isFull(0), worker.isFull(1)]).toEqual([false, false]);
    const last = worker.call(0, 1);
    await turns();
    expect([worker.isFull(0), worker.isFull(1), worker.isFull(2)]).toEqual([true, false, false]);
    // What it can do without goes first: no call is ended for it.
    expect(worker.trimmed).toContainEqual([0]);
    last.shed({ kind: 'draining' });
    worker.ceiling.look();
    expect(worker.isFull(0)).toBe(false);
  });

  it('ends the calls that hold most first, and no more than it must', async () => {
    const shared = ground();
    const worker = new FakeWorker(shared, 0);
    const hog = [100, 3_000, 200, 2_000, 2_600].map((bytes) => worker.call(0, bytes));
    const neighbour = [worker.call(1, 300), worker.call(2, 300)];
    await turns();
    expect([shed(hog), shed(neighbour)]).toEqual([[1], []]);
    expect(totalHeldBytes(shared)).toBeLessThanOrEqual(LOW);
  });

  it('goes from the furthest to the next, and never to who is within its share', async () => {
    const shared = ground();
    const worker = new FakeWorker(shared, 0);
    const quiet = worker.call(2, 2_000);
    const lesser = Array.from({ length: 29 }, () => worker.call(1, 100));
    const hog = Array.from({ length: 33 }, () => worker.call(0, 100));
    await turns();
    // 2,000 stay; of the low mark 5,000 are left for two, 2,500 each.
    expect([quiet.denial, shed(hog).length, shed(lesser).length]).toEqual([undefined, 8, 4]);
    expect(totalHeldBytes(shared)).toBe(LOW);
  });

  it('admits and leaves alone whoever comes within its share while another is being shed', async () => {
    const shared = ground();
    const worker = new FakeWorker(shared, 0);
    const late: FakeCall[] = [];
    for (let round = 0; round < 50; round++) {
      worker.call(0, 500);
      if (round % 5 === 0) late.push(worker.call(1, 100));
      await turns();
      expect(totalHeldBytes(shared)).toBeLessThanOrEqual(CEILING);
    }
    expect([late.length, shed(late)]).toEqual([10, []]);
  });

  it('is one for all workers: who notices wakes the others, and each sheds its own calls of who is furthest over', async () => {
    const shared = ground(2);
    const [here, there] = [new FakeWorker(shared, 0), new FakeWorker(shared, 1)];
    // Less than its part of the soft mark: this worker watches nothing by itself.
    const hog = there.call(0, 2_400);
    const neighbours = [here.call(1, 1_900), here.call(2, 1_900), here.call(3, 1_800)];
    await turns();
    expect([totalHeldBytes(shared), here.woken, shed([hog])]).toEqual([CEILING, 1, []]);
    neighbours.push(here.call(3, 1));
    await turns();
    expect([shed([hog]), shed(neighbours)]).toEqual([[], []]);
    there.ceiling.look();
    expect([shed([hog]), shed(neighbours)]).toEqual([[0], []]);
    expect(totalHeldBytes(shared)).toBe(5_601);
  });

  it('is noticed by the worker that holds most when it is another that passes it', async () => {
    const shared = ground(2);
    const [here, there] = [new FakeWorker(shared, 0), new FakeWorker(shared, 1)];
    const hog = there.call(0, 5_800);
    here.call(1, 2_201);
    expect(here.woken).toBe(0);
    while (hog.denial === undefined) await turns();
    expect(totalHeldBytes(shared)).toBe(2_201);
  });

  it('is noticed in time by workers that were there before another one', async () => {
    const shared = ground(2);
    setWorkerSpan(shared, 1);
    const here = new FakeWorker(shared, 0);
    setWorkerSpan(shared, 2);
    const there = new FakeWorker(shared, 1);
    // As a worker's first word has it.
    here.ceiling.look();
    there.call(1, 2_801);
    const hog = here.call(0, 5_200);
    await turns();
    expect(hog.denial?.kind).toBe('buffer_exceeded');
  });

  it('takes what a worker held when it died from the total, in all tables', () => {
    const shared = ground(2);
    const egress = createSharedState({ tenantSlots: 2, workers: 2, callerSlots: 1, summedWith: shared });
    const account = (state: SharedState, worker: number): ByteAccount =>
      new ByteAccount(attachSharedState(state, worker), 0, ACCOUNT);
    for (const state of [shared, egress]) {
      for (const worker of [0, 1]) {
        account(state, worker).charge(100);
        account(state, worker).hold(10);
      }
    }
    expect([totalHeldBytes(shared), totalHeldBytes(egress)]).toEqual([440, 440]);
    expect(releaseWorker(shared, 0)).toEqual({ calls: 0, bytes: 100 });
    expect(totalHeldBytes(shared)).toBe(330);
    releaseWorker(egress, 0);
    expect(totalHeldBytes(egress)).toBe(220);
    releaseWorker(egress, 0);
    expect(totalHeldBytes(egress)).toBe(220);
  });

  it('counts what stands: thousands of calls that send nothing are shed, too', async () => {
    const shared = ground();
    const worker = new FakeWorker(shared, 0);
    const account = worker.accounts[0];
    account?.hold(CEILING);
    await turns();
    const call = worker.call(0, 1);
    await turns();
    expect([call.denial?.kind, account?.full]).toEqual(['buffer_exceeded', true]);
    account?.letGo(CEILING);
    worker.ceiling.look();
    expect(account?.full).toBe(false);
  });

  it('ends the connections that hold most when there are no calls left, and their output is what is held', async () => {
    const worker = new FakeWorker(ground(), 0);
    const output = [0, 3_000, 100, 2_900, 2_001].map((bytes) => new FakeConnection(0, bytes));
    worker.connections.push(...output, new FakeConnection(1, 9_000));
    worker.accounts[0]?.hold(8_001);
    worker.call(0, 1);
    for (let i = 0; i < 5; i++) await turns();
    // The call first, then what brings it down to the low mark.
    expect(worker.connections.map(({ ended }) => ended)).toEqual([false, true, false, false, false, false]);
  });

  it('ends a few hundred calls in one go, and the rest after others have had their turn', async () => {
    const shared = ground();
    const worker = new FakeWorker(shared, 0);
    const hog = Array.from({ length: CEILING + 1 }, () => worker.call(0, 1));
    await Promise.resolve();
    await Promise.resolve();
    expect(shed(hog)).toHaveLength(256);
    for (let i = 0; i < 5; i++) await turns();
    expect(totalHeldBytes(shared)).toBe(LOW);
  });

  it('follows a change of its configuration', async () => {
    const worker = new FakeWorker(ground(), 0);
    const call = worker.call(0, CEILING);
    await turns();
    expect(call.denial).toBeUndefined();
    worker.ceiling.setLimit(CEILING / 2);
    expect(call.denial?.kind).toBe('buffer_exceeded');
  });
});
