import { describe, expect, it } from 'vitest';
import type { LimitConfig, OrganisationConfig } from '../../../src/config/quota-config.ts';
import type { Lease } from '../../../src/quota/quota-gate.ts';
import { QuotaGate } from '../../../src/quota/quota-gate.ts';
import {
  attachSharedState,
  clearSlot,
  createSharedState,
  releaseWorker,
  type SharedState,
} from '../../../src/quota/shared-state.ts';
import { limitedTenant, limitOf, permitFor } from './limits.ts';
import { at, callerOf, EPOCH, tenantWith } from './tenants.ts';

const SECOND = 1_000_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;

function tables(): SharedState {
  return createSharedState({ tenantSlots: 4, organisationSlots: 2, workers: 2, epoch: EPOCH });
}

function gateOf(limits: readonly LimitConfig[], state = tables(), worker = 0, organisation?: OrganisationConfig) {
  return new QuotaGate(attachSharedState(state, worker), limitedTenant(1, limits, organisation));
}

function granted(gate: QuotaGate, now: number, caller = 'alice', slot = 1): Lease {
  const lease = gate.reserve(callerOf(slot, caller), at(now));
  if (!lease.ok) throw new Error(`refused: ${JSON.stringify(lease.error)}`);
  return lease.value;
}

function refused(gate: QuotaGate, now: number, caller = 'alice', slot = 1) {
  const lease = gate.reserve(callerOf(slot, caller), at(now));
  if (lease.ok) throw new Error('granted');
  return lease.error;
}

const perDay = (amount: number) => ({ kind: 'calendar', amount, unit: 'day', zone: 'UTC' }) as const;
// EPOCH is 08:00 UTC.
const UNTIL_MIDNIGHT = 16 * HOUR;

describe('a window', () => {
  it('by the calendar has room for n calls, refuses n + 1 until its end, and has room again then', () => {
    const gate = gateOf([limitOf('tenant', perDay(3), 'daily')]);
    for (let n = 0; n < 3; n++) granted(gate, n);
    expect(refused(gate, 10)).toEqual({
      kind: 'quota_exhausted',
      exhausted: [
        {
          name: 'daily',
          level: 'tenant',
          unit: 'calls',
          amount: 3,
          window: 'day',
          windowSeconds: 86_400,
          resetMs: (UNTIL_MIDNIGHT - 10) / 1_000,
        },
      ],
      retryAfterMs: (UNTIL_MIDNIGHT - 10) / 1_000,
    });
    refused(gate, UNTIL_MIDNIGHT - 1);
    for (let n = 0; n < 3; n++) granted(gate, UNTIL_MIDNIGHT);
    refused(gate, UNTIL_MIDNIGHT);
  });

  it('that slides has room for n calls in any stretch of its length', () => {
    const gate = gateOf([limitOf('tenant', { kind: 'sliding', amount: 3, lengthMs: 10_000 }, 'ten')]);
    for (const now of [0, 4 * SECOND, 9 * SECOND]) granted(gate, now);
    expect(refused(gate, 9 * SECOND)).toMatchObject({
      kind: 'quota_exhausted',
      // Parts of a second: the call at 0 counts until 11 s.
      exhausted: [{ window: '10s', windowSeconds: 10, resetMs: 2_000 }],
    });
    refused(gate, 11 * SECOND - 1);
    granted(gate, 11 * SECOND);
    refused(gate, 15 * SECOND - 1);
    granted(gate, 15 * SECOND);
  });

  it('counts on for a thread whose clock is behind the window that another has begun', () => {
    const gate = gateOf([limitOf('tenant', perDay(2), 'daily')]);
    granted(gate, UNTIL_MIDNIGHT);
    granted(gate, UNTIL_MIDNIGHT - 1);
    refused(gate, UNTIL_MIDNIGHT);
  });
});

