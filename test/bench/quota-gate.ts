/**
 * What a call's quota costs, by what is configured: `node test/bench/quota-gate.ts`.
 *
 * Every variant reserves and settles in turn within each round, so that the machine's moods meet all of them; what is printed is the
 * median of the rounds and its ratio to the three older keys (`quota.tenant`, `quota.caller`, `quota.concurrentCalls`), which are
 * the measure. `--baseline DIRECTORY` adds the same three keys as another checkout of this repository has them.
 */
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Caller } from '../../src/authn/authenticator.ts';
import type { LimitConfig, OrganisationConfig } from '../../src/config/quota-config.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import type { MessageCost } from '../../src/quota/quota-gate.ts';
import * as gateModule from '../../src/quota/quota-gate.ts';
import * as stateModule from '../../src/quota/shared-state.ts';
import { limitedTenant, limitOf, permitFor } from '../unit/quota/limits.ts';
import { at, callerOf, EPOCH, tenantWith } from '../unit/quota/tenants.ts';

const ROUNDS = 200;
const CALLS = 2_000;
const AMPLE = 1_000_000_000;

const OLD = {
  perTenant: { callsPerSecond: AMPLE, burst: AMPLE },
  perCaller: { callsPerSecond: AMPLE, burst: AMPLE },
  maxConcurrentCalls: 100_000,
};

const calls = { kind: 'calendar', amount: AMPLE, unit: 'day', zone: 'Europe/Berlin' } as const;
const rate = { kind: 'rate', callsPerSecond: AMPLE, burst: AMPLE } as const;
const sliding = { kind: 'sliding', amount: AMPLE, lengthMs: 3_600_000 } as const;
const concurrency = { kind: 'concurrency', calls: 100_000 } as const;

function all(level: 'tenant' | 'caller' | 'organisation'): LimitConfig[] {
  return [rate, concurrency, calls, sliding].map((bound) => limitOf(level, bound));
}

/** A window of each of four units. */
function units(level: 'tenant' | 'caller' | 'model'): LimitConfig[] {
  return (['calls', 'tensorElements', 'outputTokens', 'computeSeconds'] as const).map((unit) => ({
    ...limitOf(level, calls, `${level}-${unit}`),
    unit,
  }));
}

const MESSAGE: MessageCost = {
  further: [],
  demands: [
    { unit: 'tensorElements', use: 1_000, reserve: 0 },
    { unit: 'outputTokens', use: 0, reserve: 256 },
    { unit: 'computeSeconds', use: 0, reserve: 1_000 },
  ],
};

interface Variant {
  readonly name: string;
  /** Reserves and settles so many calls. */
  run(calls: number): void;
  readonly nanos: number[];
}

type Modules = { readonly gate: typeof gateModule; readonly state: typeof stateModule };
const OURS: Modules = { gate: gateModule, state: stateModule };

function variant(
  name: string,
  configure: (slot: number) => TenantConfig,
  tenants = 1,
  modules = OURS,
  model = '',
  cost?: MessageCost,
): Variant {
  const slots = modules.state.capacityFor(tenants);
  const state = modules.state.createSharedState({
    tenantSlots: slots,
    organisationSlots: 1,
    workers: 18,
    epoch: EPOCH,
  });
  modules.state.setWorkerSpan(state, 2);
  const tables = modules.state.attachSharedState(state, 0);
  const gates = Array.from({ length: tenants }, (_, slot) => new modules.gate.QuotaGate(tables, configure(slot)));
  const callers: Caller[] = gates.map((_, slot) => callerOf(slot, 'alice'));
  const permit = permitFor(model);
  let now = 0;
  let turn = 0;
  return {
    name,
    nanos: [],
    run(count) {
      for (let call = 0; call < count; call++) {
        now += 10;
        // A prime stride: neighbours in time are none in memory.
        turn = (turn + 7919) % tenants;
        const [gate, caller] = [gates[turn], callers[turn]];
        if (gate === undefined || caller === undefined) throw new Error('no tenant');
        const lease = gate.reserve(caller, at(now));
        if (!lease.ok) throw new Error(`refused: ${JSON.stringify(lease.error)}`);
        if (model !== '' && !gate.charge(lease.value, permit, at(now), cost).ok) throw new Error('not charged');
        lease.value.settle();
      }
    },
  };
}

const { values } = parseArgs({ options: { baseline: { type: 'string' } } });
const organisation: OrganisationConfig = { name: 'group', slot: 0, limits: all('organisation') };
const old = (slot: number): TenantConfig => tenantWith(slot, OLD);
const three = (slot: number): TenantConfig => limitedTenant(slot, [...all('tenant'), ...all('caller')], organisation);
const unitsOf = (slot: number): TenantConfig =>
  limitedTenant(slot, [...units('tenant'), ...units('caller'), ...units('model')]);
const variants = [
  variant('the three older keys', old),
  variant('the same, again', old),
  variant('nothing', (slot) => tenantWith(slot, {})),
  variant('one window of the tenant', (slot) => limitedTenant(slot, [limitOf('tenant', calls)])),
  variant('one window of each caller', (slot) => limitedTenant(slot, [limitOf('caller', calls)])),
  variant('one window of each model', (slot) => limitedTenant(slot, [limitOf('model', calls)]), 1, OURS, 'digits'),
  variant('three levels × four kinds', three),
  variant('three levels × four units', unitsOf, 1, OURS, 'digits', MESSAGE),
  variant('three levels × four units, 10,000 tenants', unitsOf, 10_000, OURS, 'digits', MESSAGE),
  variant('three levels × four kinds, 100 tenants', three, 100),
  variant('three levels × four kinds, 10,000 tenants', three, 10_000),
  variant('the three older keys, 10,000 tenants', old, 10_000),
];
if (values.baseline !== undefined) {
  const from = (file: string): string => join(resolve(values.baseline ?? ''), 'src/quota', file);
  // The other checkout's modules have the same exports; that is what is compared.
  const gate = (await import(from('quota-gate.ts'))) as typeof gateModule;
  const state = (await import(from('shared-state.ts'))) as typeof stateModule;
  variants.push(variant('the three older keys, baseline', old, 1, { gate, state }));
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

// The first rounds are for the compiler.
for (let round = -40; round < ROUNDS; round++) {
  for (const { run, nanos } of variants) {
    const begin = process.hrtime.bigint();
    run(CALLS);
    if (round >= 0) nanos.push(Number(process.hrtime.bigint() - begin) / CALLS);
  }
}
const measure = median(variants[0]?.nanos ?? []);
for (const { name, nanos } of variants) {
  const nanosPerCall = median(nanos);
  console.log(`${name.padEnd(44)} ${nanosPerCall.toFixed(0).padStart(6)} ns  × ${(nanosPerCall / measure).toFixed(2)}`);
}
