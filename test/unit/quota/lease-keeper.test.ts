/**
 * Several sidecars in one process, each with tables, a gate and a keeper of its own, and one store in memory between them.
 */
import { describe, expect, it } from 'vitest';
import type { LimitBound, LimitConfig } from '../../../src/config/quota-config.ts';
import { ok, type Result } from '../../../src/kernel/result.ts';
import { fleetLimits } from '../../../src/quota/fleet-limits.ts';
import { LeaseKeeper, MAX_LEASES } from '../../../src/quota/lease-keeper.ts';
import type { StoreFailure } from '../../../src/quota/lease-store.ts';
import { LimitCells } from '../../../src/quota/limit-cells.ts';
import { QuotaGate } from '../../../src/quota/quota-gate.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { FakeLeaseStore } from '../../fakes/fake-lease-store.ts';
import { limitedTenant } from './limits.ts';
import { at, callerOf, EPOCH } from './tenants.ts';

const SALT = 'fleet-salt';
const LEASE_MS = 2_000;
const TICK_MS = 25;

/** Sidecars on one store, with one clock for all: time passes by `pass` alone. */
class Ground {
  readonly store = new FakeLeaseStore(EPOCH / 1_000);
  readonly told: string[] = [];
  readonly sidecars: readonly { readonly gate: QuotaGate; readonly keeper: LeaseKeeper }[];
  #now = 0;

  constructor(
    count: number,
    bound: LimitBound,
    options: { localShare?: number; level?: LimitConfig['level']; maxLeases?: number } = {},
  ) {
    const { localShare = 0.1, level = 'tenant', maxLeases = MAX_LEASES } = options;
    const tenant = limitedTenant(1, [{ name: 'shared', level, scope: 'fleet', bound }]);
    this.sidecars = Array.from({ length: count }, (_, index) => {
      const state = createSharedState({ tenantSlots: 4, workers: 1, epoch: EPOCH, fleet: { salt: SALT, localShare } });
      const cells = new LimitCells(state.limits);
      const keeper = new LeaseKeeper({
        cells,
        epoch: EPOCH,
        store: this.store,
        process: `sidecar-${index}`,
        leaseMs: LEASE_MS,
        localShare,
        maxLeases,
        limits: fleetLimits(cells, { salt: SALT }, { tenants: [tenant] }),
        now: () => EPOCH + this.#now,
        events: {
          storeBack: () => this.told.push('back'),
          storeAway: ({ why }) => this.told.push(`away: ${why}`),
          storeFailed: () => undefined,
          clockMoved: (byMs) => this.told.push(`clock: ${Math.round(byMs)}`),
        },
      });
      return { gate: new QuotaGate(attachSharedState(state, 0), tenant), keeper };
    });
  }

  async begin(): Promise<this> {
    for (const { keeper } of this.sidecars) await keeper.begin();
    return this;
  }

