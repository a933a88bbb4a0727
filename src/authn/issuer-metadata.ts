/**
 * What an issuer says of itself: OpenID Connect Discovery 1.0 and RFC 8414, whichever of the two its server has.
 *
 * As with its keys, calls wait only when there is nothing to go by, and the last good answer serves for a bounded time while the
 * issuer is down. The document is believed because of where it came from, so it must name exactly the issuer that was asked.
 */
import {
  type AuthorizationServer,
  allowInsecureRequests,
  customFetch,
  discoveryRequest,
  processDiscoveryResponse,
} from 'oauth4webapi';
import type { DocumentFetch } from '../fetching/document-fetch.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import type { AuthnLimits } from './limits.ts';
import { oauthFetch } from './oauth-fetch.ts';

export interface MetadataAccess {
  readonly fetch: DocumentFetch;
  readonly limits: AuthnLimits;
}

type Algorithm = 'oidc' | 'oauth2';

interface Held {
  readonly server: AuthorizationServer;
  readonly fetchedAt: number;
}

export class IssuerMetadata {
  readonly #issuer: string;
  readonly #caPem: string | undefined;
  readonly #access: MetadataAccess;
  #held: Held | undefined;
  #lastAttemptAt = Number.NEGATIVE_INFINITY;
  #lastFailure = 'not fetched yet';
  #inFlight: Promise<void> | undefined;
  /** The one that it has is tried first. */
  #order: readonly Algorithm[] = ['oidc', 'oauth2'];

  /** `issuer`: exact, a URL. `caPem`: trusted for its server instead of the system's roots. */
  constructor(issuer: string, caPem: string | undefined, access: MetadataAccess) {
    this.#issuer = issuer;
    this.#caPem = caPem;
    this.#access = access;
  }

  /** The metadata, as old as the limits allow; or why there is none. Never rejects. */
  async get(now: EpochMicros): Promise<Result<AuthorizationServer, string>> {
    const { metadataRefreshMs, jwksMaxStaleMs, jwksCooldownMs, jwksRetryMs } = this.#access.limits;
    const age = this.#held === undefined ? Number.POSITIVE_INFINITY : now - this.#held.fetchedAt;
    const sinceAttempt = now - this.#lastAttemptAt;
    if (age < jwksMaxStaleMs * 1000) {
      if (age >= metadataRefreshMs * 1000 && sinceAttempt >= jwksCooldownMs * 1000) void this.#fetch(now);
    } else {
      this.#held = undefined;
      if (this.#inFlight !== undefined || sinceAttempt >= jwksRetryMs * 1000) await this.#fetch(now);
    }
    return this.#held === undefined ? err(this.#lastFailure) : ok(this.#held.server);
  }

  /** The metadata once more, after what they name has failed: asked for anew, if the issuer may be asked again. */
  async renewed(now: EpochMicros): Promise<Result<AuthorizationServer, string>> {
    const mayAsk = now >= this.#lastAttemptAt + this.#access.limits.jwksCooldownMs * 1000;
    if (mayAsk || this.#inFlight !== undefined) await this.#fetch(now);
    return this.#held === undefined ? err(this.#lastFailure) : ok(this.#held.server);
  }

  /** One fetch at a time; never rejects. */
  #fetch(now: EpochMicros): Promise<void> {
    this.#inFlight ??= this.#fetchOnce(now).finally(() => {
      this.#inFlight = undefined;
    });
    return this.#inFlight;
  }

  async #fetchOnce(now: EpochMicros): Promise<void> {
    this.#lastAttemptAt = now;
    const failures: string[] = [];
    for (const algorithm of this.#order) {
      const server = await this.#ask(algorithm);
      if (server.ok) {
        this.#held = { server: server.value, fetchedAt: now };
        this.#order = algorithm === 'oidc' ? ['oidc', 'oauth2'] : ['oauth2', 'oidc'];
        return;
      }
      failures.push(`${WELL_KNOWN[algorithm]}: ${server.error}`);
    }
    this.#lastFailure = failures.join('; ');
  }

  async #ask(algorithm: Algorithm): Promise<Result<AuthorizationServer, string>> {
    const { fetch, limits } = this.#access;
    const bounds = { timeoutMs: limits.jwksTimeoutMs, maxBytes: limits.maxMetadataBytes };
    try {
      const url = new URL(this.#issuer);
      const response = await discoveryRequest(url, {
        algorithm,
        [customFetch]: oauthFetch({ fetch, caPem: this.#caPem, ...bounds }),
        // The guarded fetch has its own say, which lets http pass to this host only.
        [allowInsecureRequests]: true,
      });
      const server = await processDiscoveryResponse(url, response);
      // RFC 8414 §3.3: identical, where the library compares what the two URLs mean.
      return server.issuer === this.#issuer ? ok(server) : err('names another issuer');
    } catch (cause) {
      return err(cause instanceof Error ? cause.message : String(cause));
    }
  }
}

const WELL_KNOWN: Readonly<Record<Algorithm, string>> = {
  oidc: 'openid-configuration',
  oauth2: 'oauth-authorization-server',
};
