/**
 * A tenant's API keys. Secrets are 192 random bits or more, so one SHA-256 is all that guessing needs to be hopeless, and a
 * slow hash would only let callers slow us down.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ApiKeyConfig, TenantConfig } from '../config/generation.ts';
import { type Denial, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { ok, type Result } from '../kernel/result.ts';
import type { PresentedKey } from './credentials.ts';
import type { CredentialDirectory } from './directory.ts';

/** A configured key. Each key has exactly one such object, so it may serve as a key of maps. */
export interface KnownKey {
  readonly config: ApiKeyConfig;
  readonly digest: Buffer;
  /** Infinity: never. */
  readonly expiresAtMicros: number;
}

/** Compared with when the id is nobody's, so that an unknown id takes the time of a known one. */
const NOBODY = randomBytes(32);

export class ApiKeys {
  readonly #tenant: TenantConfig;
  readonly #directory: CredentialDirectory;
  readonly #byId: ReadonlyMap<string, KnownKey>;

  constructor(tenant: TenantConfig, directory: CredentialDirectory) {
    this.#tenant = tenant;
    this.#directory = directory;
    this.#byId = new Map(tenant.apiKeys.map((config) => [config.id, knownKey(config)]));
  }

  /** Verifies a presented key. What a caller sees of all failures within the tenant is the same. */
  verify(presented: PresentedKey, now: EpochMicros): Result<KnownKey, Denial> {
    const known = this.#byId.get(presented.id);
    // The secret first, always: only who has it may learn that the key was revoked or has expired, even by time.
    const matches = timingSafeEqual(hash('sha256', presented.secret, 'buffer'), known?.digest ?? NOBODY);
    if (known === undefined) {
      const other = this.#directory.tenantOfKey(presented.id);
      if (other === undefined || other === this.#tenant.id) return deny({ kind: 'api_key_invalid', why: 'unknown' });
      return deny({ kind: 'tenant_mismatch', claimed: this.#tenant.id, presented: other, by: 'api key' });
    }
    if (!matches) return deny({ kind: 'api_key_invalid', why: 'wrong_secret' });
    if (known.config.revoked) return deny({ kind: 'api_key_invalid', why: 'revoked' });
    if (now >= known.expiresAtMicros) return deny({ kind: 'api_key_invalid', why: 'expired' });
    return ok(known);
  }
}

function knownKey(config: ApiKeyConfig): KnownKey {
  const { expiresAtSeconds } = config;
  return {
    config,
    digest: Buffer.from(config.sha256, 'hex'),
    expiresAtMicros: expiresAtSeconds === undefined ? Number.POSITIVE_INFINITY : expiresAtSeconds * 1_000_000,
  };
}
