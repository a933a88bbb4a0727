import { describe, expect, it } from 'vitest';
import {
  attachSharedState,
  capacityFor,
  createSharedState,
  IN_PROGRESS,
  SUPERVISOR,
  setWorkerSpan,
  workerCapacityFor,
} from '../../../src/quota/shared-state.ts';

describe('the shared tables', () => {
  it('survive a structured clone as the same memory', () => {
    const state = createSharedState({ tenantSlots: 4, workers: 2 });
    const there = attachSharedState(structuredClone(state), 1);
    there.bytes[1 * 4 + 3] = 17;
    expect(attachSharedState(state, SUPERVISOR).bytesInFlight(3)).toBe(17);
  });

  it('have a block for slot n - 1 and none for slot n', () => {
    const tables = attachSharedState(createSharedState({ tenantSlots: 3, workers: 1 }), 0);
    expect(tables.callsInProgress(2)).toBe(0);
    for (const slot of [3, -1, 0.5, Number.NaN]) expect(() => tables.cellBase(slot)).toThrow(/not within 0\.\.2/);
  });

  it('have a worker n - 1 and no worker n', () => {
    const state = createSharedState({ tenantSlots: 1, workers: 2 });
    expect(attachSharedState(state, 1).workerIndex).toBe(1);
    expect(() => attachSharedState(state, 2)).toThrow(/not within 0\.\.1/);
    expect(() => attachSharedState(state, -2)).toThrow(RangeError);
  });

  it('keep blocks of neighbours apart, however many workers there are', () => {
    for (const workers of [1, 18, 19, 1024]) {
      const tables = attachSharedState(createSharedState({ tenantSlots: 2, workers, callerSlots: 128 }), 0);
      const stride = (tables.cellBase(1) - tables.cellBase(0)) * 4;
      expect(stride % 128).toBe(0);
      expect(stride).toBeGreaterThanOrEqual(14 * 4 + workers * 4);
    }
  });

  it('share the places of the caller table equally, within 64 and 8192 each', () => {
    const share = (tenantSlots: number, callerSlots?: number) =>
      createSharedState({ tenantSlots, workers: 1, ...(callerSlots === undefined ? {} : { callerSlots }) })
        .callerSlotsPerTenant;
    expect(share(1024)).toBe(8192);
    expect(share(20_000)).toBe(512);
    expect(share(10, 1)).toBe(64);
    expect(share(10, 1290)).toBe(128);
  });

  it('refuse sizes that are not counts', () => {
    for (const tenantSlots of [0, -1, 1.5, Number.NaN, (1 << 20) + 1]) {
      expect(() => createSharedState({ tenantSlots, workers: 1 })).toThrow(RangeError);
    }
    expect(() => createSharedState({ tenantSlots: 1, workers: 0 })).toThrow(RangeError);
    expect(() => createSharedState({ tenantSlots: 1, workers: 1025 })).toThrow(RangeError);
  });

  it('leave room for as many workers as a block of whole cache-line pairs has', () => {
    expect([1, 18, 19, 50, 51, 64].map(workerCapacityFor)).toEqual([18, 18, 50, 50, 82, 82]);
    const room = createSharedState({ tenantSlots: 2, workers: workerCapacityFor(1) });
    const exact = createSharedState({ tenantSlots: 2, workers: 1 });
    expect(room.cells.byteLength).toBe(exact.cells.byteLength);
  });

  it('sum up to the span of the workers that there are, for every thread at once', () => {
    const state = createSharedState({ tenantSlots: 2, workers: 18 });
    setWorkerSpan(state, 2);
    const there = attachSharedState(structuredClone(state), 0);
    for (const [worker, count] of [
      [1, 5],
      [2, 70],
    ] as const) {
      there.ints[there.cellBase(1) + IN_PROGRESS + worker] = count;
      there.bytes[worker * 2 + 1] = count;
    }
    expect([there.callsInProgress(1), there.bytesInFlight(1)]).toEqual([5, 5]);
    setWorkerSpan(state, 3);
    expect([there.callsInProgress(1), there.bytesInFlight(1)]).toEqual([75, 75]);
    for (const span of [0, 19, 1.5]) expect(() => setWorkerSpan(state, span)).toThrow(RangeError);
  });

  it('leave room for as many tenants again', () => {
    expect(capacityFor(3)).toBe(1024);
    expect(capacityFor(513)).toBe(1026);
  });
});
