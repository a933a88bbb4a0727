/**
 * One configured limit as a worker sees it: what it counts, of whom, in which calls, and where its use is kept.
 */
import { Glob } from '../authz/glob.ts';
import type { LimitBound, LimitConfig, LimitLevel } from '../config/quota-config.ts';
import type { QuotaUnit } from '../kernel/denial.ts';
import { VERSION_LABEL_PREFIX } from '../kernel/version-label.ts';
import { FleetMeter } from './fleet-meter.ts';
import type { CellKey } from './limit-cells.ts';
import type { JournalEntry } from './limit-journal.ts';
import { type Meter, meterOf } from './meter.ts';
import type { SharedTables } from './shared-state.ts';

/** What is counted beside calls: how much of it a call takes, it is found out while the call runs. */
export type MeteredUnit = Exclude<QuotaUnit, 'calls'>;

export interface Limit {
  readonly config: LimitConfig;
  readonly unit: QuotaUnit;
  readonly region: number;
  /** Of the region, for the journal. */
  readonly owner: Pick<JournalEntry, 'ownerHigh' | 'ownerLow'>;
  readonly meter: Meter;
  readonly id: string;
  /** Of the keys of its cells. */
  readonly salt: string;
  /** Of its own cell: what it is for itself, or for all subjects that found no place. */
  readonly key: CellKey;
  /** Whether a call is counted is known only when a message has named its model. */
  readonly byModel: boolean;
  readonly methods: readonly Glob[] | undefined;
  readonly models: readonly Glob[] | undefined;
  readonly versions: readonly Glob[] | undefined;
}

/** A limit without room for the call. */
export interface Exhausted {
  readonly name: string;
  readonly level: LimitLevel;
  readonly unit: QuotaUnit;
  readonly bound: LimitBound;
  /** Until there is room; Infinity: not by time. */
  readonly micros: number;
}

/** The journal cannot be written: nothing may be taken that would be forgotten. */
export interface Unwritten {
  readonly unwritten: string;
}

/** Makes a limit of an owner's (a tenant or an organisation, as `tenantOwner` names it), whose cells are in that region. */
export function makeLimit(tables: SharedTables, owner: string, region: number, config: LimitConfig): Limit {
  const { unit = 'calls', level, models, versions, methods } = config;
  const { limits: cells, state, workerIndex } = tables;
  const bound = meteredBound(config);
  const local = meterOf(bound, cells, state.epoch, workerIndex);
  const id = limitId(owner, config, local.signature);
  const leases = config.scope === 'fleet' ? cells.leases : undefined;
  // What several sidecars count together has the same key in all of them.
  const salt = leases?.state.salt ?? state.salt;
  const key = cells.keyOf(salt, id, '');
  return {
    config,
    unit,
    region,
    owner: cells.ownerOf(state.salt, owner),
    meter: leases === undefined ? local : new FleetMeter(bound, cells, leases, key, state.epoch),
    id,
    salt,
    key,
    byModel: level === 'model' || models !== undefined || versions !== undefined,
    methods: globsOf(methods),
    models: globsOf(models),
    versions: globsOf(versions),
  };
}

/** Under what a limit's use is kept: not how much there may be. `signature`: of its meter. */
export function limitId(owner: string, { level, name, unit = 'calls' }: LimitConfig, signature: string): string {
  return `${owner}:${level}:${name}:${unit}:${signature}`;
}

/** Whether a limit is for calls of this method (`package.Service/Method`). */
export function isForMethod({ methods }: Limit, method: string): boolean {
  return methods?.some((glob) => glob.matches(method)) !== false;
}

/** Whether it is for this model and version. What leaves either open to the server may mean any. */
export function isForModel({ models, versions }: Limit, model: string, version: string): boolean {
  if (model !== '' && models?.some((glob) => glob.matches(model)) === false) return false;
  const open = version === '' || version.startsWith(VERSION_LABEL_PREFIX);
  return open || versions?.some((glob) => glob.matches(version)) !== false;
}

/** Adds a limit to those without room, if it has none for `amount` more. */
export function lookAt(
  { meter, config, unit }: Limit,
  word: number,
  amount: number,
  now: number,
  exhausted: Exhausted[] | undefined,
): Exhausted[] | undefined {
  const micros = meter.wait(word, amount, now);
  if (micros <= 0) return exhausted;
  const { name, level, bound } = config;
  const one: Exhausted = { name, level, unit, bound, micros };
  if (exhausted === undefined) return [one];
  exhausted.push(one);
  return exhausted;
}

function globsOf(patterns: readonly string[] | undefined): readonly Glob[] | undefined {
  return patterns?.map((pattern) => new Glob(pattern));
}

/** Compute time is counted in microseconds: whole numbers, so that sums are exact. */
const STEPS_PER_SECOND = 1_000_000;

/** The steps that one of a unit, as it is configured and told, is counted in. */
export function stepsOf(unit: QuotaUnit): number {
  return unit === 'computeSeconds' ? STEPS_PER_SECOND : 1;
}

/** What its meter counts to. */
export function meteredBound({ bound, unit = 'calls' }: LimitConfig): LimitBound {
  return 'amount' in bound ? { ...bound, amount: bound.amount * stepsOf(unit) } : bound;
}
