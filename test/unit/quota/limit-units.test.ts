import { describe, expect, it } from 'vitest';
import type { LimitConfig } from '../../../src/config/quota-config.ts';
import type { QuotaUnit } from '../../../src/kernel/denial.ts';
import type { Demand } from '../../../src/quota/holding.ts';
import { type Lease, QuotaGate } from '../../../src/quota/quota-gate.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { limitedTenant, limitOf, permitFor } from './limits.ts';
import { at, callerOf, EPOCH } from './tenants.ts';

const INFER = 'inference.GRPCInferenceService/ModelInfer';

function gateOf(...limits: readonly LimitConfig[]): QuotaGate {
  const state = createSharedState({ tenantSlots: 4, organisationSlots: 2, workers: 2, epoch: EPOCH });
  return new QuotaGate(attachSharedState(state, 0), limitedTenant(1, limits));
}

function reserved(gate: QuotaGate, caller = 'alice', method = INFER): Lease {
  const lease = gate.reserve(callerOf(1, caller), at(0), method);
  if (!lease.ok) throw new Error(`refused: ${JSON.stringify(lease.error)}`);
  return lease.value;
}

function limit(unit: QuotaUnit, amount: number, changes: Partial<LimitConfig> = {}): LimitConfig {
  return {
    ...limitOf(changes.level ?? 'tenant', { kind: 'total', amount, sinceSeconds: 0 }, `${unit}-${amount}`),
    unit,
    ...changes,
  };
}

function use(unit: Demand['unit'], amount: number): Demand {
  return { unit, use: amount, reserve: 0 };
}

/** Whether a message for a model has room that costs so much. */
function charge(gate: QuotaGate, lease: Lease, model: string, ...demands: readonly Demand[]): boolean {
  return gate.charge(lease, permitFor(model), at(0), { further: [], demands }).ok;
}

describe('tensor elements', () => {
  it('are charged with each message: n of them and not n + 1', () => {
    const gate = gateOf(limit('tensorElements', 100));
    const lease = reserved(gate);
    expect(charge(gate, lease, 'a', use('tensorElements', 60))).toBe(true);
    expect(charge(gate, lease, 'a', use('tensorElements', 41))).toBe(false);
    expect(charge(gate, lease, 'a', use('tensorElements', 40))).toBe(true);
    expect(gate.reserve(callerOf(1, 'bob'), at(0))).toMatchObject({
      error: { kind: 'quota_exhausted', exhausted: [{ unit: 'tensorElements', amount: 100 }] },
    });
  });

  it('of a message that is refused give the call back, if it is its first, and take nothing', () => {
    const gate = gateOf(limit('tensorElements', 100), limit('calls', 2));
    expect(charge(gate, reserved(gate), 'a', use('tensorElements', 101))).toBe(false);
    const first = reserved(gate);
    expect(charge(gate, first, 'a', use('tensorElements', 99))).toBe(true);
    expect(charge(gate, first, 'a', use('tensorElements', 2))).toBe(false);
    reserved(gate);
    expect(gate.reserve(callerOf(1, 'alice'), at(0)).ok).toBe(false);
  });

  it('have limits per caller and per model, all or none of which are taken from', () => {
    const gate = gateOf(
      limit('tensorElements', 100, { level: 'caller' }),
      limit('tensorElements', 50, { level: 'model' }),
    );
    const alice = reserved(gate);
    expect(charge(gate, alice, 'a', use('tensorElements', 51))).toBe(false);
    expect(charge(gate, alice, 'a', use('tensorElements', 50))).toBe(true);
    expect(charge(gate, alice, 'b', use('tensorElements', 50))).toBe(true);
    expect(charge(gate, alice, 'c', use('tensorElements', 1))).toBe(false);
    expect(charge(gate, reserved(gate, 'bob'), 'c', use('tensorElements', 50))).toBe(true);
  });

  it('of two models that share what the limit has for who found no place are summed before they are granted', () => {
    const gate = gateOf(limit('tensorElements', 1, { level: 'model' }));
    // As many models as fill every set.
    const lease = reserved(gate);
    let shared = 0;
    for (let n = 0; n < 10_000 && shared < 2; n++)
      if (!charge(gate, lease, `m${n}`, use('tensorElements', 1))) shared += 1;
    expect(shared).toBe(2);
  });
});

