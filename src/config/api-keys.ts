/**
 * From the API keys in a tenant's file to those of its configuration.
 */
import type { ApiKeyConfig } from './credentials-config.ts';
import type { TenantSource } from './schema-tenant.ts';

/** What a key leaves away is absent. */
export function buildApiKeys({ apiKeys }: TenantSource): readonly ApiKeyConfig[] {
  return apiKeys.map((key) => ({
    id: key.id,
    sha256: key.sha256,
    expiresAtSeconds: key.expires,
    revoked: key.revoked,
    ...(key.previous === undefined
      ? {}
      : { previous: { sha256: key.previous.sha256, expiresAtSeconds: key.previous.expires } }),
    ...(key.scopes === undefined ? {} : { scopes: key.scopes }),
    ...(key.addresses === undefined ? {} : { addresses: key.addresses }),
    ...(key.deniedAddresses === undefined ? {} : { deniedAddresses: key.deniedAddresses }),
    ...(key.models === undefined ? {} : { models: key.models }),
    ...(key.versions === undefined ? {} : { versions: key.versions }),
  }));
}