describe('a total', () => {
  it('has room for n calls in all, and no time helps', () => {
    const gate = gateOf([limitOf('tenant', { kind: 'total', amount: 2, sinceSeconds: 0 }, 'contract')]);
    granted(gate, 0);
    granted(gate, 400 * DAY);
    expect(refused(gate, 800 * DAY)).toMatchObject({
      kind: 'quota_exhausted',
      exhausted: [{ window: 'total', windowSeconds: undefined, resetMs: undefined }],
      retryAfterMs: undefined,
    });
  });

  it('begins anew at a later `since`, once that has come', () => {
    const state = tables();
    const total = (sinceSeconds: number) => [limitOf('tenant', { kind: 'total', amount: 1, sinceSeconds }, 'contract')];
    granted(gateOf(total(0), state), 0);
    const renewed = gateOf(total(EPOCH / SECOND + 60), state);
    expect(refused(renewed, 59 * SECOND)).toMatchObject({ retryAfterMs: 1_000 });
    granted(renewed, 60 * SECOND);
    refused(renewed, 61 * SECOND);
  });
});

describe('a level', () => {
  it('of a caller is each caller’s own', () => {
    const gate = gateOf([limitOf('caller', perDay(1))]);
    granted(gate, 0, 'alice');
    expect(refused(gate, 0, 'alice')).toMatchObject({ exhausted: [{ level: 'caller' }] });
    granted(gate, 0, 'bob');
  });

  it('of concurrency has room again when a call has ended, on whichever worker', () => {
    const state = tables();
    const limits = [limitOf('caller', { kind: 'concurrency', calls: 2 }, 'at-once')];
    const [one, other] = [gateOf(limits, state, 0), gateOf(limits, state, 1)];
    const first = granted(one, 0);
    granted(other, 0);
    expect(refused(one, 0)).toMatchObject({ kind: 'concurrency_limited', scope: 'caller', name: 'at-once', limit: 2 });
    granted(one, 0, 'bob');
    first.settle();
    first.settle();
    granted(other, 0);
    refused(other, 0);
  });

  it('of a rate is told with its name', () => {
    const gate = gateOf([limitOf('caller', { kind: 'rate', callsPerSecond: 10, burst: 2 }, 'steady')]);
    granted(gate, 0);
    granted(gate, 0);
    expect(refused(gate, 0)).toEqual({
      kind: 'rate_limited',
      scope: 'caller',
      name: 'steady',
      limit: { callsPerSecond: 10, burst: 2 },
      retryAfterMs: 100,
    });
    granted(gate, SECOND / 10);
  });

  it('of an organisation is shared by its tenants, and by nobody else', () => {
    const state = tables();
    const organisation = { name: 'group', slot: 1, limits: [limitOf('organisation', perDay(2), 'group-daily')] };
    const gate = (slot: number) =>
      new QuotaGate(attachSharedState(state, 0), limitedTenant(slot, [], slot === 3 ? undefined : organisation));
    const [one, other, stranger] = [gate(1), gate(2), gate(3)];
    granted(one, 0);
    granted(other, 0, 'bob', 2);
    for (const [tenant, slot] of [
      [one, 1],
      [other, 2],
    ] as const) {
      expect(refused(tenant, 0, 'carol', slot)).toMatchObject({
        exhausted: [{ name: 'group-daily', level: 'organisation' }],
      });
    }
    granted(stranger, 0, 'dave', 3);
  });
});

describe('all limits of a call', () => {
  it('are taken from or none is', () => {
    const gate = gateOf([
      limitOf('tenant', perDay(3), 'daily'),
      limitOf('caller', perDay(1), 'each'),
      limitOf('caller', { kind: 'concurrency', calls: 9 }, 'at-once'),
    ]);
    granted(gate, 0, 'alice').settle();
    for (let n = 0; n < 20; n++) refused(gate, 0, 'alice');
    granted(gate, 0, 'bob').settle();
    granted(gate, 0, 'carol').settle();
    expect(refused(gate, 0, 'dave')).toMatchObject({ exhausted: [{ name: 'daily' }] });
  });

  it('that are used up are all named', () => {
    const gate = gateOf([
      limitOf('tenant', perDay(1), 'daily'),
      limitOf('tenant', { kind: 'total', amount: 1, sinceSeconds: 0 }, 'contract'),
      limitOf('tenant', { kind: 'rate', callsPerSecond: 1, burst: 1 }, 'steady'),
    ]);
    granted(gate, 0);
    expect(refused(gate, 0)).toMatchObject({
      exhausted: [{ name: 'daily' }, { name: 'contract' }],
      retryAfterMs: undefined,
    });
  });

  it('cost nothing where the older ones refuse, and the other way round', () => {
    const state = tables();
    const tenant = tenantWith(1, {
      perTenant: { callsPerSecond: 1, burst: 2 },
      limits: [limitOf('tenant', perDay(2), 'daily')],
    });
    const gate = new QuotaGate(attachSharedState(state, 0), tenant);
    granted(gate, 0);
    granted(gate, 0);
    for (let n = 0; n < 5; n++) expect(refused(gate, 0)).toMatchObject({ kind: 'rate_limited', scope: 'tenant' });
    for (let n = 0; n < 5; n++) expect(refused(gate, 10 * SECOND)).toMatchObject({ kind: 'quota_exhausted' });
    const raised = { ...tenant, quota: { ...tenant.quota, limits: [limitOf('tenant', perDay(4), 'daily')] } };
    const next = new QuotaGate(attachSharedState(state, 0), raised);
    granted(next, 10 * SECOND);
    granted(next, 10 * SECOND);
    expect(refused(next, 10 * SECOND)).toMatchObject({ kind: 'rate_limited' });
  });
});

