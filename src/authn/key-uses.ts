/**
 * When API keys were last used. A call only writes down the time in its key's own cell; what has been written since is gathered when
 * somebody asks, every few seconds.
 */
import type { EpochMicros, TenantId } from '../kernel/ids.ts';
import type { KnownKey } from './api-keys.ts';

export interface KeyUse {
  readonly tenant: TenantId;
  /** The key's id, marked when it is the secret before (`KnownKey.name`). */
  readonly key: string;
  readonly atSeconds: number;
}

export class KeyUses {
  /** Those whose cells have a time in them. */
  readonly #used: { readonly tenant: TenantId; readonly key: KnownKey }[] = [];

  /** A call has presented the key with its secret, from where it may be used. */
  note(tenant: TenantId, key: KnownKey, now: EpochMicros): void {
    if (key.use.at === 0) this.#used.push({ tenant, key });
    key.use.at = now;
  }

  /** What was used since it was last asked. */
  take(): readonly KeyUse[] {
    return this.#used.splice(0).map(({ tenant, key }) => {
      const atSeconds = Math.floor(key.use.at / 1_000_000);
      key.use.at = 0;
      return { tenant, key: key.name, atSeconds };
    });
  }
}
