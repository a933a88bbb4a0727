/**
 * An issuer's keys: given with the configuration, or fetched and kept fresh.
 *
 * Calls wait for a fetch only when there is nothing to go by. Otherwise keys are renewed behind their backs, and while the
 * issuer is down the last good ones serve for a bounded time (fail closed after it).
 */
import { createLocalJWKSet } from 'jose';
import type { AuthorizationServer } from 'oauth4webapi';
import type { IssuerConfig } from '../config/credentials-config.ts';
import type { DocumentFetch } from '../fetching/document-fetch.ts';
import { type Denial, type Denied, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import type { IssuerMetadata } from './issuer-metadata.ts';
import type { AuthnLimits } from './limits.ts';
import { isJsonObject } from './strict-json.ts';
import type { TokenStanding } from './token-standing.ts';

type LocalKeys = ReturnType<typeof createLocalJWKSet>;

/** The keys of one moment. */
export interface KeySet {
  readonly find: LocalKeys;
  /** Which keys these are: what was verified with another version must be verified again. */
  readonly version: number;
}

type Keys = Result<KeySet, Denial>;

type RemoteKeys = Exclude<IssuerConfig['jwks'], { readonly kind: 'inline' | 'none' }>;

interface Held {
  readonly keys: KeySet;
  readonly text: string;
  readonly fetchedAt: number;
}

/** Where a source gets its document, and within which limits. */
export interface JwksAccess {
  readonly fetch: DocumentFetch;
  readonly limits: AuthnLimits;
}

export class JwksSource {
  readonly #config: IssuerConfig;
  readonly #access: JwksAccess;
  readonly #metadata: IssuerMetadata | undefined;
  #held: Held | undefined;
  #version = 1;
  #lastAttemptAt = Number.NEGATIVE_INFINITY;
  /** When a kid that nobody knew last had the issuer asked. */
  #lastForcedAt = Number.NEGATIVE_INFINITY;
  #lastFailure = 'not fetched yet';
  #inFlight: Promise<void> | undefined;
  /** When `tend` has something to do next. */
  #dueAt: number;

  /** `metadata`: where the issuer says that its keys are, when the configuration does not. */
  constructor(config: IssuerConfig, access: JwksAccess, metadata?: IssuerMetadata) {
    this.#config = config;
    this.#access = access;
    this.#metadata = metadata;
    this.#dueAt = Number.POSITIVE_INFINITY;
    if (config.jwks.kind === 'inline') this.#hold(config.jwks.json, Number.POSITIVE_INFINITY);
  }

  /** The standing of a token that one of these keys has signed. */
  standing({ version }: KeySet): TokenStanding {
    return {
      stands: (now) => {
        this.tend(now);
        return this.#version === version;
      },
    };
  }

  /** Renews in the background what is due. Call it with every use; it costs a comparison. */
  tend(now: EpochMicros): void {
    if (now < this.#dueAt) return;
    const { limits } = this.#access;
    if (this.#held !== undefined && now >= this.#held.fetchedAt + limits.jwksMaxStaleMs * 1000) {
      this.#held = undefined;
      this.#version += 1;
    }
    this.#dueAt = now + limits.jwksCooldownMs * 1000;
    void this.#fetch(now);
  }

  /** The keys, at once when there are any. */
  keys(now: EpochMicros): Keys | Promise<Keys> {
    this.tend(now);
    if (this.#held !== undefined) return ok(this.#held.keys);
    if (this.#config.jwks.kind === 'inline') return this.#unavailable();
    if (this.#inFlight === undefined && now < this.#lastAttemptAt + this.#access.limits.jwksRetryMs * 1000) {
      return this.#unavailable();
    }
    return this.#fetch(now).then(() => (this.#held === undefined ? this.#unavailable() : ok(this.#held.keys)));
  }

  /** The keys once more after none of `seen` fitted: newer ones if the issuer may be asked again and has any. */
  async keysNewerThan(seen: KeySet, now: EpochMicros): Promise<KeySet | undefined> {
    if (this.#inFlight === undefined) {
      const mayAsk = now >= this.#lastForcedAt + this.#access.limits.jwksCooldownMs * 1000;
      if (!mayAsk || this.#config.jwks.kind === 'inline') return this.#newerThan(seen);
      this.#lastForcedAt = now;
    }
    await this.#fetch(now);
    return this.#newerThan(seen);
  }

  #newerThan(seen: KeySet): KeySet | undefined {
    const held = this.#held?.keys;
    return held === undefined || held.version === seen.version ? undefined : held;
  }

  /** One fetch at a time; never rejects. */
  #fetch(now: EpochMicros): Promise<void> {
    this.#inFlight ??= this.#fetchOnce(now).finally(() => {
      this.#inFlight = undefined;
    });
    return this.#inFlight;
  }

  async #fetchOnce(now: EpochMicros): Promise<void> {
    const { jwks } = this.#config;
    if (jwks.kind === 'inline' || jwks.kind === 'none') return;
    this.#lastAttemptAt = now;
    const place = await this.#place(jwks, now);
    const fetched = place.ok ? await this.#fetchFrom(place.value, now) : place;
    if (!fetched.ok) this.#lastFailure = fetched.error;
    else if (this.#hold(fetched.value.toString('utf8'), now)) {
      this.#dueAt = now + this.#access.limits.jwksRefreshMs * 1000;
    }
  }

  /** Where the keys are. */
  async #place(jwks: RemoteKeys, now: EpochMicros): Promise<Result<string, string>> {
    if (jwks.kind === 'url') return ok(jwks.url);
    const server = await this.#metadata?.get(now);
    return server?.ok === true ? placeIn(server.value) : err(server?.error ?? 'not discovered');
  }

  async #fetchFrom(url: string, now: EpochMicros): Promise<Result<Buffer, string>> {
    const fetched = await this.#fetchOne(url);
    if (fetched.ok || this.#metadata === undefined) return fetched;
    // Keys that were where the metadata said may have moved.
    const renewed = await this.#metadata.renewed(now);
    const place = renewed.ok ? placeIn(renewed.value) : renewed;
    return place.ok && place.value !== url ? this.#fetchOne(place.value) : fetched;
  }

  #fetchOne(url: string): Promise<Result<Buffer, string>> {
    const { jwks } = this.#config;
    const { fetch, limits } = this.#access;
    return fetch({
      url,
      caPem: 'caPem' in jwks ? jwks.caPem : undefined,
      timeoutMs: limits.jwksTimeoutMs,
      maxBytes: limits.maxJwksBytes,
      contentTypes: KEY_SET_TYPES,
    });
  }

  /** Takes over a document, unless it is none. */
  #hold(text: string, fetchedAt: number): boolean {
    if (this.#held?.text === text) {
      this.#held = { ...this.#held, fetchedAt };
      return true;
    }
    const parsed = parseKeys(text, this.#access.limits.maxJwksKeys);
    if (!parsed.ok) {
      this.#lastFailure = parsed.error;
      return false;
    }
    this.#version += 1;
    this.#held = { keys: { find: parsed.value, version: this.#version }, text, fetchedAt };
    return true;
  }

  #unavailable(): Denied {
    return deny({ kind: 'policy_unavailable', source: `JWKS of ${this.#config.issuer}`, why: this.#lastFailure });
  }
}

function placeIn({ jwks_uri: url }: AuthorizationServer): Result<string, string> {
  return typeof url === 'string' ? ok(url) : err('the issuer’s metadata name no jwks_uri');
}

/** RFC 7517 §8.5.2, and what most issuers say. */
const KEY_SET_TYPES = ['application/jwk-set+json', 'application/json'];

function parseKeys(text: string, maxKeys: number): Result<LocalKeys, string> {
  try {
    const document: unknown = JSON.parse(text);
    const keys = isJsonObject(document) ? document['keys'] : undefined;
    if (!Array.isArray(keys)) return err('not a JWKS');
    if (keys.length > maxKeys) return err(`more than ${String(maxKeys)} keys`);
    return ok(createLocalJWKSet({ keys }));
  } catch {
    return err('not a JWKS');
  }
}