describe('a model’s limit', () => {
  const model = { ...limitOf('model', perDay(2), 'per-model'), models: ['llama-*', 'mistral'] };

  it('is charged once a call for each model that its messages name', () => {
    const gate = gateOf([model]);
    const first = granted(gate, 0);
    for (let message = 0; message < 5; message++)
      expect(gate.charge(first, permitFor('llama-8b'), at(0)).ok).toBe(true);
    expect(gate.charge(granted(gate, 0), permitFor('llama-8b'), at(0)).ok).toBe(true);
    const third = granted(gate, 0);
    expect(gate.charge(third, permitFor('llama-8b'), at(0))).toMatchObject({
      ok: false,
      error: { kind: 'quota_exhausted', exhausted: [{ name: 'per-model', level: 'model' }] },
    });
    expect(gate.charge(third, permitFor('llama-70b'), at(0)).ok).toBe(true);
    for (let n = 0; n < 5; n++) expect(gate.charge(granted(gate, 0), permitFor('digits'), at(0)).ok).toBe(true);
  });

  it('is remembered for 64 models of one call, and then the first is paid for again', () => {
    const any = { ...limitOf('model', perDay(1), 'per-model') };
    const gate = gateOf([any]);
    const named = granted(gate, 0);
    for (let n = 0; n < 64; n++) expect(gate.charge(named, permitFor(`m${n}`), at(0)).ok).toBe(true);
    expect(gate.charge(named, permitFor('m0'), at(0)).ok).toBe(true);
    expect(gate.charge(named, permitFor('m64'), at(0)).ok).toBe(true);
    expect(gate.charge(named, permitFor('m1'), at(0)).ok).toBe(true);
    expect(gate.charge(named, permitFor('m0'), at(0)).ok).toBe(false);
  });

  it('hands the permit itself on, and a refusal as it came', () => {
    const gate = gateOf([model]);
    const permit = permitFor('llama-8b');
    expect(gate.charge(granted(gate, 0), permit, at(0))).toBe(permit);
    const denied = { ok: false, error: { kind: 'draining' } } as const;
    expect(gate.charge(granted(gate, 0), denied, at(0))).toBe(denied);
  });

  it('that refuses a call has its windows given back, and not its rates', () => {
    const limits = [
      limitOf('tenant', perDay(5), 'daily'),
      limitOf('tenant', { kind: 'sliding', amount: 5, lengthMs: 60_000 }, 'minute'),
      limitOf('caller', { kind: 'total', amount: 5, sinceSeconds: 0 }, 'contract'),
      { ...model, bound: perDay(1) },
    ];
    const gate = gateOf(limits);
    expect(gate.charge(granted(gate, 0), permitFor('mistral'), at(0)).ok).toBe(true);
    for (let n = 0; n < 50; n++) expect(gate.charge(granted(gate, 1), permitFor('mistral'), at(1)).ok).toBe(false);
    for (let n = 0; n < 4; n++) granted(gate, 1);
    refused(gate, 1);
    const rated = gateOf([
      limitOf('tenant', { kind: 'rate', callsPerSecond: 1, burst: 2 }),
      { ...model, bound: perDay(1) },
    ]);
    expect(rated.charge(granted(rated, 0), permitFor('mistral'), at(0)).ok).toBe(true);
    expect(rated.charge(granted(rated, 0), permitFor('mistral'), at(0)).ok).toBe(false);
    expect(refused(rated, 0)).toMatchObject({ kind: 'rate_limited' });
  });

  it('counts no call that began before it came', () => {
    const state = tables();
    const before = gateOf([limitOf('tenant', perDay(9), 'daily')], state);
    const lease = granted(before, 0);
    const after = gateOf([limitOf('tenant', perDay(1), 'monthly'), { ...model, bound: perDay(1) }], state);
    expect(after.charge(granted(after, 0), permitFor('mistral'), at(0)).ok).toBe(true);
    expect(after.charge(lease, permitFor('mistral'), at(0)).ok).toBe(true);
    refused(after, 0);
  });

  it('of concurrency is held until the call ends', () => {
    const gate = gateOf([{ ...model, bound: { kind: 'concurrency', calls: 1 } }]);
    const lease = granted(gate, 0);
    expect(gate.charge(lease, permitFor('mistral'), at(0)).ok).toBe(true);
    const second = granted(gate, 0);
    expect(gate.charge(second, permitFor('mistral'), at(0)).ok).toBe(false);
    lease.settle();
    expect(gate.charge(second, permitFor('mistral'), at(0)).ok).toBe(true);
  });
});

