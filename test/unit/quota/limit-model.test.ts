/**
 * The limits against a plain model of them: every call that was granted is remembered, and what there is room for is counted from
 * that list, with calendar windows by `Intl` instead of `Temporal`. Time is the test's own, over leap days and changes of clocks.
 */
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { LimitBound, LimitConfig, OrganisationConfig } from '../../../src/config/quota-config.ts';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import { type Lease, QuotaGate } from '../../../src/quota/quota-gate.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { limitedTenant, limitOf, permitFor } from './limits.ts';
import { callerOf } from './tenants.ts';

interface Grant {
  readonly at: number;
  readonly slot: number;
  readonly caller: string;
  readonly model: string;
  running: boolean;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** Names the window of a moment: as much of its local time as the unit keeps, and for minutes and hours the offset with it. */
function windowName(unit: string, zone: string, micros: number): string {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-CA', {
      timeZone: zone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
      timeZoneName: 'longOffset',
    });
    formats.set(zone, format);
  }
  const parts = new Map(format.formatToParts(micros / 1_000).map(({ type, value }) => [type, value]));
  const get = (type: Intl.DateTimeFormatPartTypes): string => parts.get(type) ?? '';
  const month = `${get('year')}-${get('month')}`;
  switch (unit) {
    case 'month':
      return month;
    case 'day':
      return `${month}-${get('day')}`;
    case 'hour':
      return `${month}-${get('day')} ${get('hour')} ${get('timeZoneName')}`;
    default:
      return `${month}-${get('day')} ${get('hour')}:${get('minute')} ${get('timeZoneName')}`;
  }
}

class PlainModel {
  readonly #grants: Grant[] = [];
  readonly #arrivals = new Map<string, number>();

  fits(limit: LimitConfig, call: Omit<Grant, 'running'>): boolean {
    const others = this.#grants.filter((grant) => subjectOf(limit, grant) === subjectOf(limit, call));
    const { bound } = limit;
    switch (bound.kind) {
      case 'rate': {
        const interval = Math.ceil((1e6 / bound.callsPerSecond) * 256) / 256;
        const arrival = this.#arrivals.get(keyOf(limit, call)) ?? call.at;
        return Math.max(arrival, call.at) + interval - call.at <= bound.burst * interval;
      }
      case 'concurrency':
        return others.filter((grant) => grant.running).length < bound.calls;
      case 'calendar': {
        const window = windowName(bound.unit, bound.zone, call.at);
        return others.filter((grant) => windowName(bound.unit, bound.zone, grant.at) === window).length < bound.amount;
      }
      case 'sliding': {
        const part = (at: number): number => Math.floor(at / (bound.lengthMs * 100));
        return others.filter((grant) => part(grant.at) >= part(call.at) - 10).length < bound.amount;
      }
      case 'total':
        return others.length < bound.amount;
    }
  }

  grant(limits: readonly LimitConfig[], call: Omit<Grant, 'running'>): Grant {
    const grant = { ...call, running: true };
    this.#grants.push(grant);
    this.payRates(limits, call);
    return grant;
  }

  /** All that a call costs which its model's limit refuses: rates are not given back. */
  payRates(limits: readonly LimitConfig[], call: Omit<Grant, 'running'>): void {
    for (const limit of limits) {
      if (limit.bound.kind !== 'rate') continue;
      const interval = Math.ceil((1e6 / limit.bound.callsPerSecond) * 256) / 256;
      const key = keyOf(limit, call);
      this.#arrivals.set(key, Math.max(this.#arrivals.get(key) ?? call.at, call.at) + interval);
    }
  }

  /** The most that any stretch of this length has had. */
  mostWithin(lengthMicros: number, limit: LimitConfig): number {
    let most = 0;
    for (const last of this.#grants) {
      const same = this.#grants.filter(
        (one) =>
          subjectOf(limit, one) === subjectOf(limit, last) && one.at > last.at - lengthMicros && one.at <= last.at,
      );
      most = Math.max(most, same.length);
    }
    return most;
  }
}

function subjectOf({ level }: LimitConfig, { slot, caller, model }: Omit<Grant, 'running'>): string {
  switch (level) {
    case 'organisation':
      return '';
    case 'tenant':
      return String(slot);
    case 'caller':
      return `${slot}/${caller}`;
    case 'model':
      return `${slot}/${model}`;
  }
}

function keyOf(limit: LimitConfig, call: Omit<Grant, 'running'>): string {
  return `${limit.name}/${subjectOf(limit, call)}`;
}

