import { describe, expect, it } from 'vitest';
import { CallerBuckets, OVERFLOW } from '../../../src/quota/caller-buckets.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';

const SECOND = 1_000_000;

function tablesOf(callerSlots: number) {
  return attachSharedState(createSharedState({ tenantSlots: 2, workers: 2, callerSlots }), 0);
}

/** Enters a caller whose bucket is full again at `arrival`. Returns its index. */
function enter(buckets: CallerBuckets, times: Float64Array, id: string, now: number, arrival: number): number {
  const index = buckets.find(buckets.placeOf({ id }), now);
  if (index !== OVERFLOW) times[index] = arrival;
  return index;
}

describe('caller buckets', () => {
  it('find the same bucket for the same id, whoever looks', () => {
    const tables = tablesOf(256);
    const here = new CallerBuckets(tables, 0);
    const there = new CallerBuckets(attachSharedState(tables.state, 1), 0);
    const index = here.find(here.placeOf({ id: 'token:alice' }), 0);
    expect(there.find(there.placeOf({ id: 'token:alice' }), 0)).toBe(index);
    expect(there.find(there.placeOf({ id: 'token:bob' }), 0)).not.toBe(index);
  });

  it('keep every caller and its debt while the table doubles, also for places cached before', () => {
    const tables = tablesOf(2 * 8192);
    const buckets = new CallerBuckets(tables, 1);
    const callers = Array.from({ length: 4096 }, (_, n) => ({ id: `caller-${n}` }));
    for (const [n, caller] of callers.entries()) {
      const index = buckets.find(buckets.placeOf(caller), 0);
      expect(index).not.toBe(OVERFLOW);
      tables.callerTimes[index] = 5 * SECOND + n;
    }
    for (const [n, caller] of callers.entries()) {
      expect(tables.callerTimes[buckets.find(buckets.placeOf(caller), 0)]).toBe(5 * SECOND + n);
    }
  });

  it('hold n callers, and send caller n + 1 to the overflow bucket', () => {
    const tables = tablesOf(2 * 256);
    const buckets = new CallerBuckets(tables, 0);
    const found = Array.from({ length: 128 }, (_, n) => enter(buckets, tables.callerTimes, `c${n}`, 0, 9e9));
    expect(found).not.toContain(OVERFLOW);
    expect(enter(buckets, tables.callerTimes, 'one-more', 0, 9e9)).toBe(OVERFLOW);
  });

  it('take over only places whose bucket has been full for a second', () => {
    const tables = tablesOf(2 * 64);
    const buckets = new CallerBuckets(tables, 0);
    for (let n = 0; n < 32; n++) enter(buckets, tables.callerTimes, `c${n}`, 0, n === 0 ? 10 * SECOND : 9e9);
    expect(enter(buckets, tables.callerTimes, 'early', 11 * SECOND - 1, 9e9)).toBe(OVERFLOW);
    // One search per second: the next call may not even look.
    expect(enter(buckets, tables.callerTimes, 'late', 11 * SECOND, 9e9)).toBe(OVERFLOW);
    expect(enter(buckets, tables.callerTimes, 'later', 12 * SECOND, 9e9)).not.toBe(OVERFLOW);
    expect(tables.callerTimes[buckets.find(buckets.placeOf({ id: 'c1' }), 12 * SECOND)]).toBe(9e9);
  });

  it("leave another tenant's callers alone in a flood", () => {
    const tables = tablesOf(2 * 64);
    const mine = new CallerBuckets(tables, 0);
    const alice = { id: 'alice' };
    tables.callerTimes[mine.find(mine.placeOf(alice), 0)] = 1234;
    const theirs = new CallerBuckets(tables, 1);
    for (let n = 0; n < 10_000; n++) enter(theirs, tables.callerTimes, `flood-${n}`, n, 9e9);
    const again = new CallerBuckets(tables, 0);
    expect(tables.callerTimes[again.find(again.placeOf({ id: 'alice' }), 0)]).toBe(1234);
    expect(enter(again, tables.callerTimes, 'bob', 0, 0)).not.toBe(OVERFLOW);
  });

  it('validate a cached place: after a rebuild it is searched anew', () => {
    const tables = tablesOf(2 * 64);
    const buckets = new CallerBuckets(tables, 0);
    const alice = { id: 'alice' };
    const before = buckets.find(buckets.placeOf(alice), 0);
    tables.resetTimes(0);
    expect(tables.callerKeys[((before - 1) / 2) * 4 + 1]).toBe(0);
    const after = buckets.find(buckets.placeOf(alice), 0);
    expect(tables.callerTimes[after]).toBe(Number.NEGATIVE_INFINITY);
    expect(tables.callerKeys[((after - 1) / 2) * 4 + 1]).not.toBe(0);
  });
});
