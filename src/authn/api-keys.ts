/**
 * A tenant's API keys. Secrets are 192 random bits or more, so one SHA-256 is all that guessing needs to be hopeless, and a
 * slow hash would only let callers slow us down.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ApiKeyConfig } from '../config/credentials-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
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
  /** Infinity: never. */
  readonly expiresAtMicros: number;
  /** Where it may be used from; undefined: anywhere. */
  readonly addresses: AddressList | undefined;
  /** The models that it may be used for, of those that roles give; undefined: all of these. */
  readonly models: KeyModels | undefined;
  /** When it was last used, in microseconds; 0: that has been gathered since (`key-uses.ts`). */
  readonly use: { at: number };
}

/** Patterns over models and versions. */
export interface KeyModels {
  readonly models: readonly string[];
  readonly versions: readonly string[];
}

/** A key with the secrets that are good at once while its users change over. */
interface KnownSecrets {
  readonly current: KnownKey;
  readonly previous: KnownKey | undefined;
}

/** Compared with when there is no such key or no such secret, so that this takes the time of one that is there. */
const NOBODY = randomBytes(32).toString('hex');

export class ApiKeys {
  readonly #tenant: TenantConfig;
  readonly #directory: CredentialDirectory;
  readonly #byId: ReadonlyMap<string, KnownSecrets>;

  constructor(tenant: TenantConfig, directory: CredentialDirectory) {
    this.#tenant = tenant;
    this.#directory = directory;
    this.#byId = new Map(tenant.apiKeys.map((config) => [config.id, knownSecrets(config)]));
  }

  /**
   * Verifies a presented key. What a caller sees of all failures is the same, but for a good key of another tenant: whoever has its
   * secret knows whose it is. The work is the same as well: two look-ups, one hash, two comparisons, whoever's the key is.
   */
  verify(key: PresentedKey, now: EpochMicros): Result<KnownKey, Denial> {
    const own = this.#byId.get(key.id);
    const listed = this.#directory.keyOf(key.id);
    const config = own?.current.config ?? listed?.config;
    // The secret first, always: only who has it may learn that the key was revoked or has expired, even by time.
    const digest = hash('sha256', key.secret, 'buffer');
    const isCurrent = isDigest(digest, config?.sha256 ?? NOBODY);
    const isPrevious = isDigest(digest, config?.previous?.sha256 ?? NOBODY);
    if (own !== undefined) {
      const matched = isCurrent ? own.current : isPrevious ? own.previous : undefined;
      if (matched === undefined) return deny({ kind: 'api_key_invalid', why: 'wrong_secret' });
      if (matched.config.revoked) return deny({ kind: 'api_key_invalid', why: 'revoked' });
      return now < matched.expiresAtMicros ? ok(matched) : deny({ kind: 'api_key_invalid', why: 'expired' });
    }
    if (listed === undefined || listed.tenant === this.#tenant.id) {
      return deny({ kind: 'api_key_invalid', why: 'unknown' });
    }
    const flaw = flawOf(listed.config, isCurrent ? 'current' : isPrevious ? 'previous' : undefined, now);
    const [claimed, presented] = [this.#tenant.id, listed.tenant];
    if (flaw !== undefined) return deny({ kind: 'foreign_key_unproven', claimed, presented, why: flaw });
    return deny({ kind: 'tenant_mismatch', claimed, presented, by: 'api key' });
  }
}

/** Where hashes are decoded to: a key of another tenant has no decoded one, and an own one shall not be faster. */
const expected = Buffer.alloc(32);

function isDigest(digest: Buffer, hex: string): boolean {
  expected.write(hex, 'hex');
  return timingSafeEqual(digest, expected);
}

/** What keeps another tenant's key from being a good one. */
function flawOf(
  { revoked, expiresAtSeconds, previous }: ApiKeyConfig,
  matched: 'current' | 'previous' | undefined,
  now: EpochMicros,
): 'wrong_secret' | 'revoked' | 'expired' | undefined {
  if (matched === undefined) return 'wrong_secret';
  if (revoked) return 'revoked';
  const endSeconds = matched === 'current' ? expiresAtSeconds : previous?.expiresAtSeconds;
  return now < (endSeconds ?? Number.POSITIVE_INFINITY) * 1_000_000 ? undefined : 'expired';
}

const ANY = ['*'];

function knownSecrets(config: ApiKeyConfig): KnownSecrets {
  const { id, expiresAtSeconds = Number.POSITIVE_INFINITY, previous } = config;
  const addresses = AddressList.of('api key', config);
  const narrows = config.models !== undefined || config.versions !== undefined;
  const models = narrows ? { models: config.models ?? ANY, versions: config.versions ?? ANY } : undefined;
  const secret = (name: string, endSeconds: number): KnownKey => ({
    ...{ config, name, addresses, models },
    expiresAtMicros: endSeconds * 1_000_000,
    use: { at: 0 },
  });
  return {
    current: secret(id, expiresAtSeconds),
    previous: previous && secret(`${id} before`, previous.expiresAtSeconds),
  };
}
