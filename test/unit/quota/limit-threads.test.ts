/** Threads at one hierarchy of limits. `BULKHEAD_QUOTA_CALLS=1000000` makes it the long run: so many attempts of each thread. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import type { LimitConfig, OrganisationConfig } from '../../../src/config/quota-config.ts';
import { QuotaGate } from '../../../src/quota/quota-gate.ts';
import { attachSharedState, createSharedState, isSlotInUse, releaseWorker } from '../../../src/quota/shared-state.ts';
import type { Hammering } from './hammering-worker.ts';
import { limitedTenant, limitOf } from './limits.ts';
import { at, callerOf, EPOCH } from './tenants.ts';

const ATTEMPTS = Number(process.env['BULKHEAD_QUOTA_CALLS'] ?? 50_000);

/** Half of the threads are at one tenant, half at the other. */
async function hammer(threads: number, own: readonly LimitConfig[], shared: readonly LimitConfig[]) {
  const state = createSharedState({ tenantSlots: 3, organisationSlots: 1, workers: threads, epoch: EPOCH });
  const organisation: OrganisationConfig = { name: 'group', slot: 0, limits: shared };
  const workers = Array.from({ length: threads }, (_, workerIndex) => {
    const tenant = limitedTenant(1 + (workerIndex % 2), own, shared.length === 0 ? undefined : organisation);
    const workerData: Hammering = {
      state,
      workerIndex,
      tenant,
      // One second of simulated time for all of them.
      stepMicros: 1_000_000 / ATTEMPTS,
      untilMicros: 1_000_000,
      open: new SharedArrayBuffer(8),
      keepLeases: false,
    };
    return new Worker(new URL('./hammering-worker.ts', import.meta.url), { workerData });
  });
  const answers = await Promise.all(workers.map((worker) => once(worker, 'message')));
  await Promise.all(workers.map((worker) => worker.terminate()));
  for (const slot of [1, 2]) expect(isSlotInUse(state, slot)).toBe(false);
  return { state, granted: answers.reduce((sum, [answer]) => sum + (answer as { granted: number }).granted, 0) };
}

const day = (amount: number) => ({ kind: 'calendar', amount, unit: 'day', zone: 'Europe/Berlin' }) as const;
const HALF = Math.floor(ATTEMPTS / 2);

describe.each([2, 4])('%i threads of two tenants', (threads) => {
  it('get exactly what their organisation has left, however their own limits lie', async () => {
    const own = [limitOf('tenant', day(HALF * 2)), limitOf('caller', day(HALF * 2))];
    const { granted } = await hammer(threads, own, [limitOf('organisation', day(HALF))]);
    expect(granted).toBe(HALF);
  });

  it('get exactly what each tenant has, when that is less', async () => {
    const own = [limitOf('tenant', day(HALF / 2))];
    const { granted } = await hammer(threads, own, [limitOf('organisation', day(HALF * 4))]);
    expect(granted).toBe(2 * (HALF / 2));
  });

  it('get the rate and the burst of an organisation, and not one more', async () => {
    const rate = { kind: 'rate', callsPerSecond: 1_000, burst: 100 } as const;
    const { granted } = await hammer(threads, [], [limitOf('organisation', rate)]);
    expect(granted).toBe(1_000 + 100);
  });

  it('get exactly what a sliding window and a total have', async () => {
    const sliding = await hammer(
      threads,
      [],
      [limitOf('organisation', { kind: 'sliding', amount: HALF, lengthMs: 60_000 })],
    );
    expect(sliding.granted).toBe(HALF);
    const total = await hammer(
      threads,
      [],
      [limitOf('organisation', { kind: 'total', amount: HALF, sinceSeconds: 0 })],
    );
    expect(total.granted).toBe(HALF);
  });
});

it('a thread that is ended amid its work leaves no lock and no call behind, of its organisation either', async () => {
  const state = createSharedState({ tenantSlots: 3, organisationSlots: 1, workers: 2, epoch: EPOCH });
  const concurrency = limitOf('organisation', { kind: 'concurrency', calls: 1_000_000 });
  const organisation: OrganisationConfig = { name: 'group', slot: 0, limits: [concurrency] };
  const hammering: Hammering = {
    state,
    workerIndex: 0,
    tenant: limitedTenant(1, [], organisation),
    stepMicros: 1e-3,
    untilMicros: 1e9,
    open: new SharedArrayBuffer(8),
    keepLeases: true,
  };
  for (let round = 0; round < 5; round++) {
    const worker = new Worker(new URL('./hammering-worker.ts', import.meta.url), { workerData: hammering });
    await once(worker, 'online');
    await new Promise((resolve) => setTimeout(resolve, 20 + round));
    await worker.terminate();
    releaseWorker(state, 0);
    expect(isSlotInUse(state, 1)).toBe(false);
    // All of the organisation's room is there, and its lock can be had: one call of all there may be is granted.
    const narrow = { ...organisation, limits: [{ ...concurrency, bound: { kind: 'concurrency', calls: 1 } as const }] };
    const gate = new QuotaGate(attachSharedState(state, 1), limitedTenant(1, [], narrow));
    const lease = gate.reserve(callerOf(1, 'alice'), at(0));
    expect(lease.ok).toBe(true);
    if (lease.ok) lease.value.settle();
  }
});