  /** Lets time pass, and the keepers do what they do. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += TICK_MS) {
      this.#now += TICK_MS * 1_000;
      this.store.nowMs += TICK_MS;
      for (const { keeper } of this.sidecars) keeper.tick();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Calls one sidecar so many times at once. Returns how many were granted. */
  call(sidecar: number, times = 1, caller = 'alice'): number {
    let granted = 0;
    for (let call = 0; call < times; call++) {
      const lease = this.sidecars[sidecar]?.gate.reserve(callerOf(1, caller), at(this.#now));
      if (lease?.ok === true) granted += 1;
    }
    return granted;
  }

  /** Calls all, so many times each tick, until none is granted for longer than the store needs to know of all. */
  async exhaust(perTick: number, which = this.sidecars.map((_, index) => index)): Promise<number> {
    let granted = 0;
    for (let quietMs = 0; quietMs < 1_600; ) {
      const before = granted;
      for (const sidecar of which) granted += this.call(sidecar, perTick);
      await this.pass(TICK_MS);
      quietMs = granted === before ? quietMs + TICK_MS : 0;
    }
    return granted;
  }
}

const perDay = (amount: number): LimitBound => ({ kind: 'calendar', amount, unit: 'day', zone: 'UTC' });

describe('a limit of the fleet', () => {
  it.each([
    ['of a day', perDay(1_000)],
    ['that slides', { kind: 'sliding', amount: 1_000, lengthMs: 86_400_000 } as const],
    ['for good', { kind: 'total', amount: 1_000, sinceSeconds: 0 } as const],
  ])('%s has room for n calls on all sidecars together, and for not one more', async (_, bound) => {
    const ground = await new Ground(3, bound).begin();
    expect(await ground.exhaust(7)).toBe(1_000);
    await ground.pass(5_000);
    expect(await ground.exhaust(1)).toBe(0);
  });

  it('is all there for the one that is called, though others hold some of it', async () => {
    const ground = await new Ground(4, perDay(200)).begin();
    expect(await ground.exhaust(5, [2])).toBe(200);
  });

  it('is there when its next window begins, without a refusal', async () => {
    const ground = await new Ground(2, { kind: 'calendar', amount: 100, unit: 'minute', zone: 'UTC' }).begin();
    await ground.exhaust(5);
    // EPOCH is a whole minute.
    let refused = 0;
    for (let now = 0; now < 57_000; now += TICK_MS) await ground.pass(TICK_MS);
    for (let window = 0; window < 200; window++) {
      await ground.pass(TICK_MS);
      if (window > 120 && ground.call(0) === 0) refused += 1;
    }
    expect(refused).toBe(0);
  });

  it('of each caller is the fleet’s from soon after its first call', async () => {
    const ground = await new Ground(2, perDay(100), { level: 'caller' }).begin();
    let granted = 0;
    for (let turn = 0; turn < 400; turn++) {
      granted += ground.call(turn % 2, 1);
      await ground.pass(TICK_MS);
    }
    expect(granted).toBe(100);
    expect(ground.call(0, 1, 'bob')).toBe(1);
  });

  it('by rate gives no more than the bucket, its refill, and what is held', async () => {
    const ground = await new Ground(2, { kind: 'rate', callsPerSecond: 40, burst: 20 }).begin();
    let granted = 0;
    for (let turn = 0; turn < 200; turn++) {
      granted += ground.call(turn % 2, 5);
      await ground.pass(TICK_MS);
    }
    expect(granted).toBeGreaterThanOrEqual(5 * 40);
    expect(granted).toBeLessThanOrEqual(5 * 40 + 20 + 20);
  });
});

describe('while the store is away', () => {
  it('there is what was leased, until it ends; then the own share; and it is told when the store is back', async () => {
    const ground = await new Ground(2, perDay(1_000)).begin();
    await ground.pass(3_000);
    expect(ground.call(0, 5)).toBe(5);
    ground.store.away = { why: 'unreachable', detail: '' };
    await ground.pass(500);
    expect(ground.call(0)).toBe(1);
    await ground.pass(3_000);
    // Its share is 100, of which it has had 6.
    expect(ground.call(0, 200)).toBe(94);
    expect(ground.told).toEqual(['back', 'back', 'away: unreachable', 'away: unreachable']);
    ground.store.away = undefined;
    await ground.pass(1_000);
    expect(await ground.exhaust(9)).toBe(900);
  });

  it('there is nothing, where the share is nothing', async () => {
    const ground = new Ground(1, perDay(1_000), { localShare: 0 });
    ground.store.away = { why: 'refused', detail: '' };
    await ground.begin();
    expect(ground.call(0)).toBe(0);
  });

  it('a sidecar that began without it has its share, and the rest when it comes', async () => {
    const ground = new Ground(1, perDay(100));
    ground.store.away = { why: 'timeout', detail: '' };
    await ground.begin();
    expect(ground.call(0, 50)).toBe(10);
    ground.store.away = undefined;
    expect(await ground.exhaust(3)).toBe(90);
  });
});

it('a store that has forgotten everything is told it again', async () => {
  const ground = await new Ground(3, perDay(900)).begin();
  await ground.pass(3_000);
  let granted = 0;
  for (let turn = 0; turn < 20; turn++) {
    for (const sidecar of [0, 1, 2]) granted += ground.call(sidecar, 5);
    await ground.pass(TICK_MS);
  }
  ground.store.forget();
  granted += await ground.exhaust(5);
  expect(granted).toBe(900);
});

it('what a sidecar holds that ends without a word is the others’ when its lease is over', async () => {
  const ground = await new Ground(2, perDay(640)).begin();
  await ground.pass(3_000);
  const dead = ground.call(1, 2);
  await ground.pass(TICK_MS * 2);
  const [alive] = ground.sidecars;
  if (alive === undefined) throw new Error('none');
  Object.assign(ground, { sidecars: [alive] });
  await ground.pass(LEASE_MS + 500);
  const granted = dead + (await ground.exhaust(5));
  expect(granted).toBeGreaterThanOrEqual(640);
  // What it had used and not told yet is granted again, which is less than it held.
  expect(granted).toBeLessThanOrEqual(640 + dead);
});

it('a clock of the store that moves is told, and windows follow it', async () => {
  const ground = await new Ground(1, perDay(100)).begin();
  await ground.pass(3_000);
  expect(await ground.exhaust(5)).toBe(100);
  ground.store.nowMs += 86_400_000;
  await ground.pass(3_000);
  expect(ground.told).toContain('clock: 86400000');
  expect(ground.call(0)).toBe(1);
});

it('as many callers are looked after at once as may be; one more has the sidecar’s own share', async () => {
  const ground = await new Ground(1, perDay(100), { level: 'caller', maxLeases: 5 }).begin();
  const [sidecar] = ground.sidecars;
  for (let caller = 0; caller < 6; caller++) ground.call(0, 1, `caller-${caller}`);
  await ground.pass(2_000);
  expect(sidecar?.keeper.size).toBe(5);
  expect(ground.call(0, 20, 'caller-5')).toBe(9);
});

describe('a store that answers what cannot be', () => {
  const minute: LimitBound = { kind: 'calendar', amount: 100, unit: 'minute', zone: 'UTC' };
  const rate: LimitBound = { kind: 'rate', callsPerSecond: 1, burst: 100 };

  it.each([
    ['a time that no calendar has', minute, { nowMs: Number.MAX_SAFE_INTEGER }],
    ['a time at the end of all calendars', minute, { nowMs: 8.64e15 }],
    ['more than it was asked for', minute, { held: Number.MAX_SAFE_INTEGER }],
    ['that more is left than there is', minute, { free: 101 }],
    ['a time that no calendar has, of a rate', rate, { nowMs: Number.MAX_SAFE_INTEGER }],
    ['more tokens than it was asked for', rate, { tokens: 1_000 }],
  ])('with %s is one that does not answer', async (_, bound, lie) => {
    const ground = new Ground(1, bound);
    const { store } = ground;
    const [window, take] = [store.window.bind(store), store.rate.bind(store)];
    store.window = async (request) => lying(await window(request), lie);
    store.rate = async (request) => lying(await take(request), lie);
    await ground.begin();
    expect(ground.told).toEqual(['away: failed']);
    await ground.pass(1_000);
    // Its own share.
    expect(ground.call(0, 200)).toBe(10);
    Object.assign(store, { window, rate: take });
    await ground.pass(1_000);
    expect(ground.told).toEqual(['away: failed', 'back']);
  });
});

function lying<T extends object>(answer: Result<T, StoreFailure>, lie: object): Result<T, StoreFailure> {
  return answer.ok ? ok({ ...answer.value, ...lie }) : answer;
}
