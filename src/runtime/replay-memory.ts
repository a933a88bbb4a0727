/**
 * The memory in which workers share who used which token first: a tenant's own, for as long as its configuration asks for it.
 */
import { newReplayMemory } from '../authn/replay-table.ts';
import type { Generation } from '../config/generation.ts';
import type { StoredTenant } from '../config/stored-tenant.ts';

/** Gives the tenants of `next` that need it the memory that they had in `current`, or a new one. */
export function withReplayMemory(current: Pick<Generation, 'tenants'> | undefined, next: Generation): Generation {
  if (!next.tenants.some(needsMemory)) return next;
  const known = new Map(current?.tenants.map(({ id, replayMemory }) => [id, replayMemory]));
  const tenants = next.tenants.map((tenant) =>
    needsMemory(tenant) ? { ...tenant, replayMemory: known.get(tenant.id) ?? newReplayMemory() } : tenant,
  );
  return { ...next, tenants };
}

function needsMemory({ issuers, replayMemory }: StoredTenant): boolean {
  return replayMemory === undefined && issuers.some(({ replay }) => replay !== undefined);
}
