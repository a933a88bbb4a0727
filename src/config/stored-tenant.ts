/**
 * A tenant as a generation holds it: its keys and rules in octets that all threads share, for most tenants call seldom and a worker needs them
 * when one does. As objects they weigh several times as much, and each thread would have its own.
 */
import type { ApiKeyConfig } from './credentials-config.ts';
import type { BindingConfig, DenyConfig, RoleConfig } from './policy-config.ts';
import type { TenantConfig } from './tenant-config.ts';

/** What there may be thousands of. */
interface Bulk {
  readonly apiKeys: readonly ApiKeyConfig[];
  readonly roles: readonly RoleConfig[];
  readonly bindings: readonly BindingConfig[];
  readonly denials?: readonly DenyConfig[];
}

type Light<T extends Bulk> = Omit<T, keyof Bulk>;

/** The octets of keys and of rules, in JSON. */
interface Packed {
  readonly packed: { readonly keys: SharedArrayBuffer; readonly rules: SharedArrayBuffer };
}

export type PackedTenant = Light<TenantConfig> & Packed;

/** Packed, or as it was built. */
export type StoredTenant = TenantConfig | PackedTenant;

/** Packs what is heavy of a tenant. */
export function packTenant<T extends Bulk>({ apiKeys, roles, bindings, denials, ...light }: T): Light<T> & Packed {
  return { ...light, packed: { keys: octetsOf(apiKeys), rules: octetsOf([roles, bindings, denials]) } };
}

/** The whole tenant: other objects each time, so whoever needs it often keeps it. */
export function openTenant(stored: StoredTenant): TenantConfig {
  if (!('packed' in stored)) return stored;
  const { packed, ...light } = stored;
  // What stands in them was packed here.
  const [roles, bindings, denials] = read(packed.rules) as [RoleConfig[], BindingConfig[], DenyConfig[] | null];
  return { ...light, apiKeys: apiKeysOf(stored), roles, bindings, ...(denials === null ? {} : { denials }) };
}

/** A tenant's keys: other objects each time. */
export function apiKeysOf(stored: Pick<TenantConfig, 'apiKeys'> | Packed): readonly ApiKeyConfig[] {
  if (!('packed' in stored)) return stored.apiKeys;
  const keys = read(stored.packed.keys) as Omit<ApiKeyConfig, 'expiresAtSeconds'>[];
  // JSON has no undefined.
  return keys.map((key) => ({ expiresAtSeconds: undefined, ...key }));
}

function octetsOf(value: unknown): SharedArrayBuffer {
  const text = JSON.stringify(value);
  const octets = new SharedArrayBuffer(Buffer.byteLength(text));
  Buffer.from(octets).write(text);
  return octets;
}

function read(octets: SharedArrayBuffer): unknown {
  return JSON.parse(Buffer.from(octets).toString());
}
