/**
 * The limits of a configuration that hold over several sidecars, as the main thread needs them: what they are, what they are found by in the
 * cells and in the store, and in which windows they count.
 */
import type { FleetConfig } from '../config/fleet-config.ts';
import type { Generation } from '../config/generation.ts';
import type { LimitBound, LimitConfig } from '../config/quota-config.ts';
import { calendarWindow } from './calendar.ts';
import { gcraOf } from './gcra.ts';
import { limitId, meteredBound } from './limit.ts';
import type { CellKey, LimitCells } from './limit-cells.ts';
import { organisationOwner, tenantOwner } from './limit-set.ts';
import { meterOf, SLIDING_PARTS } from './meter.ts';

export interface FleetLimit {
  /** As cells name it (`LeaseCells.limitOf`). */
  readonly name: string;
  /** Stands for its tenant or organisation in the store: all of one is on one node of a cluster. */
  readonly owner: string;
  readonly region: number;
  /** Of its own cell. */
  readonly key: CellKey;
  /** It is its tenant's or organisation's as a whole: its own cell is what counts. */
  readonly isWhole: boolean;
  readonly kind: number;
  readonly bound: Exclude<LimitBound, { kind: 'concurrency' }>;
}

/** Which marks count together at a time, and until when the newest one is the newest. Milliseconds by the store's clock. */
export interface MarkSpan {
  readonly first: number;
  readonly mark: number;
  /** From when on `mark` does not matter; 0: it always does. */
  readonly endMs: number;
  /** From when on another is the newest; Infinity: none will be. */
  readonly nextMs: number;
}

/** By name. */
export function fleetLimits(
  cells: LimitCells,
  { salt }: Pick<FleetConfig, 'salt'>,
  { tenants, organisations }: Pick<Generation, 'tenants' | 'organisations'>,
): ReadonlyMap<string, FleetLimit> {
  const found = new Map<string, FleetLimit>();
  const add = (owner: string, region: number, limits: readonly LimitConfig[]): void => {
    for (const limit of limits) {
      const { level } = limit;
      const bound = meteredBound(limit);
      if (limit.scope !== 'fleet' || bound.kind === 'concurrency') continue;
      const { kind, signature } = meterOf(bound, cells, 0, 0);
      const key = cells.keyOf(salt, limitId(owner, limit, signature), '');
      const name = `${key.high}:${key.low}`;
      const { ownerHigh, ownerLow } = cells.ownerOf(salt, owner);
      found.set(name, {
        name,
        owner: hex(ownerHigh) + hex(ownerLow),
        region,
        key,
        isWhole: level === 'organisation' || level === 'tenant',
        kind,
        bound,
      });
    }
  };
  for (const { id, slot, quota } of tenants) add(tenantOwner(id), cells.tenantRegion(slot), quota.limits ?? []);
  for (const { name, slot, limits } of organisations ?? [])
    add(organisationOwner(name), cells.organisationRegion(slot), limits);
  return found;
}

/** How a cell is called in the store. The braces are a cluster's: what is within decides on which node it is. */
export function storeKey({ owner }: FleetLimit, high: number, low: number): string {
  return `{${owner}}:${hex(high)}${hex(low)}`;
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0');
}

/** The windows of a limit at a time. Of a rate: one that never ends. */
export function markSpan({ bound }: Pick<FleetLimit, 'bound'>, nowMs: number): MarkSpan {
  switch (bound.kind) {
    case 'calendar': {
      const { startMs, endMs } = calendarWindow(bound.unit, bound.zone, nowMs);
      return { first: startMs, mark: startMs, endMs, nextMs: endMs };
    }
    case 'sliding': {
      const partMs = bound.lengthMs / SLIDING_PARTS;
      const mark = Math.floor(nowMs / partMs);
      const end = (mark + SLIDING_PARTS + 1) * partMs;
      return { first: mark - SLIDING_PARTS, mark, endMs: Math.ceil(end), nextMs: (mark + 1) * partMs };
    }
    case 'total': {
      const sinceMs = bound.sinceSeconds * 1_000;
      // Until it comes, all that was used counts, whichever time it is from.
      return sinceMs > nowMs
        ? { first: 0, mark: 0, endMs: 0, nextMs: sinceMs }
        : { first: sinceMs, mark: sinceMs, endMs: 0, nextMs: Number.POSITIVE_INFINITY };
    }
    case 'rate':
      return { first: 0, mark: 0, endMs: 0, nextMs: Number.POSITIVE_INFINITY };
  }
}

/** How much of it there is, for as long as its newest mark is the newest. */
export function amountOf({ bound }: Pick<FleetLimit, 'bound'>): number {
  return bound.kind === 'rate' ? bound.burst : bound.amount;
}

/** Of a rate. */
export function bucketOf(bound: Extract<LimitBound, { kind: 'rate' }>): ReturnType<typeof gcraOf> {
  return gcraOf(bound);
}
