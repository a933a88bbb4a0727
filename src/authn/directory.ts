/**
 * Whose credential is whose, over all tenants of a generation: how an authenticator, which knows one tenant's secrets only,
 * tells an attempt to cross from a plain mistake.
 */
import type { ApiKeyConfig } from '../config/credentials-config.ts';
import { apiKeysOf, type PackedTenant } from '../config/stored-tenant.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import type { TenantId } from '../kernel/ids.ts';

export interface CredentialDirectory {
  /** The tenants that accept tokens of this exact `iss`; none when nobody does. */
  tenantsOfIssuer(issuer: string): readonly TenantId[];
  /** The API key of this id, and the tenant that has it. */
  keyOf(keyId: string): DirectoryKey | undefined;
}

export interface DirectoryKey {
  readonly tenant: TenantId;
  readonly config: ApiKeyConfig;
}

type Credentials = Pick<TenantConfig, 'id' | 'issuers' | 'apiKeys'> | Pick<PackedTenant, 'id' | 'issuers' | 'packed'>;

export class Directory implements CredentialDirectory {
  readonly #byIssuer = new Map<string, Set<TenantId>>();
  readonly #byKey = new Map<string, DirectoryKey>();

  constructor(tenants: readonly Credentials[]) {
    for (const tenant of tenants) this.enter(tenant);
  }

  enter(tenant: Credentials): void {
    for (const { issuer } of tenant.issuers) {
      const known = this.#byIssuer.get(issuer);
      if (known === undefined) this.#byIssuer.set(issuer, new Set([tenant.id]));
      else known.add(tenant.id);
    }
    for (const config of apiKeysOf(tenant)) {
      if (!this.#byKey.has(config.id)) this.#byKey.set(config.id, { tenant: tenant.id, config });
    }
  }

  leave(tenant: Credentials): void {
    for (const { issuer } of tenant.issuers) {
      const known = this.#byIssuer.get(issuer);
      known?.delete(tenant.id);
      if (known?.size === 0) this.#byIssuer.delete(issuer);
    }
    for (const { id } of apiKeysOf(tenant)) if (this.#byKey.get(id)?.tenant === tenant.id) this.#byKey.delete(id);
  }

  tenantsOfIssuer(issuer: string): readonly TenantId[] {
    return [...(this.#byIssuer.get(issuer) ?? [])];
  }

  keyOf(keyId: string): DirectoryKey | undefined {
    return this.#byKey.get(keyId);
  }
}
