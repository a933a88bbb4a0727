/**
 * Branded names. A brand is given once, by the parser or the check that earns it; code that holds one need not check again.
 */
declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** A tenant's id as configured: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?` (RFC 1123 label, as Kubernetes names are). */
export type TenantId = Brand<string, 'TenantId'>;

/** Microseconds since the Unix epoch, as a number (exact until the year 2255). */
export type EpochMicros = Brand<number, 'EpochMicros'>;

/** A canonical gRPC path, `/package.Service/Method`, matched by `^/[A-Za-z0-9_.]+/[A-Za-z0-9_]+$`. */
export type MethodPath = Brand<string, 'MethodPath'>;

const TENANT_ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** Parses a tenant id, or returns undefined when it is not an RFC 1123 label. */
export function parseTenantId(text: string): TenantId | undefined {
  return TENANT_ID.test(text) ? (text as TenantId) : undefined;
}