describe('bytes', () => {
  const bytes = (
    amount: number,
    unit: 'requestBytes' | 'responseBytes' = 'requestBytes',
    level: 'tenant' | 'caller' = 'tenant',
  ) => ({ ...limitOf(level, { kind: 'total', amount, sinceSeconds: 0 }, `${level}-${unit}`), unit }) as const;

  it('are paid message by message, n of them and not n + 1', () => {
    const gate = gateOf([bytes(100)]);
    const toll = gate.toll(granted(gate, 0), 'requestBytes');
    expect(toll?.pay(60, at(0))).toBeUndefined();
    expect(toll?.pay(41, at(0))).toMatchObject({
      kind: 'quota_exhausted',
      exhausted: [{ name: 'tenant-requestBytes', unit: 'requestBytes', amount: 100 }],
    });
    expect(toll?.pay(40, at(0))).toBeUndefined();
    expect(toll?.pay(1, at(0))).toMatchObject({ kind: 'quota_exhausted' });
    // Nothing is left: no call is worth beginning.
    expect(refused(gate, 0)).toMatchObject({ exhausted: [{ unit: 'requestBytes' }] });
  });

  it('of one direction are not those of the other, and cost no call that pays for neither', () => {
    const gate = gateOf([bytes(10, 'responseBytes')]);
    const lease = granted(gate, 0);
    expect(gate.toll(lease, 'requestBytes')).toBeUndefined();
    expect(gate.toll(lease, 'responseBytes')?.pay(10, at(0))).toBeUndefined();
    const none = gateOf([limitOf('tenant', perDay(5))]);
    expect(none.toll(granted(none, 0), 'responseBytes')).toBeUndefined();
  });

  it('are taken from all that count them or from none', () => {
    const gate = gateOf([bytes(100), bytes(50, 'requestBytes', 'caller')]);
    const alice = gate.toll(granted(gate, 0, 'alice'), 'requestBytes');
    expect(alice?.pay(50, at(0))).toBeUndefined();
    for (let n = 0; n < 9; n++) expect(alice?.pay(20, at(0))).toMatchObject({ exhausted: [{ level: 'caller' }] });
    expect(gate.toll(granted(gate, 0, 'bob'), 'requestBytes')?.pay(50, at(0))).toBeUndefined();
    expect(refused(gate, 0, 'carol')).toMatchObject({ exhausted: [{ level: 'tenant' }] });
  });

  it('that never came are given back when the call ends, once, and only to the window that had them', () => {
    const gate = gateOf([bytes(100)]);
    const toll = gate.toll(granted(gate, 0), 'requestBytes');
    toll?.pay(100, at(0));
    toll?.settle(30);
    toll?.settle(30);
    const next = gate.toll(granted(gate, 0), 'requestBytes');
    expect(next?.pay(31, at(0))).toBeDefined();
    expect(next?.pay(30, at(0))).toBeUndefined();

    const daily = gateOf([{ ...bytes(100), bound: perDay(100) }]);
    const long = daily.toll(granted(daily, 0), 'requestBytes');
    long?.pay(100, at(0));
    const other = daily.toll(granted(daily, UNTIL_MIDNIGHT), 'requestBytes');
    expect(other?.pay(100, at(UNTIL_MIDNIGHT))).toBeUndefined();
    long?.settle(100);
    refused(daily, UNTIL_MIDNIGHT);
  });

  it('of a message that was refused are not given back', () => {
    const gate = gateOf([bytes(100)]);
    const toll = gate.toll(granted(gate, 0), 'requestBytes');
    toll?.pay(90, at(0));
    expect(toll?.pay(20, at(0))).toBeDefined();
    toll?.settle(20);
    expect(toll?.pay(11, at(0))).toBeDefined();
  });
});

