/**
 * What is revoked for all tenants of a worker, as of now. Authenticators live as long as their tenant's configuration, and what is revoked
 * changes beside it: they compare a number with the one that they last judged by. Each tenant has its own: what one tenant's CAs say
 * has nobody else's calls judged again.
 */
import type { DeniedCredential } from '../config/credentials-config.ts';
import type { RevocationList } from '../identity/revocation-list-reader.ts';
import type { EpochMicros, TenantId } from '../kernel/ids.ts';
import type { ClientStatuses } from './client-statuses.ts';
import { type Deniable, DenyList } from './deny-list.ts';

/** Counts up whenever something of the tenant's that was good may be revoked. */
export interface RevocationEpoch {
  readonly value: number;
}

export class Revocations {
  #denied: DenyList;
  #entries: string;
  readonly #epochs = new Map<TenantId, { value: number }>();
  /** What responders say of clients that are connected; undefined: nobody is asked. */
  readonly statuses: ClientStatuses | undefined;
  readonly #lists = new Map<TenantId, readonly RevocationList[]>();

  constructor(denied: readonly DeniedCredential[] = [], statuses?: ClientStatuses) {
    this.statuses = statuses;
    this.#denied = new DenyList(denied);
    this.#entries = JSON.stringify(denied);
  }

  /** The same object for as long as this one lives. */
  epochOf(tenant: TenantId): RevocationEpoch {
    return this.#epoch(tenant);
  }

  /** Something else is known of a client of this tenant's. */
  changed(tenant: TenantId): void {
    this.#epoch(tenant).value += 1;
  }

  /** A new list for all tenants. True when it is another than before. */
  deny(denied: readonly DeniedCredential[]): boolean {
    const entries = JSON.stringify(denied);
    if (entries === this.#entries) return false;
    this.#entries = entries;
    this.#denied = new DenyList(denied);
    for (const epoch of this.#epochs.values()) epoch.value += 1;
    return true;
  }

  /** Lists of a tenant's CAs that have been fetched; none of them is older than before. */
  setLists(tenant: TenantId, lists: readonly RevocationList[]): void {
    this.#lists.set(tenant, lists);
    this.changed(tenant);
  }

  lists(tenant: TenantId): readonly RevocationList[] {
    return this.#lists.get(tenant) ?? [];
  }

  /** The entry of the list for all tenants that one of these credentials is in. */
  denied(credentials: Deniable, now: EpochMicros): DeniedCredential | undefined {
    return this.#denied.find(credentials, now);
  }

  #epoch(tenant: TenantId): { value: number } {
    let epoch = this.#epochs.get(tenant);
    if (epoch === undefined) {
      epoch = { value: 0 };
      this.#epochs.set(tenant, epoch);
    }
    return epoch;
  }
}
