/**
 * Asks an issuer about a token (RFC 7662): what it says is held to the same checks as the claims of a JWT.
 *
 * Each answer is good for a while and is renewed behind the callers' backs before it ends. An endpoint that is away is asked by one
 * caller at a time; known callers then live on what was last heard for a bounded time, and nobody new gets in (fail closed). The
 * client's secret and the token leave in the request's body and headers only: no error says them.
 */
import {
  type AuthorizationServer,
  allowInsecureRequests,
  type Client,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  customFetch,
  introspectionRequest,
  processIntrospectionResponse,
  TlsClientAuth,
} from 'oauth4webapi';
import type { IntrospectionConfig } from '../config/credentials-config.ts';
import type { DocumentFetch } from '../fetching/document-fetch.ts';
import { type Denial, type Denied, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { IntrospectedStanding } from './introspected-standing.ts';
import type { IssuerMetadata } from './issuer-metadata.ts';
import type { AuthnLimits } from './limits.ts';
import { oauthFetch } from './oauth-fetch.ts';
import { SecondChanceCache } from './second-chance-cache.ts';
import type { JsonObject } from './strict-json.ts';
import { Turnstile } from './turnstile.ts';

export interface IntrospectorDeps {
  readonly fetch: DocumentFetch;
  readonly limits: AuthnLimits;
  /** Where the issuer says that its endpoint is, when the configuration does not. */
  readonly metadata: IssuerMetadata | undefined;
}

export class Introspector {
  readonly #issuer: string;
  readonly #config: IntrospectionConfig;
  readonly #deps: IntrospectorDeps;
  readonly #client: Client;
  readonly #authentication: ClientAuth;
  readonly #turnstile: Turnstile;
  /** Tokens that were not active, with when that may be asked again. */
  readonly #inactive: SecondChanceCache<number>;
  #waiting = 0;
  #away: { readonly at: number; readonly why: string } | undefined;
  #probing = false;

  constructor(issuer: string, config: IntrospectionConfig, deps: IntrospectorDeps) {
    this.#issuer = issuer;
    this.#config = config;
    this.#deps = deps;
    const { clientId, clientSecret } = config;
    // RFC 8705 §5: who authenticates by certificate may have to go to another door.
    this.#client = { client_id: clientId, use_mtls_endpoint_aliases: clientSecret === undefined };
    this.#authentication = authenticationOf(config);
    this.#turnstile = new Turnstile(deps.limits.maxConcurrentIntrospections);
    this.#inactive = new SecondChanceCache(deps.limits.maxInactiveTokens, deps.limits.maxInactiveTokenBytes);
  }

  /** Whether the endpoint could not be asked when it last should have been. */
  get isAway(): boolean {
    return this.#away !== undefined;
  }

  /**
   * What the issuer says of an active token, as the claims of a JWT would say it; or why it does not. Never rejects. `wasActive`: it has said
   * so of this one before.
   */
  async ask(token: string, now: EpochMicros, wasActive = false): Promise<Result<JsonObject, Denial>> {
    const inactiveUntil = this.#inactive.get(token);
    if (inactiveUntil !== undefined && now < inactiveUntil) return inactive();
    const turn = this.#takeTurn(now);
    if (!turn.ok) return turn;
    try {
      return await this.#turnstile.run(() => this.#askNow({ token, now, wasActive }, turn.value));
    } finally {
      this.#waiting -= 1;
      if (turn.value === 'probe') this.#probing = false;
    }
  }

  /** The standing of a token of which these claims were said. */
  standing(token: string, claims: JsonObject, now: EpochMicros): IntrospectedStanding {
    return new IntrospectedStanding({ introspector: this, config: this.#config, token, claims, now });
  }

  /** Of an endpoint that is away, one caller at a time finds out whether it has come back. */
  #takeTurn(now: EpochMicros): Result<'probe' | 'turn', Denial> {
    const { maxPendingIntrospections, introspectionRetryMs } = this.#deps.limits;
    if (this.#away !== undefined) {
      if (this.#probing || now < this.#away.at + introspectionRetryMs * 1000) return this.#unavailable(this.#away.why);
      this.#probing = true;
    } else if (this.#waiting >= maxPendingIntrospections) {
      return deny({ kind: 'overloaded', why: 'too many tokens of this tenant are being asked about' });
    }
    this.#waiting += 1;
    return ok(this.#away === undefined ? 'turn' : 'probe');
  }

  async #askNow({ token, now, wasActive }: Asked, turn: 'probe' | 'turn'): Promise<Result<JsonObject, Denial>> {
    // Those that waited for their turn while the endpoint went away.
    if (this.#away !== undefined && turn === 'turn') return this.#unavailable(this.#away.why);
    const answer = await this.#exchange(token, now);
    if (!answer.ok) {
      this.#away = this.#awayAfter(answer.error, now, wasActive);
      return this.#unavailable(answer.error);
    }
    this.#away = undefined;
    const type = answer.value['token_type'];
    // A refresh token is active as well, and DPoP asks for a proof that a call here cannot bring.
    if (type !== undefined && (typeof type !== 'string' || type.toLowerCase() !== 'bearer'))
      return invalid('token_type is not Bearer');
    if (answer.value['active'] === true) return ok(this.#completed(answer.value));
    this.#inactive.set(token, now + this.#deps.limits.introspectionNegativeMs * 1000);
    return inactive();
  }

  #awayAfter(
    error: string,
    now: EpochMicros,
    wasActive: boolean,
  ): { readonly at: number; readonly why: string } | undefined {
    if (NOT_THIS_TOKEN.test(error)) return undefined;
    if (!NOT_THIS_REQUEST.test(error) || wasActive) return { at: now, why: error };
    return this.#away && { ...this.#away, at: now };
  }

  async #exchange(token: string, now: EpochMicros): Promise<Result<JsonObject, string>> {
    const server = await this.#server(now);
    if (!server.ok) return server;
    const { fetch, limits } = this.#deps;
    const { caPem, clientCertificate } = this.#config;
    const bounds = { timeoutMs: limits.introspectionTimeoutMs, maxBytes: limits.maxIntrospectionBytes };
    try {
      const response = await introspectionRequest(server.value, this.#client, this.#authentication, token, {
        additionalParameters: { token_type_hint: 'access_token' },
        [customFetch]: oauthFetch({ fetch, caPem, clientCertificate, ...bounds }),
        // The guarded fetch has its own say, which lets http pass to this host only.
        [allowInsecureRequests]: true,
      });
      return ok(await processIntrospectionResponse(server.value, this.#client, response));
    } catch (cause) {
      return err(cause instanceof Error ? cause.message : 'no answer');
    }
  }

  async #server(now: EpochMicros): Promise<Result<AuthorizationServer, string>> {
    const { endpoint } = this.#config;
    if (endpoint !== undefined) return ok({ issuer: this.#issuer, introspection_endpoint: endpoint });
    return (await this.#deps.metadata?.get(now)) ?? err('neither an endpoint nor metadata');
  }

  /** RFC 7662 §2.2 lets an answer leave away what follows from where it came, and whom a client's own token is for (RFC 9068 §2.2). */
  #completed(answer: JsonObject): JsonObject {
    const { iss = this.#issuer, sub = answer['client_id'] } = answer;
    return { ...answer, iss, sub };
  }

  #unavailable(why: string): Denied {
    return deny({ kind: 'policy_unavailable', source: `introspection of ${this.#issuer}`, why });
  }
}

/**
 * What a server says that is there and does not take this very request. The token is the caller's to choose: were it word of an endpoint
 * that is away, one caller could keep everybody new out, and what was withdrawn alive.
 */
const NOT_THIS_TOKEN = /^status (?:400|413|414|422|431)$/;

/**
 * What a server says that does not let us ask (401, RFC 7662 §2.3), and what a firewall before it says of a request whose token it does not like
 * (403). Which of them it is shows when it is said of a token that was active before: no caller has chosen that one for what it looks like.
 */
const NOT_THIS_REQUEST = /^status 4(?!08|29)\d\d$/;

interface Asked {
  readonly token: string;
  readonly now: EpochMicros;
  readonly wasActive: boolean;
}

function authenticationOf({ clientSecret, method }: IntrospectionConfig): ClientAuth {
  if (clientSecret === undefined) return TlsClientAuth();
  return method === 'post' ? ClientSecretPost(clientSecret) : ClientSecretBasic(clientSecret);
}

function inactive(): Denied {
  return invalid('the issuer says that it is not active');
}

function invalid(why: string): Denied {
  return deny({ kind: 'token_invalid', why });
}
