/**
 * A tenant's API keys. Secrets are 192 random bits or more, so one SHA-256 is all that guessing needs to be hopeless, and a
 * slow hash would only let callers slow us down.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ApiKeyConfig, TenantConfig } from '../config/generation.ts';
import { type Denial, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { ok, type Result } from '../kernel/result.ts';
import { AddressList } from './address-list.ts';
import type { PresentedKey } from './credentials.ts';
import type { CredentialDirectory } from './directory.ts';

/** A secret of a configured key. Each has exactly one such object, so it may serve as a key of maps. */
export interface KnownKey {
  readonly config: ApiKeyConfig;
  /** The key's id, marked when it is the secret before: two secrets of a key have two ends. No other key has it. */
  readonly name: string;
  readonly digest: Buffer;
  /** Infinity: never. */
  readonly expiresAtMicros: number;
  /** Where it may be used from; undefined: anywhere. */
  readonly addresses: AddressList | undefined;
}

/** A key with the secrets that are good at once while its users change over. */
interface KnownSecrets {
  readonly current: KnownKey;
  readonly previous: KnownKey | undefined;
}

/** Compared with when the id is nobody's, so that an unknown id takes the time of a known one. */
const NOBODY = randomBytes(32);

export class ApiKeys {
  readonly #tenant: TenantConfig;
  readonly #directory: CredentialDirectory;
  readonly #byId: ReadonlyMap<string, KnownSecrets>;

  constructor(tenant: TenantConfig, directory: CredentialDirectory) {
    this.#tenant = tenant;
    this.#directory = directory;
    this.#byId = new Map(tenant.apiKeys.map((config) => [config.id, knownSecrets(config)]));
  }

  /** Verifies a presented key. What a caller sees of all failures within the tenant is the same. */
  verify(presented: PresentedKey, now: EpochMicros): Result<KnownKey, Denial> {
    const known = this.#byId.get(presented.id);
    // The secret first, always: only who has it may learn that the key was revoked or has expired, even by time.
    // One hash and two comparisons, whether the key is known, has a secret before, or not.
    const digest = hash('sha256', presented.secret, 'buffer');
    const isCurrent = timingSafeEqual(digest, known?.current.digest ?? NOBODY);
    const isPrevious = timingSafeEqual(digest, known?.previous?.digest ?? NOBODY);
    if (known === undefined) {
      const other = this.#directory.tenantOfKey(presented.id);
      if (other === undefined || other === this.#tenant.id) return deny({ kind: 'api_key_invalid', why: 'unknown' });
      return deny({ kind: 'tenant_mismatch', claimed: this.#tenant.id, presented: other, by: 'api key' });
    }
    const matched = isCurrent ? known.current : isPrevious ? known.previous : undefined;
    if (matched === undefined) return deny({ kind: 'api_key_invalid', why: 'wrong_secret' });
    if (matched.config.revoked) return deny({ kind: 'api_key_invalid', why: 'revoked' });
    if (now >= matched.expiresAtMicros) return deny({ kind: 'api_key_invalid', why: 'expired' });
    return ok(matched);
  }
}

function knownSecrets(config: ApiKeyConfig): KnownSecrets {
  const { id, sha256, expiresAtSeconds = Number.POSITIVE_INFINITY, previous } = config;
  const addresses = config.addresses && new AddressList(config.addresses);
  const secret = (name: string, digest: string, endSeconds: number): KnownKey => ({
    ...{ config, name, addresses },
    digest: Buffer.from(digest, 'hex'),
    expiresAtMicros: endSeconds * 1_000_000,
  });
  return {
    current: secret(id, sha256, expiresAtSeconds),
    previous: previous && secret(`${id} before`, previous.sha256, previous.expiresAtSeconds),
  };
}
