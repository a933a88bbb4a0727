/**
 * Whose credential is whose, over all tenants of a generation: how an authenticator, which knows one tenant's secrets only,
 * tells an attempt to cross from a plain mistake.
 */
import type { TenantConfig } from '../config/generation.ts';
import type { TenantId } from '../kernel/ids.ts';

export interface CredentialDirectory {
  /** The tenants that accept tokens of this exact `iss`; none when nobody does. */
  tenantsOfIssuer(issuer: string): readonly TenantId[];
  /** The tenant that has an API key of this id. */
  tenantOfKey(keyId: string): TenantId | undefined;
}

const NONE: readonly TenantId[] = [];

export class Directory implements CredentialDirectory {
  readonly #byIssuer = new Map<string, TenantId[]>();
  readonly #byKey = new Map<string, TenantId>();

  constructor(tenants: readonly Pick<TenantConfig, 'id' | 'issuers' | 'apiKeys'>[]) {
    for (const tenant of tenants) {
      for (const { issuer } of tenant.issuers) {
        const known = this.#byIssuer.get(issuer);
        if (known === undefined) this.#byIssuer.set(issuer, [tenant.id]);
        else if (!known.includes(tenant.id)) known.push(tenant.id);
      }
      for (const { id } of tenant.apiKeys) if (!this.#byKey.has(id)) this.#byKey.set(id, tenant.id);
    }
  }

  tenantsOfIssuer(issuer: string): readonly TenantId[] {
    return this.#byIssuer.get(issuer) ?? NONE;
  }

  tenantOfKey(keyId: string): TenantId | undefined {
    return this.#byKey.get(keyId);
  }
}