describe('bytes of a model', () => {
  it('of requests are charged when the message has named it', () => {
    const gate = gateOf(limit('requestBytes', 100, { level: 'model', models: ['llama-*'] }));
    const lease = reserved(gate);
    // Nothing else counts them, so that none are paid before.
    expect(gate.toll(lease, 'requestBytes')).toBeUndefined();
    const bytes = (amount: number): Demand => ({ unit: 'requestBytes', use: amount, reserve: 0, whenModel: true });
    expect(charge(gate, lease, 'llama-8b', bytes(60))).toBe(true);
    expect(charge(gate, lease, 'llama-8b', bytes(41))).toBe(false);
    expect(charge(gate, lease, 'llama-8b', bytes(40))).toBe(true);
    expect(charge(gate, lease, 'mistral', bytes(1_000))).toBe(true);
  });

  it('of requests are not paid for twice where the tenant’s are too', () => {
    const gate = gateOf(limit('requestBytes', 100), limit('requestBytes', 80, { level: 'model' }));
    const lease = reserved(gate);
    const bytes: Demand = { unit: 'requestBytes', use: 80, reserve: 0, whenModel: true };
    expect(gate.toll(lease, 'requestBytes')?.pay(80, at(0))).toBeUndefined();
    expect(charge(gate, lease, 'a', bytes)).toBe(true);
    expect(gate.toll(lease, 'requestBytes')?.pay(20, at(0))).toBeUndefined();
    expect(gate.toll(lease, 'requestBytes')?.pay(1, at(0))).toBeDefined();
  });

  it('of responses count for every model that the call has named', () => {
    const gate = gateOf(limit('responseBytes', 100, { level: 'model' }));
    const lease = reserved(gate);
    charge(gate, lease, 'a');
    const toll = gate.toll(lease, 'responseBytes');
    expect(toll?.pay(60, at(0))).toBeUndefined();
    charge(gate, lease, 'b');
    expect(toll?.pay(41, at(0))).toBeDefined();
    expect(toll?.pay(40, at(0))).toBeUndefined();
    const other = reserved(gate);
    expect(charge(gate, other, 'a')).toBe(false);
    expect(charge(gate, other, 'b')).toBe(true);
    expect(gate.toll(other, 'responseBytes')?.pay(61, at(0))).toBeDefined();
    expect(gate.toll(other, 'responseBytes')?.pay(60, at(0))).toBeUndefined();
  });
});

describe('a limit that is narrowed', () => {
  it('to methods counts no call of another', () => {
    const gate = gateOf(limit('calls', 1, { methods: ['inference.GRPCInferenceService/*'] }));
    reserved(gate);
    expect(gate.reserve(callerOf(1, 'alice'), at(0), INFER).ok).toBe(false);
    for (let n = 0; n < 3; n++) reserved(gate, 'alice', 'some.Service/Method');
  });

  it('to models counts calls of all of them together, once however many of them a call names', () => {
    const gate = gateOf(limit('calls', 2, { models: ['llama-*'] }));
    const first = reserved(gate);
    for (const model of ['llama-8b', 'llama-70b', 'mistral']) expect(charge(gate, first, model)).toBe(true);
    expect(charge(gate, reserved(gate), 'llama-70b')).toBe(true);
    expect(charge(gate, reserved(gate), 'llama-8b')).toBe(false);
    expect(charge(gate, reserved(gate), 'mistral')).toBe(true);
  });

  it('to versions counts what may mean them, too', () => {
    const gate = gateOf(limit('calls', 3, { versions: ['3'] }));
    const permitted = (version: string): boolean => gate.charge(reserved(gate), permitFor('a', version), at(0)).ok;
    expect([permitted('3'), permitted('2'), permitted(''), permitted('label:prod')]).toEqual([true, true, true, true]);
    expect([permitted('3'), permitted(''), permitted('label:prod'), permitted('2')]).toEqual([
      false,
      false,
      false,
      true,
    ]);
  });

  it('to models may be each caller’s', () => {
    const gate = gateOf(limit('calls', 1, { level: 'caller', models: ['a'] }));
    expect(charge(gate, reserved(gate, 'alice'), 'a')).toBe(true);
    expect(charge(gate, reserved(gate, 'alice'), 'a')).toBe(false);
    expect(charge(gate, reserved(gate, 'bob'), 'a')).toBe(true);
  });
});

