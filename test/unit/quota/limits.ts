/** What tests of limits share: limits, tenants that have them, and permits for models. */
import type { Permit } from '../../../src/authz/authorizer.ts';
import type { LimitBound, LimitConfig, LimitLevel, OrganisationConfig } from '../../../src/config/quota-config.ts';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import type { Denial } from '../../../src/kernel/denial.ts';
import { ok, type Result } from '../../../src/kernel/result.ts';
import { tenantWith } from './tenants.ts';

export function limitOf(level: LimitLevel, bound: LimitBound, name: string = `${level}-${bound.kind}`): LimitConfig {
  return { name, level, bound };
}

/** A tenant with limits, and with those of an organisation if there is one. */
export function limitedTenant(
  slot: number,
  limits: readonly LimitConfig[],
  organisation?: OrganisationConfig,
): TenantConfig {
  const tenant = tenantWith(slot, {
    ...(limits.length === 0 ? {} : { limits }),
    ...(organisation === undefined ? {} : { organisation: organisation.name }),
  });
  return organisation === undefined ? tenant : { ...tenant, organisation };
}

/** A permit as far as quotas look at one. Forged, which only a test may: outside of it, `authz` makes them. */
export function permitFor(model: string, version = ''): Result<Permit, Denial> {
  return ok({ model, version, method: { readsModel: true } } as unknown as Permit);
}