describe('use', () => {
  it('is kept when a limit is changed, and begins anew under another name', () => {
    const state = tables();
    const gate = (amount: number, name: string) => gateOf([limitOf('tenant', perDay(amount), name)], state);
    granted(gate(1, 'daily'), 0);
    refused(gate(1, 'daily'), 0);
    granted(gate(2, 'daily'), 0);
    refused(gate(2, 'daily'), 0);
    refused(gate(1, 'daily'), 0);
    granted(gate(1, 'other'), 0);
  });

  it('of a worker that died is kept, but for the calls that it had in progress', () => {
    const state = tables();
    const limits = [
      limitOf('tenant', perDay(3), 'daily'),
      limitOf('tenant', { kind: 'concurrency', calls: 2 }, 'at-once'),
    ];
    const dead = gateOf(limits, state, 1);
    granted(dead, 0);
    granted(dead, 0);
    const gate = gateOf(limits, state, 0);
    expect(refused(gate, 0)).toMatchObject({ kind: 'concurrency_limited' });
    expect(releaseWorker(state, 1)).toMatchObject({ calls: 2 });
    granted(gate, 0);
    expect(refused(gate, 0)).toMatchObject({ kind: 'quota_exhausted' });
  });

  it('of a tenant that is gone is not the next one’s', () => {
    const state = tables();
    granted(gateOf([limitOf('tenant', perDay(1), 'daily')], state), 0).settle();
    clearSlot(state, 1);
    granted(gateOf([limitOf('tenant', perDay(1), 'daily')], state), 0);
  });

  it('is found for as many limits as there may be, time and again under new names', () => {
    const state = tables();
    for (let generation = 0; generation < 10; generation++) {
      const limits = Array.from({ length: 16 }, (_, n) => limitOf('tenant', perDay(1), `g${generation}-${n}`));
      granted(gateOf(limits, state), 0);
      expect(refused(gateOf(limits, state), 0)).toMatchObject({ exhausted: { length: 16 } });
    }
  });

  it('is not another limit’s while calls are in it, however many names have come since', () => {
    const state = tables();
    const gate = (n: number): QuotaGate =>
      gateOf([limitOf('tenant', { kind: 'concurrency', calls: 1 }, `at-once-${n}`)], state);
    const long = granted(gate(0), 0);
    for (let n = 1; n <= 32; n++) granted(gate(n), 0).settle();
    long.settle();
    granted(gate(32), 0);
    expect(refused(gate(32), 0)).toMatchObject({ kind: 'concurrency_limited', name: 'at-once-32' });
  });
});

describe('a flood of callers', () => {
  it('leaves those that are known their use, and the ones without a place the measure of one', () => {
    const state = createSharedState({ tenantSlots: 4, workers: 1, epoch: EPOCH, limitCells: 1 });
    const gate = gateOf([limitOf('caller', perDay(2), 'each')], state);
    granted(gate, 0, 'alice');
    granted(gate, 0, 'alice');
    let passed = 0;
    for (let n = 0; n < 2_000; n++) if (gate.reserve(callerOf(1, `flood-${n}`), at(0)).ok) passed += 1;
    // 64 places, one of which is alice's; the others share two calls.
    expect(passed).toBe(63 + 2);
    refused(gate, 0, 'alice');
    // Another tenant has places of its own.
    const other = new QuotaGate(attachSharedState(state, 0), limitedTenant(2, [limitOf('caller', perDay(2), 'each')]));
    granted(other, 0, 'bob', 2);
    // The next day the places are free again.
    granted(gate, 2 * DAY, 'newcomer');
    refused(gateOf([limitOf('caller', perDay(2), 'each')], state), 1, 'alice');
  });
});
