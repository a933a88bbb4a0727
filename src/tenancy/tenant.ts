/**
 * Who a connection says it belongs to, and who it was found to belong to. The claim is plain data that anybody may write;
 * quotas, byte accounts and records of success take a `Tenant`, which exists only after authentication agreed.
 */
import type { TenantId } from '../kernel/ids.ts';

export type { TenantEvidence as Tenant } from './tenant-evidence.ts';

/** A tenant as named by the server name of a TLS connection, or else by its client's certificate: unverified. */
export interface TenantClaim {
  readonly id: TenantId;
  readonly slot: number;
  readonly by: 'sni' | 'certificate';
}
