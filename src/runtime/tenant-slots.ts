/**
 * A tenant's slot in the shared tables is its own for as long as calls of it may run: also those that began under a
 * generation that is gone.
 */
import type { Generation } from '../config/generation.ts';
import { clearSlot, isSlotInUse, type SharedState } from '../quota/shared-state.ts';

/** Gives each new tenant of `next` a slot that nobody's calls hold any more, and empties it. */
export function settleSlots(shared: SharedState, current: Generation, next: Generation): Generation {
  const known = new Set(current.tenants.map((tenant) => tenant.id));
  if (next.tenants.every((tenant) => known.has(tenant.id))) return next;
  const taken = new Set([...current.tenants, ...next.tenants].map((tenant) => tenant.slot));
  const tenants = next.tenants.map((tenant) => {
    if (known.has(tenant.id)) return tenant;
    const slot = isSlotInUse(shared, tenant.slot) ? unusedSlot(shared, taken) : tenant.slot;
    taken.add(slot);
    clearSlot(shared, slot);
    return { ...tenant, slot };
  });
  return { ...next, tenants };
}

function unusedSlot(shared: SharedState, taken: ReadonlySet<number>): number {
  for (let slot = 0; slot < shared.tenantSlots; slot++) if (!taken.has(slot) && !isSlotInUse(shared, slot)) return slot;
  throw new RangeError('no free tenant slot: the process has to be restarted for more tenants');
}
