/**
 * Units that are reserved, used, settled and refunded, over all levels, against a plain model: a count for each window of each limit
 * and subject. Over days whose clocks change, a leap day and the end of a month.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LimitConfig } from '../../../src/config/quota-config.ts';
import type { Demand } from '../../../src/quota/holding.ts';
import { type Lease, QuotaGate } from '../../../src/quota/quota-gate.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { limitedTenant, permitFor } from './limits.ts';
import { at, callerOf, EPOCH } from './tenants.ts';

const ZONE = 'Europe/Berlin';
const UNIT = 'outputTokens';
const day = (amount: number) => ({ kind: 'calendar', amount, unit: 'day', zone: ZONE }) as const;
const month = (amount: number) => ({ kind: 'calendar', amount, unit: 'month', zone: ZONE }) as const;

const LIMITS = [
  { name: 'group', level: 'organisation', unit: UNIT, bound: day(500) },
  { name: 'all', level: 'tenant', unit: UNIT, bound: { kind: 'total', amount: 2_000, sinceSeconds: 0 } },
  { name: 'each', level: 'caller', unit: UNIT, bound: month(700) },
  { name: 'model', level: 'model', unit: UNIT, bound: day(300) },
  { name: 'some', level: 'tenant', unit: UNIT, models: ['b', 'c'], bound: day(350) },
] as const satisfies readonly LimitConfig[];

const CALLERS = ['alice', 'bob'];
const MODELS = ['a', 'b', 'c'];

type Step =
  | { readonly do: 'begin'; readonly caller: number; readonly model: number; readonly reserve: number }
  | { readonly do: 'use'; readonly call: number; readonly amount: number; readonly forced: boolean }
  | { readonly do: 'end'; readonly call: number; readonly refund: boolean }
  | { readonly do: 'wait'; readonly minutes: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('begin' as const), caller: fc.nat(1), model: fc.nat(2), reserve: fc.nat(150) }),
  fc.record({ do: fc.constant('use' as const), call: fc.nat(5), amount: fc.nat(120), forced: fc.boolean() }),
  fc.record({ do: fc.constant('end' as const), call: fc.nat(5), refund: fc.boolean() }),
  fc.record({ do: fc.constant('wait' as const), minutes: fc.nat(500) }),
);

interface ModelAccount {
  readonly cell: Map<string, number>;
  readonly limit: (typeof LIMITS)[number];
  ahead: number;
  taken: number;
  firstWindow: string;
  lastWindow: string;
}

interface Call {
  readonly lease: Lease;
  readonly accounts: readonly ModelAccount[];
}

class Model {
  readonly #cells = new Map<string, Map<string, number>>();

  accounts(caller: string, model: string): readonly ModelAccount[] {
    return LIMITS.filter((limit) => !('models' in limit) || limit.models.some((one) => one === model)).map((limit) => {
      const subject = limit.level === 'caller' ? caller : limit.level === 'model' ? model : '';
      const id = `${limit.name}:${subject}`;
      const cell = this.#cells.get(id) ?? new Map<string, number>();
      this.#cells.set(id, cell);
      return { cell, limit, ahead: 0, taken: 0, firstWindow: '', lastWindow: '' };
    });
  }

  used({ cell, limit }: ModelAccount, now: number): number {
    return cell.get(windowOf(limit, now)) ?? 0;
  }

  /** Takes what is needed from all or, if one has no room, from none. */
  pay(accounts: readonly ModelAccount[], use: number, reserve: number, now: number, forced: boolean): boolean {
    const needs = accounts.map(({ ahead }) => Math.max(0, use + reserve - ahead));
    const fits = accounts.every((account, n) => {
      const need = needs[n] ?? 0;
      return need === 0 || this.used(account, now) + need <= account.limit.bound.amount;
    });
    if (!fits && !forced) return false;
    for (const [n, account] of accounts.entries()) {
      const need = needs[n] ?? 0;
      account.ahead += need - use;
      if (need === 0) continue;
      const window = windowOf(account.limit, now);
      account.cell.set(window, (account.cell.get(window) ?? 0) + need);
      if (account.taken === 0) account.firstWindow = window;
      account.taken += need;
      account.lastWindow = window;
    }
    return true;
  }

  end(accounts: readonly ModelAccount[], refund: boolean, now: number): void {
    for (const account of accounts) {
      give(account, account.ahead, account.lastWindow);
      account.ahead = 0;
      // Of what was taken in windows that are over, nothing is given to this one.
      if (refund && account.firstWindow === windowOf(account.limit, now))
        give(account, account.taken, account.firstWindow);
    }
  }
}

