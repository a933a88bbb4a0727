import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Tenant, TenantClaim } from '../../../src/tenancy/tenant.ts';
import { mintTenant } from '../../../src/tenancy/tenant-evidence.ts';
import { tenantId } from '../../fakes/trust.ts';

const claim: TenantClaim = { id: tenantId('acme'), slot: 7, by: 'sni' };

test('a tenant has the claim’s id and slot', () => {
  expect(mintTenant(claim)).toMatchObject({ id: 'acme', slot: 7 });
});

test('a tenant cannot be forged', () => {
  // @ts-expect-error a claim is no tenant
  const claimed: Tenant = claim;
  // @ts-expect-error neither is an object that looks like one
  const copied: Tenant = { id: claim.id, slot: claim.slot };
  const { constructor } = Object.getPrototypeOf(mintTenant(claim));
  expect(constructor.isGenuine(mintTenant(claim))).toBe(true);
  expect(constructor.isGenuine(claimed)).toBe(false);
  expect(constructor.isGenuine(copied)).toBe(false);
});

test('only the authenticator mints tenants', () => {
  const importers = globSync('src/**/*.ts', { cwd: new URL('../../../', import.meta.url) }).filter((file) =>
    /import (?!type)[^;]*tenant-evidence\.ts/.test(readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8')),
  );
  expect(importers).toEqual(['src/authn/authenticator.ts']);
});
