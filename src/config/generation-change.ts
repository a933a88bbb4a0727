/**
 * What one generation of the configuration has that another has not: a change of one tenant among ten thousand travels to the
 * workers as that one tenant.
 */
import type { TenantId } from '../kernel/ids.ts';
import type { Generation } from './generation.ts';
import type { StoredTenant } from './stored-tenant.ts';

/** A generation without its tenants. */
export type Settings = Omit<Generation, 'tenants'>;

export interface GenerationChange {
  /** The number of the generation that it changes; 0: there was none. */
  readonly from: number;
  /** As they are now, whether they have changed or not. */
  readonly settings: Settings;
  /** New tenants, and those that are not as they were. */
  readonly tenants: readonly StoredTenant[];
  readonly removed: readonly TenantId[];
}

/** What leads from `before` to `after`. */
export function changeOf(before: Generation | undefined, after: Generation): GenerationChange {
  const { tenants, ...settings } = after;
  const left = new Map(before?.tenants.map((tenant) => [tenant.id, tenant]));
  const changed: StoredTenant[] = [];
  for (const tenant of tenants) {
    const known = left.get(tenant.id);
    if (known === undefined || !isSame(known, tenant)) changed.push(tenant);
    left.delete(tenant.id);
  }
  return { from: before?.number ?? 0, settings, tenants: changed, removed: [...left.keys()] };
}

function isSame(one: StoredTenant, other: StoredTenant): boolean {
  return one === other || (one.digest === other.digest && one.slot === other.slot);
}
