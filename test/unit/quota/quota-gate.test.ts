import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { QuotaConfig } from '../../../src/config/quota-config.ts';
import type { Lease } from '../../../src/quota/quota-gate.ts';
import { QuotaGate } from '../../../src/quota/quota-gate.ts';
import { attachSharedState, createSharedState, SUPERVISOR } from '../../../src/quota/shared-state.ts';
import { at, callerOf, EPOCH, tenantWith } from './tenants.ts';

function setUp(quota: Partial<QuotaConfig>, workers = 2) {
  const state = createSharedState({ tenantSlots: 4, workers, epoch: EPOCH });
  const tables = attachSharedState(state, 0);
  return { state, tables, gate: new QuotaGate(tables, tenantWith(1, quota)) };
}

const alice = callerOf(1, 'token:alice');
const bob = callerOf(1, 'token:bob');

describe('the quota gate', () => {
  it('reserves without limits, and still counts the calls in progress', () => {
    const { gate, tables } = setUp({});
    const lease = gate.reserve(alice, at(0));
    expect(lease.ok).toBe(true);
    expect(tables.callsInProgress(1)).toBe(1);
    if (lease.ok) lease.value.settle();
    expect(tables.callsInProgress(1)).toBe(0);
  });

  it("grants a tenant's burst, refuses one more with the exact time, and grants it then", () => {
    const { gate } = setUp({ perTenant: { callsPerSecond: 10, burst: 3 } });
    for (let n = 0; n < 3; n++) expect(gate.reserve(n === 0 ? alice : bob, at(0)).ok).toBe(true);
    expect(gate.reserve(alice, at(0))).toEqual({
      ok: false,
      error: { kind: 'rate_limited', scope: 'tenant', limit: { callsPerSecond: 10, burst: 3 }, retryAfterMs: 100 },
    });
    expect(gate.reserve(alice, at(99_999)).ok).toBe(false);
    expect(gate.reserve(alice, at(100_000)).ok).toBe(true);
  });

  it("refuses a caller over its own rate and leaves the tenant's other callers alone", () => {
    const { gate } = setUp({ perCaller: { callsPerSecond: 1, burst: 1 } });
    expect(gate.reserve(alice, at(0)).ok).toBe(true);
    const refused = gate.reserve(alice, at(0));
    expect(refused).toMatchObject({ error: { kind: 'rate_limited', scope: 'caller', retryAfterMs: 1000 } });
    expect(gate.reserve(bob, at(0)).ok).toBe(true);
  });

  it('recognises a caller by its id, not by its object', () => {
    const { gate } = setUp({ perCaller: { callsPerSecond: 1, burst: 1 } });
    expect(gate.reserve(callerOf(1, 'token:carol'), at(0)).ok).toBe(true);
    expect(gate.reserve(callerOf(1, 'token:carol'), at(0)).ok).toBe(false);
  });

  it("does not burn the tenant's tokens when the caller's rate refuses", () => {
    const { gate } = setUp({ perTenant: { callsPerSecond: 1, burst: 2 }, perCaller: { callsPerSecond: 1, burst: 1 } });
    expect(gate.reserve(alice, at(0)).ok).toBe(true);
    for (let n = 0; n < 10; n++) expect(gate.reserve(alice, at(0)).ok).toBe(false);
    expect(gate.reserve(bob, at(0)).ok).toBe(true);
  });

  it("does not burn the caller's tokens when the tenant's rate or concurrency refuses", () => {
    const { gate } = setUp({
      perTenant: { callsPerSecond: 10, burst: 1 },
      perCaller: { callsPerSecond: 0.001, burst: 1 },
    });
    expect(gate.reserve(bob, at(0)).ok).toBe(true);
    for (let n = 0; n < 10; n++) expect(gate.reserve(alice, at(0)).ok).toBe(false);
    expect(gate.reserve(alice, at(100_000)).ok).toBe(true);

    const narrow = setUp({ maxConcurrentCalls: 1, perCaller: { callsPerSecond: 0.001, burst: 1 } }).gate;
    const lease = narrow.reserve(bob, at(0));
    for (let n = 0; n < 10; n++) expect(narrow.reserve(alice, at(0)).ok).toBe(false);
    if (lease.ok) lease.value.settle();
    expect(narrow.reserve(alice, at(0)).ok).toBe(true);
  });

  it('names the limit that takes longer when both are spent', () => {
    const quota = { perTenant: { callsPerSecond: 10, burst: 1 }, perCaller: { callsPerSecond: 1, burst: 1 } };
    const { gate } = setUp(quota);
    gate.reserve(alice, at(0));
    expect(gate.reserve(alice, at(0))).toMatchObject({ error: { scope: 'caller', retryAfterMs: 1000 } });
    expect(gate.reserve(bob, at(0))).toMatchObject({ error: { scope: 'tenant', retryAfterMs: 100 } });
  });

  it('admits n calls at once over all workers, refuses n + 1, and admits it when one has settled', () => {
    const { state, gate } = setUp({ maxConcurrentCalls: 3 });
    const other = new QuotaGate(attachSharedState(state, 1), tenantWith(1, { maxConcurrentCalls: 3 }));
    const leases = [gate.reserve(alice, at(0)), other.reserve(alice, at(0)), other.reserve(bob, at(0))];
    expect(leases.every((lease) => lease.ok)).toBe(true);
    for (const full of [gate, other]) {
      expect(full.reserve(alice, at(0))).toMatchObject({ error: { kind: 'concurrency_limited', limit: 3 } });
    }
    if (leases[1]?.ok) leases[1].value.settle();
    expect(gate.reserve(alice, at(0)).ok).toBe(true);
    expect(gate.reserve(alice, at(0)).ok).toBe(false);
  });

  it('checks concurrency first: a call over it burns no rate', () => {
    const { gate } = setUp({ maxConcurrentCalls: 1, perTenant: { callsPerSecond: 1, burst: 2 } });
    const first = gate.reserve(alice, at(0));
    for (let n = 0; n < 5; n++)
      expect(gate.reserve(alice, at(0))).toMatchObject({ error: { kind: 'concurrency_limited' } });
    if (first.ok) first.value.settle();
    expect(gate.reserve(alice, at(0)).ok).toBe(true);
  });

  it('settles a lease exactly once, however often it is asked', () => {
    const { gate, tables } = setUp({ maxConcurrentCalls: 2 });
    const one = gate.reserve(alice, at(0));
    const two = gate.reserve(alice, at(0));
    if (!one.ok || !two.ok) throw new Error('not reserved');
    one.value.settle();
    one.value.settle();
    one.value[Symbol.dispose]();
    expect(tables.callsInProgress(1)).toBe(1);
    two.value.settle();
    expect(tables.callsInProgress(1)).toBe(0);
  });

  it('refuses a caller of another tenant, whose tokens it would burn', () => {
    const { gate, tables } = setUp({ perTenant: { callsPerSecond: 1, burst: 1 } });
    const intruder = gate.reserve(callerOf(2, 'token:mallory'), at(0));
    expect(intruder).toMatchObject({ ok: false, error: { kind: 'internal' } });
    expect(tables.callsInProgress(1)).toBe(0);
    // Counter-proof: as a caller of this tenant the same call is granted and takes the token.
    expect(gate.reserve(callerOf(1, 'token:mallory'), at(0)).ok).toBe(true);
    expect(gate.reserve(alice, at(0)).ok).toBe(false);
  });

  it('keeps buckets across generations, and scales a debt to the new limit', () => {
    const { state, gate } = setUp({
      perTenant: { callsPerSecond: 0.001, burst: 1 },
      perCaller: { callsPerSecond: 0.001, burst: 1 },
    });
    expect(gate.reserve(alice, at(0)).ok).toBe(true);
    const tables = attachSharedState(state, 1);
    const same = new QuotaGate(tables, tenantWith(1, { perTenant: { callsPerSecond: 0.001, burst: 1 } }));
    expect(same.reserve(alice, at(0)).ok).toBe(false);
    const raised = new QuotaGate(
      tables,
      tenantWith(1, { perTenant: { callsPerSecond: 10, burst: 1 }, perCaller: { callsPerSecond: 5, burst: 1 } }),
    );
    expect(raised.reserve(alice, at(0))).toMatchObject({ error: { scope: 'caller', retryAfterMs: 200 } });
    expect(raised.reserve(alice, at(200_000)).ok).toBe(true);
  });

  it('is refused to a thread that is not a worker', () => {
    const { state } = setUp({});
    expect(() => new QuotaGate(attachSharedState(state, SUPERVISOR), tenantWith(1, {}))).toThrow(RangeError);
  });

  it('never exceeds any limit in any order of reserving and settling', () => {
    const step = fc.record({
      gap: fc.integer({ min: 0, max: 50_000 }),
      caller: fc.constantFrom('a', 'b', 'c'),
      settle: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const { gate } = setUp({
          perTenant: { callsPerSecond: 50, burst: 5 },
          perCaller: { callsPerSecond: 20, burst: 2 },
          maxConcurrentCalls: 4,
        });
        const open: Lease[] = [];
        const granted: { now: number; caller: string }[] = [];
        let now = 0;
        for (const { gap, caller, settle } of steps) {
          now += gap;
          if (settle) open.shift()?.settle();
          const lease = gate.reserve(callerOf(1, caller), at(now));
          if (!lease.ok) continue;
          open.push(lease.value);
          granted.push({ now, caller });
          if (open.length > 4) return false;
        }
        return ['a', 'b', 'c', undefined].every((who) => {
          const of = granted.filter(({ caller }) => who === undefined || caller === who);
          const [rate, burst] = who === undefined ? [50, 5] : [20, 2];
          return of.every((from, i) =>
            of.slice(i).every((to, n) => n + 1 <= burst + (rate * (to.now - from.now)) / 1e6 + 1e-6),
          );
        });
      }),
    );
  });
});

// A lease is evidence: nothing but the gate makes one.
// @ts-expect-error an object of the same shape is not a lease
export const forged: Lease = { settle() {}, [Symbol.dispose]() {} };
