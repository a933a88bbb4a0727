/**
 * What one call has taken of its tenant's limits, for as long as it runs.
 */
import type { CallerKey } from './caller-buckets.ts';
import type { Limit, MeteredUnit } from './limit.ts';
import type { CellKey } from './limit-cells.ts';
import type { Meter } from './meter.ts';
import type { MethodLimits } from './method-limits.ts';

export interface Holding {
  /** That it takes from: those that it began with. */
  readonly limits: MethodLimits;
  readonly caller: CallerKey;
  readonly takenAt: number;
  /** Counts of concurrency that it is in: meter and cell, in turn. */
  readonly counts: (readonly [Meter, number])[];
  /** Of the limits of other units than calls that its headers are enough for. */
  readonly accounts: readonly Account[];
  /** What it has been charged for since, by model: of those that it named last. */
  readonly models: NamedModel[];
  /** A message of it has been charged. */
  begun: boolean;
}

/** What a call has taken of one limit that counts another unit than calls. */
export interface Account {
  readonly limit: Limit;
  /** undefined: the limit's own. */
  readonly key: CellKey | undefined;
  /** Taken, and not yet used; and since when: what began with an older window is not given back to a newer one. */
  ahead: number;
  aheadAt: number;
  /** All that was taken and not given back, and since when. */
  taken: number;
  firstAt: number;
}

export interface NamedModel {
  readonly model: string;
  readonly version: string;
  readonly accounts: readonly Account[];
  readonly calls: readonly { readonly limit: Limit; readonly key: CellKey | undefined }[];
  readonly takenAt: number;
}

/** What a call needs of a unit: `use` is spent now; so much as `reserve` is to be there for what comes. */
export interface Demand {
  readonly unit: MeteredUnit;
  readonly use: number;
  readonly reserve: number;
  /** Only where the model decides: by the others it has been paid for. */
  readonly whenModel?: true;
}

export function accountOf(limit: Limit, key: CellKey | undefined): Account {
  return { limit, key, ahead: 0, aheadAt: 0, taken: 0, firstAt: 0 };
}

/** Whether there is something that was reserved and not used. */
export function isAhead({ accounts, models }: Holding): boolean {
  const ahead = (account: Account): boolean => account.ahead > 0;
  return accounts.some(ahead) || models.some((model) => model.accounts.some(ahead));
}

/** What a message is about. */
export interface Target {
  readonly model: string;
  readonly version: string;
}

/** Whether the call has been charged for it. */
export function isNamed({ models }: { readonly models: readonly Target[] }, { model, version }: Target): boolean {
  return models.some((one) => one.model === model && one.version === version);
}