function give(account: ModelAccount, amount: number, window: string): void {
  if (amount === 0) return;
  account.cell.set(window, (account.cell.get(window) ?? 0) - amount);
  account.taken -= amount;
}

/** By the calendar's own words, and not by what the gate has. */
function windowOf({ bound }: (typeof LIMITS)[number], now: number): string {
  if (bound.kind === 'total') return 'total';
  const local = Temporal.Instant.fromEpochMilliseconds((EPOCH + now) / 1_000).toZonedDateTimeISO(bound.zone);
  return local
    .toPlainDate()
    .toString()
    .slice(0, bound.unit === 'day' ? 10 : 7);
}

function since(text: string): number {
  return Temporal.Instant.from(text).epochMilliseconds * 1_000 - EPOCH;
}

function demand(use: number, reserve: number): Demand {
  return { unit: UNIT, use, reserve };
}

function run(steps: readonly Step[], from: number): void {
  const state = createSharedState({ tenantSlots: 2, organisationSlots: 1, workers: 1, epoch: EPOCH });
  const [group, ...own] = LIMITS;
  const gate = new QuotaGate(
    attachSharedState(state, 0),
    limitedTenant(1, own, { name: 'group', slot: 0, limits: [group] }),
  );
  const model = new Model();
  const calls: Call[] = [];
  let now = from;
  const end = (call: Call, refund: boolean): void => {
    call.lease.settle();
    if (refund) gate.refund(call.lease);
    model.end(call.accounts, refund, now);
  };
  for (const one of steps) {
    if (one.do === 'wait') now += one.minutes * 60_000_000;
    else if (one.do === 'begin') {
      const [caller, name] = [CALLERS[one.caller] ?? '', MODELS[one.model] ?? ''];
      const accounts = model.accounts(caller, name);
      const lease = gate.reserve(callerOf(1, caller), at(now));
      // By its headers a call is refused where nothing is left.
      const known = accounts.filter(({ limit }) => limit.level !== 'model' && !('models' in limit));
      expect(lease.ok).toBe(known.every((account) => model.used(account, now) < account.limit.bound.amount));
      if (!lease.ok) continue;
      const demands = [demand(0, one.reserve)];
      const charged = gate.charge(lease.value, permitFor(name), at(now), { further: [], demands });
      expect(charged.ok).toBe(model.pay(accounts, 0, one.reserve, now, false));
      const call = { lease: lease.value, accounts };
      if (charged.ok) calls.push(call);
      else end({ ...call, accounts: [] }, false);
    } else {
      const call = calls[one.call % Math.max(1, calls.length)];
      if (call === undefined) continue;
      if (one.do === 'end') {
        calls.splice(calls.indexOf(call), 1);
        end(call, one.refund);
      } else if (one.forced) {
        gate.overdraw(call.lease, [demand(one.amount, 0)], at(now));
        model.pay(call.accounts, one.amount, 0, now, true);
      } else {
        const denial = gate.pay(call.lease, [demand(one.amount, 0)], at(now));
        expect(denial === undefined).toBe(model.pay(call.accounts, one.amount, 0, now, false));
      }
    }
  }
  for (const call of calls) end(call, false);
  // What is left is left to the last: nothing is reserved any more.
  for (const name of MODELS) {
    const accounts = model.accounts('alice', name);
    const left = Math.min(...accounts.map((account) => account.limit.bound.amount - model.used(account, now)));
    const lease = gate.reserve(callerOf(1, 'alice'), at(now));
    if (!lease.ok || left <= 0) continue;
    const charge = (use: number): boolean =>
      gate.charge(lease.value, permitFor(name), at(now), { further: [], demands: [demand(use, 0)] }).ok;
    expect([charge(left + 1), charge(left)]).toEqual([false, true]);
    model.pay(accounts, left, 0, now, false);
    lease.value.settle();
  }
}

describe.each([
  ['the clocks go forward', '2027-03-27T18:00:00Z'],
  ['the clocks go back', '2027-10-30T18:00:00Z'],
  ['there is a leap day', '2028-02-28T18:00:00Z'],
  ['the year ends', '2027-12-30T18:00:00Z'],
])('units on all levels, when %s', (_, from) => {
  it('are granted, refused, settled and refunded as a plain count of each window would have it', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => run(steps, since(from))),
      { numRuns: 150 },
    );
  });
});
