import { describe, expect, it } from 'vitest';
import { ByteAccount } from '../../../src/buffers/byte-account.ts';
import { QuotaGate } from '../../../src/quota/quota-gate.ts';
import {
  attachSharedState,
  clearSlot,
  createSharedState,
  isSlotInUse,
  LOCK,
  releaseWorker,
  tenantUsage,
} from '../../../src/quota/shared-state.ts';
import { acquire } from '../../../src/quota/tenant-lock.ts';
import { at, callerOf, EPOCH, tenantWith } from './tenants.ts';

const caller = callerOf(1, 'token:alice');

function setUp() {
  const state = createSharedState({ tenantSlots: 3, workers: 2, epoch: EPOCH });
  const quota = { maxConcurrentCalls: 2, perTenant: { callsPerSecond: 1, burst: 5 } };
  const gates = [0, 1].map((index) => new QuotaGate(attachSharedState(state, index), tenantWith(1, quota)));
  return { state, gates };
}

describe('releasing a dead worker', () => {
  it('returns its leases and bytes, and nobody else’s', () => {
    const { state, gates } = setUp();
    new ByteAccount(attachSharedState(state, 0), 1, 1000).charge(300);
    new ByteAccount(attachSharedState(state, 1), 1, 1000).charge(40);
    for (const gate of gates) expect(gate.reserve(caller, at(0)).ok).toBe(true);
    expect(gates[1]?.reserve(caller, at(0)).ok).toBe(false);
    expect(tenantUsage(state, 1)).toEqual({ callsInProgress: 2, bytesInFlight: 340 });
    expect(releaseWorker(state, 0)).toEqual({ calls: 1, bytes: 300 });
    expect(attachSharedState(state, 1).bytesInFlight(1)).toBe(40);
    expect(attachSharedState(state, 1).callsInProgress(1)).toBe(1);
    expect(gates[1]?.reserve(caller, at(0)).ok).toBe(true);
    expect(releaseWorker(state, 0)).toEqual({ calls: 0, bytes: 0 });
  });

  it('breaks the lock that it died with; until then the tenant is refused, and only it', () => {
    const { state, gates } = setUp();
    const dead = attachSharedState(state, 0);
    expect(acquire(dead.ints, dead.cellBase(1) + LOCK, 0)).toBe(true);
    expect(gates[1]?.reserve(caller, at(0))).toMatchObject({ error: { kind: 'overloaded' } });
    const neighbour = new QuotaGate(attachSharedState(state, 1), tenantWith(2, { maxConcurrentCalls: 1 }));
    expect(neighbour.reserve(callerOf(2, 'x'), at(0)).ok).toBe(true);
    // Releasing the wrong worker does not break it.
    releaseWorker(state, 1);
    expect(gates[1]?.reserve(caller, at(0)).ok).toBe(false);
    releaseWorker(state, 0);
    expect(gates[1]?.reserve(caller, at(0)).ok).toBe(true);
  });
});

describe('a slot for another tenant', () => {
  it('is not to be had while calls or bytes of the old one are in flight', () => {
    const { state, gates } = setUp();
    const lease = gates[0]?.reserve(caller, at(0));
    expect(() => clearSlot(state, 1)).toThrow(/in use/);
    if (lease?.ok) lease.value.settle();
    const account = new ByteAccount(attachSharedState(state, 0), 1, 10);
    account.charge(1);
    expect(isSlotInUse(state, 1)).toBe(true);
    account.release(1);
    clearSlot(state, 1);
  });

  it('starts with full buckets', () => {
    const { state, gates } = setUp();
    for (let n = 0; n < 5; n++) {
      const lease = gates[0]?.reserve(caller, at(0));
      if (lease?.ok) lease.value.settle();
    }
    expect(gates[0]?.reserve(caller, at(0)).ok).toBe(false);
    clearSlot(state, 1);
    expect(gates[0]?.reserve(caller, at(0)).ok).toBe(true);
  });
});
