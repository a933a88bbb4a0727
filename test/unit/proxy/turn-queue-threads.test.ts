import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { SeatTable } from '../../../src/quota/seat-table.ts';
import { createSharedState, SUPERVISOR } from '../../../src/quota/shared-state.ts';
import type { Turning } from './turning-worker.ts';

const SEATS = 4;
const THREADS = 3;
const CALLS = 400;

it('over threads of their own, all calls have their turn, and never more at once than there are seats', async () => {
  const state = createSharedState({ tenantSlots: 4, workers: THREADS });
  const open = new SharedArrayBuffer(8);
  const threads = Array.from({ length: THREADS }, (_, workerIndex) => {
    const workerData: Turning = { state, workerIndex, seats: SEATS, calls: CALLS, open };
    return new Worker(new URL('./turning-worker.ts', import.meta.url), { workerData });
  });
  try {
    const told = await Promise.all(
      threads.map(
        (thread) =>
          new Promise((resolve, reject) => {
            thread.once('message', resolve);
            thread.once('error', reject);
          }),
      ),
    );
    expect(told).toEqual(threads.map(() => ({ done: CALLS, refused: 0 })));
  } finally {
    for (const thread of threads) await thread.terminate();
  }
  const [now, most] = new Int32Array(open);
  expect(now).toBe(0);
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(SEATS);
  const table = new SeatTable(state.seats, SUPERVISOR);
  for (const slot of [0, 1, 2]) expect([table.running(slot), table.waiting(slot)]).toEqual([0, 0]);
});