const amount = fc.integer({ min: 1, max: 6 });
const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu');
const bound: fc.Arbitrary<LimitBound> = fc.oneof(
  fc.record({
    kind: fc.constant('rate' as const),
    callsPerSecond: fc.constantFrom(0.001, 0.3, 5),
    burst: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({ kind: fc.constant('concurrency' as const), calls: fc.integer({ min: 1, max: 3 }) }),
  fc.record({
    kind: fc.constant('calendar' as const),
    amount,
    unit: fc.constantFrom('minute' as const, 'hour' as const, 'day' as const, 'month' as const),
    zone,
  }),
  fc.record({ kind: fc.constant('sliding' as const), amount, lengthMs: fc.constantFrom(1_000, 60_000, 86_400_000) }),
  fc.record({
    kind: fc.constant('total' as const),
    amount: fc.integer({ min: 3, max: 12 }),
    sinceSeconds: fc.constant(0),
  }),
);

interface Step {
  readonly waitMicros: number;
  readonly slot: 1 | 2;
  readonly caller: string;
  readonly model: string;
  readonly worker: 0 | 1;
  /** Ends one of the calls that run. */
  readonly ends: number | undefined;
}

const step: fc.Arbitrary<Step> = fc.record({
  waitMicros: fc.oneof(
    fc.integer({ min: 0, max: 1_000 }),
    fc.integer({ min: 0, max: 90_000_000 }),
    fc.integer({ min: 0, max: 40_000_000_000 }),
  ),
  slot: fc.constantFrom(1 as const, 2 as const),
  caller: fc.constantFrom('a', 'b', 'c'),
  model: fc.constantFrom('m', 'n'),
  worker: fc.constantFrom(0 as const, 1 as const),
  ends: fc.option(fc.nat(9), { nil: undefined }),
});

/** Before: clocks forward in Berlin, back in Berlin and New York, a leap day, the turn of a year. */
const STARTS = [
  '2027-03-27T20:00:00Z',
  '2027-10-30T20:00:00Z',
  '2027-11-06T20:00:00Z',
  '2028-02-28T12:00:00Z',
  '2027-12-31T18:00:00Z',
];

const levels = fc.record({
  organisation: fc.array(bound, { maxLength: 2 }),
  tenant: fc.array(bound, { maxLength: 2 }),
  caller: fc.array(bound, { maxLength: 2 }),
  model: fc.array(bound, { maxLength: 2 }),
});

it('limits of all levels and kinds grant and refuse what a plain model of them does', () => {
  fc.assert(
    fc.property(fc.constantFrom(...STARTS), levels, fc.array(step, { maxLength: 60 }), (start, bounds, steps) => {
      const epoch = (Date.parse(start) * 1_000) as EpochMicros;
      const named = (level: keyof typeof bounds): LimitConfig[] =>
        bounds[level].map((one, index) => limitOf(level, one, `${level}-${index}`));
      const organisation: OrganisationConfig = { name: 'group', slot: 0, limits: named('organisation') };
      const own = [...named('tenant'), ...named('caller'), ...named('model')];
      const state = createSharedState({ tenantSlots: 3, organisationSlots: 1, workers: 2, epoch, limitCells: 1 });
      const gates = [0, 1].map((worker) => {
        const tables = attachSharedState(state, worker);
        return [0, 1, 2].map((slot) => new QuotaGate(tables, limitedTenant(slot, own, organisation)));
      });
      const byHeaders = [...organisation.limits, ...own.filter(({ level }) => level !== 'model')];
      const byModel = own.filter(({ level }) => level === 'model');
      const plain = new PlainModel();
      const running: { readonly lease: Lease; readonly grant: Grant }[] = [];
      let now: number = epoch;
      for (const { waitMicros, slot, caller, model, worker, ends } of steps) {
        now += waitMicros;
        const ending = ends === undefined ? undefined : running.splice(ends, 1)[0];
        ending?.lease.settle();
        if (ending !== undefined) ending.grant.running = false;

        const gate = gates[worker]?.[slot];
        if (gate === undefined) throw new Error('no gate');
        const call = { at: now, slot, caller, model };
        const fits = byHeaders.every((limit) => plain.fits(limit, call));
        const lease = gate.reserve(callerOf(slot, caller), now as EpochMicros);
        expect(lease.ok, JSON.stringify({ call, lease })).toBe(fits);
        if (!lease.ok) continue;
        const fitsModel = byModel.every((limit) => plain.fits(limit, call));
        const charged = gate.charge(lease.value, permitFor(model), now as EpochMicros);
        expect(charged.ok, JSON.stringify({ call, charged })).toBe(fitsModel);
        if (charged.ok) running.push({ lease: lease.value, grant: plain.grant([...byHeaders, ...byModel], call) });
        else {
          lease.value.settle();
          plain.payRates(byHeaders, call);
        }
      }
      for (const limit of [...byHeaders, ...byModel]) {
        if (limit.bound.kind === 'sliding')
          expect(plain.mostWithin(limit.bound.lengthMs * 1_000, limit)).toBeLessThanOrEqual(limit.bound.amount);
      }
    }),
    { numRuns: Number(process.env['BULKHEAD_QUOTA_RUNS'] ?? 300) },
  );
});
