/**
 * What is revoked for all tenants of a worker, as of now. Authenticators live as long as their tenant's configuration, and what is revoked
 * changes beside it: they compare a number with the one that they last judged by.
 */
import type { DeniedCredential } from '../config/credentials-config.ts';
import type { RevocationList } from '../identity/revocation-list-reader.ts';
import type { EpochMicros, TenantId } from '../kernel/ids.ts';
import { type Deniable, DenyList } from './deny-list.ts';

export class Revocations {
  #denied: DenyList;
  #entries: string;
  #epoch = 0;
  readonly #lists = new Map<TenantId, readonly RevocationList[]>();

  constructor(denied: readonly DeniedCredential[] = []) {
    this.#denied = new DenyList(denied);
    this.#entries = JSON.stringify(denied);
  }

  /** Counts up whenever something that was good may be revoked. */
  get epoch(): number {
    return this.#epoch;
  }

  /** A new list for all tenants. True when it is another than before. */
  deny(denied: readonly DeniedCredential[]): boolean {
    const entries = JSON.stringify(denied);
    if (entries === this.#entries) return false;
    this.#entries = entries;
    this.#denied = new DenyList(denied);
    this.#epoch += 1;
    return true;
  }

  /** Lists of a tenant's CAs that have been fetched; none of them is older than before. */
  setLists(tenant: TenantId, lists: readonly RevocationList[]): void {
    this.#lists.set(tenant, lists);
    this.#epoch += 1;
  }

  lists(tenant: TenantId): readonly RevocationList[] {
    return this.#lists.get(tenant) ?? [];
  }

  /** The entry of the list for all tenants that one of these credentials is in. */
  denied(credentials: Deniable, now: EpochMicros): DeniedCredential | undefined {
    return this.#denied.find(credentials, now);
  }
}
