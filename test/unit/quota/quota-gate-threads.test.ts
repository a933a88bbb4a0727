import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import type { QuotaConfig } from '../../../src/config/quota-config.ts';
import type { SharedState } from '../../../src/quota/shared-state.ts';
import {
  attachSharedState,
  createSharedState,
  isSlotInUse,
  LOCK,
  releaseWorker,
  SUPERVISOR,
} from '../../../src/quota/shared-state.ts';
import type { Hammering } from './hammering-worker.ts';
import { EPOCH, tenantWith } from './tenants.ts';

const WORKERS = 4;

function start(hammering: Hammering): Worker {
  return new Worker(new URL('./hammering-worker.ts', import.meta.url), { workerData: hammering });
}

async function hammer(state: SharedState, quota: Partial<QuotaConfig>, more: Partial<Hammering> = {}) {
  const open = new SharedArrayBuffer(8);
  const hammering = {
    state,
    tenant: tenantWith(1, quota),
    open,
    stepMicros: 5,
    untilMicros: 500_000,
    keepLeases: false,
  };
  const workers = Array.from({ length: WORKERS }, (_, workerIndex) => start({ ...hammering, workerIndex, ...more }));
  const answers = await Promise.all(workers.map((worker) => once(worker, 'message')));
  await Promise.all(workers.map((worker) => worker.terminate()));
  const granted = answers.reduce((sum, [answer]) => sum + (answer as { granted: number }).granted, 0);
  return { granted, mostOpen: new Int32Array(open)[1] };
}

describe('four threads at one quota', () => {
  it('are never granted more than the rate, and nothing is lost to their races', async () => {
    const state = createSharedState({ tenantSlots: 2, workers: WORKERS, epoch: EPOCH });
    // 0.5 s of simulated time at 20,000 calls per second, burst 100.
    const { granted } = await hammer(state, { perTenant: { callsPerSecond: 20_000, burst: 100 } });
    expect(granted).toBe(20_000 * 0.5 + 100);
    expect(isSlotInUse(state, 1)).toBe(false);
  });

  it('share one burst: every token is granted once', async () => {
    const state = createSharedState({ tenantSlots: 2, workers: WORKERS, epoch: EPOCH });
    const { granted } = await hammer(state, { perTenant: { callsPerSecond: 0.001, burst: 200_000 } });
    expect(granted).toBe(200_000);
  });

  it('never hold more leases at once than the concurrency limit', async () => {
    const state = createSharedState({ tenantSlots: 2, workers: WORKERS, epoch: EPOCH });
    const { granted, mostOpen } = await hammer(state, { maxConcurrentCalls: 2 });
    expect(granted).toBeGreaterThan(1000);
    expect(mostOpen).toBeLessThanOrEqual(2);
    expect(isSlotInUse(state, 1)).toBe(false);
  });

  it('share the buckets of callers', async () => {
    const state = createSharedState({ tenantSlots: 2, workers: WORKERS, epoch: EPOCH });
    const { granted } = await hammer(state, { perCaller: { callsPerSecond: 1, burst: 10 } });
    expect(granted).toBe(7 * 10);
  });

  it('take exactly the limit when they keep what they reserve', async () => {
    const state = createSharedState({ tenantSlots: 2, workers: WORKERS, epoch: EPOCH });
    const { granted } = await hammer(state, { maxConcurrentCalls: 1000 }, { keepLeases: true });
    expect(granted).toBe(1000);
    const returned = Array.from({ length: WORKERS }, (_, index) => releaseWorker(state, index).calls);
    expect(returned.reduce((a, b) => a + b)).toBe(1000);
    expect(isSlotInUse(state, 1)).toBe(false);
  });
});

describe('a worker that is ended in the middle of its work', () => {
  it('leaves no lock and no lease behind once it is released', async () => {
    const state = createSharedState({ tenantSlots: 2, workers: WORKERS, epoch: EPOCH });
    const tables = attachSharedState(state, SUPERVISOR);
    const quota = { perTenant: { callsPerSecond: 1e6, burst: 1e6 }, perCaller: { callsPerSecond: 1, burst: 1 } };
    for (let round = 0; round < 8; round++) {
      const worker = start({
        state,
        workerIndex: 0,
        tenant: tenantWith(1, quota),
        stepMicros: 1e-3,
        untilMicros: 1e9,
        open: new SharedArrayBuffer(8),
        keepLeases: true,
      });
      await once(worker, 'online');
      await new Promise((resolve) => setTimeout(resolve, 20 + round));
      await worker.terminate();
      releaseWorker(state, 0);
      expect(tables.ints[tables.cellBase(1) + LOCK]).toBe(0);
      expect(tables.callsInProgress(1)).toBe(0);
    }
  });
});
