/**
 * Lines of two workers over one table, in one thread: seats cross from one to the other, and whoever leaves, in whatever order, leaves none
 * behind.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { SchedulingConfig } from '../../../src/config/scheduling-config.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import { type Applicant, type Seat, Ticket, TurnQueue, UNSCHEDULED } from '../../../src/proxy/turn-queue.ts';
import { SeatTable } from '../../../src/quota/seat-table.ts';
import { attachSharedState, createSharedState, releaseWorker } from '../../../src/quota/shared-state.ts';

const SCHEDULING: SchedulingConfig = {
  concurrentCalls: 1,
  maxQueuedCalls: 100,
  maxQueuedCallsPerTenant: 50,
  maxWaitMs: 60_000,
  classes: [{ name: 'all', weight: 1 }],
};
const TENANT = { slot: 1, weight: 1, seats: Number.POSITIVE_INFINITY };

class Caller implements Applicant {
  seat: Seat | undefined;
  denial: Denial | undefined;

  seated(seat: Seat): void {
    this.seat = seat;
  }

  unseated(denial: Denial): void {
    this.denial = denial;
  }
}

const open: Ticket[] = [];
afterEach(() => {
  for (const ticket of open.splice(0)) ticket.leave();
});

function setUp(scheduling: Partial<SchedulingConfig> = {}) {
  const state = createSharedState({ tenantSlots: 4, workers: 2 });
  let now = state.epoch + 1_000_000;
  const queues = [0, 1].map((index) => {
    const queue = new TurnQueue(attachSharedState(state, index), () => now as EpochMicros);
    queue.configure({ ...SCHEDULING, ...scheduling });
    return queue;
  });
  const ask = (worker: number, caller = new Caller()): { caller: Caller; ticket: Ticket | undefined } => {
    const answer = queues[worker]?.ask(caller, TENANT, 0, Number.POSITIVE_INFINITY);
    if (answer instanceof Ticket) {
      open.push(answer);
      return { caller, ticket: answer };
    }
    if (answer?.ok === true) caller.seated(answer.value);
    else caller.denial = answer?.error;
    return { caller, ticket: undefined };
  };
  const pass = (ms: number): void => {
    now += ms * 1_000;
  };
  return { state, queues, ask, pass, table: new SeatTable(state.seats, -1) };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (let round = 0; round < 500; round++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 4));
  }
  throw new Error(`did not happen: ${what}`);
}

describe('a line', () => {
  it('gives a seat that one worker frees to the call of another, and wakes it', async () => {
    const { ask, table } = setUp();
    const first = ask(0).caller;
    const other = ask(1).caller;
    expect([first.seat !== undefined, other.seat]).toEqual([true, undefined]);
    first.seat?.release();
    await until('the other worker’s call has its turn', () => other.seat !== undefined);
    expect([table.running(1), table.waiting(1)]).toEqual([1, 0]);
    other.seat?.release();
    expect(table.running(1)).toBe(0);
  });

  it('gives a seat that was granted to who has just left to the next', async () => {
    const { ask, table } = setUp();
    const first = ask(0).caller;
    const leaving = ask(1);
    const next = ask(0).caller;
    first.seat?.release();
    leaving.ticket?.leave();
    await until('the next has its turn', () => next.seat !== undefined);
    expect(leaving.caller.seat).toBeUndefined();
    next.seat?.release();
    next.seat?.release();
    expect([table.running(1), table.waiting(1)]).toEqual([0, 0]);
  });

  it('goes on when the worker that had all seats has died', async () => {
    const { state, ask, table } = setUp();
    ask(1);
    const waiting = ask(0).caller;
    releaseWorker(state, 1);
    await until('the one that waited has its turn', () => waiting.seat !== undefined);
    expect(table.running(1)).toBe(1);
  });

  it('is left after the longest time that a call may wait, and says so', async () => {
    const { ask, pass, table } = setUp({ maxWaitMs: 100 });
    ask(0);
    const waiting = ask(0).caller;
    pass(99);
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(waiting.denial).toBeUndefined();
    pass(1);
    await until('it is refused', () => waiting.denial !== undefined);
    expect(waiting.denial).toMatchObject({ kind: 'queue_too_slow', scope: 'all', leftMs: 100, waitMs: 100 });
    expect(table.waiting(1)).toBe(0);
  });

  it('lets all go when calls are scheduled no more', async () => {
    const { ask, queues } = setUp();
    ask(0);
    const waiting = [ask(0).caller, ask(0).caller];
    queues[0]?.configure(undefined);
    await until('all have their turn', () => waiting.every(({ seat }) => seat !== undefined));
    expect([queues[0]?.waiting, queues[0]?.isInUse]).toEqual([0, false]);
  });

  it('is full for its tenant with a time to come again', () => {
    const { ask } = setUp({ maxQueuedCallsPerTenant: 1 });
    ask(0);
    ask(0);
    expect(ask(0).caller.denial).toEqual({ kind: 'queue_full', scope: 'tenant', limit: 1, retryAfterMs: 50 });
  });
});

it('the seat of who does not wait is no seat that could be given back', () => {
  const { ask, table } = setUp();
  ask(0);
  UNSCHEDULED.release();
  expect(table.running(1)).toBe(1);
});
