import { describe, expect, it } from 'vitest';
import { attachSharedState, capacityFor, createSharedState, SUPERVISOR } from '../../../src/quota/shared-state.ts';

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

  it('leave room for as many tenants again', () => {
    expect(capacityFor(3)).toBe(1024);
    expect(capacityFor(513)).toBe(1026);
  });
});