describe('what is reserved', () => {
  it('is given back when the call ends, but for what was used', () => {
    const gate = gateOf(limit('tensorElements', 100));
    const lease = reserved(gate);
    expect(charge(gate, lease, 'a', { unit: 'tensorElements', use: 10, reserve: 80 })).toBe(true);
    expect(charge(gate, reserved(gate), 'a', use('tensorElements', 11))).toBe(false);
    // What comes out of it takes no more.
    expect(charge(gate, lease, 'a', use('tensorElements', 30))).toBe(true);
    lease.settle();
    expect(charge(gate, reserved(gate), 'a', use('tensorElements', 61))).toBe(false);
    expect(charge(gate, reserved(gate), 'a', use('tensorElements', 60))).toBe(true);
  });
});

describe('what a call has reserved and not used', () => {
  const MINUTE = 60_000_000;

  it.each([
    ['of a minute', { kind: 'calendar', amount: 100, unit: 'minute', zone: 'UTC' } as const],
    ['that slides', { kind: 'sliding', amount: 100, lengthMs: 60_000 } as const],
  ])('in a window %s goes back to none that came after it', (_, bound) => {
    const gate = gateOf({ ...limitOf('tenant', bound, 'tokens'), unit: 'outputTokens' });
    const reserve = (lease: Lease, amount: number, now: number): boolean =>
      gate.charge(lease, permitFor('a'), at(now), {
        further: [],
        demands: [{ unit: 'outputTokens', use: 0, reserve: amount }],
      }).ok;
    const hoarder = reserved(gate);
    expect(reserve(hoarder, 60, 0)).toBe(true);
    const later = 2 * MINUTE;
    const other = gate.reserve(callerOf(1, 'alice'), at(later), INFER);
    if (!other.ok) throw new Error('refused');
    expect(gate.pay(other.value, [use('outputTokens', 60)], at(later))).toBeUndefined();
    // One more than it has: that one alone is of this window.
    expect(reserve(hoarder, 61, later)).toBe(true);
    hoarder.settle();
    expect(gate.pay(other.value, [use('outputTokens', 41)], at(later))).toBeDefined();
  });

  it('is given back to the window in which it was taken, when what was taken before is used up', () => {
    const bound = { kind: 'calendar', amount: 100, unit: 'minute', zone: 'UTC' } as const;
    const gate = gateOf({ ...limitOf('tenant', bound, 'time'), unit: 'computeSeconds' });
    const lease = reserved(gate);
    const seconds = (spent: number, reserve: number): Demand => ({ unit: 'computeSeconds', use: spent, reserve });
    const SECOND = 1_000_000;
    expect(gate.pay(lease, [seconds(0, 60 * SECOND)], at(0))).toBeUndefined();
    expect(gate.pay(lease, [seconds(60 * SECOND, 60 * SECOND)], at(MINUTE))).toBeUndefined();
    lease.settle();
    const next = gate.reserve(callerOf(1, 'alice'), at(MINUTE), INFER);
    if (!next.ok) throw new Error('refused');
    expect(gate.pay(next.value, [seconds(100 * SECOND, 0)], at(MINUTE))).toBeUndefined();
  });
});
