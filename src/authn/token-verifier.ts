/**
 * Verifies a token for one tenant: shape, issuer, signature (jose), claims, in this order. A token that only its issuer can read is
 * asked about, and what is said of it takes the place of its claims.
 */
import type { IssuerConfig } from '../config/credentials-config.ts';
import type { TenantConfig } from '../config/tenant-config.ts';
import { type Denial, type Denied, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { ok, type Result } from '../kernel/result.ts';
import { parseClaims, parseCompactJws, type UnverifiedJws } from './compact-jws.ts';
import type { CredentialDirectory } from './directory.ts';
import type { WatchedToken } from './first-use.ts';
import { Introspector } from './introspector.ts';
import { IssuerMetadata } from './issuer-metadata.ts';
import { type JwksAccess, JwksSource, type KeySet } from './jwks-source.ts';
import { SIGNATURE_ALGORITHMS, type SignatureVerdict, verifySignature } from './jws-signature.ts';
import { ClaimSelection, type KeptClaims } from './kept-claims.ts';
import type { JsonObject } from './strict-json.ts';
import { checkClaims, type TokenIdentity } from './token-claims.ts';
import { tokenShape } from './token-shape.ts';
import type { TokenStanding } from './token-standing.ts';
import { Turnstile } from './turnstile.ts';

/** A verified token, with what to watch for the day its key is withdrawn, or its issuer says otherwise. */
export interface VerifiedToken {
  readonly identity: TokenIdentity;
  readonly claims: KeptClaims;
  /** What its issuer said of it, if it was asked. */
  readonly said: JsonObject | undefined;
  readonly standing: TokenStanding;
  /** Undefined: anybody may use it who may present it. */
  readonly watched: WatchedToken | undefined;
}

interface Trusted {
  readonly config: IssuerConfig;
  readonly algorithms: readonly string[];
  /** Undefined when none of its tokens are verified by a signature. */
  readonly source: JwksSource | undefined;
  /** Undefined when it is not asked about any. */
  readonly introspector: Introspector | undefined;
}

export class TokenVerifier {
  readonly #tenant: TenantConfig;
  readonly #directory: CredentialDirectory;
  readonly #limits: JwksAccess['limits'];
  readonly #issuers: ReadonlyMap<string, Trusted>;
  /** Who is asked about tokens that name no issuer; the configuration has one at most. */
  readonly #opaque: Trusted | undefined;
  readonly #turnstile: Turnstile;
  readonly #claims: ClaimSelection;

  constructor(tenant: TenantConfig, directory: CredentialDirectory, access: JwksAccess) {
    this.#tenant = tenant;
    this.#directory = directory;
    this.#limits = access.limits;
    this.#claims = new ClaimSelection(tenant);
    this.#turnstile = new Turnstile(access.limits.maxConcurrentSignatures);
    this.#issuers = new Map(tenant.issuers.map((config) => [config.issuer, trustedOf(config, access)]));
    this.#opaque = [...this.#issuers.values()].find(({ introspector }) => introspector !== undefined);
  }

  /** Verifies a token, or says why not. Never rejects. */
  async verify(token: string, now: EpochMicros): Promise<Result<VerifiedToken, Denial>> {
    if (this.#opaque?.introspector !== undefined && tokenShape(token) === 'opaque') {
      return this.#introspect(token, this.#opaque.config, this.#opaque.introspector, now);
    }
    const jws = parseCompactJws(token, this.#limits.maxTokenBytes);
    if (!jws.ok) return jws;
    const claims = parseClaims(jws.value);
    if (!claims.ok) return claims;
    const issuer = this.#issuerOf(jws.value, claims.value);
    if (!issuer.ok) return issuer;
    const { config, source, introspector } = issuer.value;
    const isAsked = introspector !== undefined && config.introspection?.tokens === 'all';
    if (source === undefined) {
      return isAsked ? this.#introspect(token, config, introspector, now) : invalid('its issuer has no keys here');
    }
    const keys = await this.#fittingKeys(jws.value, issuer.value, source, now);
    if (!keys.ok) return keys;
    const signed = this.#identify(claims.value, config, source.standing(keys.value), now);
    if (!signed.ok || !isAsked) return signed;
    const asked = await this.#introspect(token, config, introspector, now);
    return asked.ok ? joined(signed.value, asked.value) : asked;
  }

  /** Asks the issuer about a token, whose answer is held to the same checks as claims are. */
  async #introspect(
    token: string,
    config: IssuerConfig,
    introspector: Introspector,
    now: EpochMicros,
  ): Promise<Result<VerifiedToken, Denial>> {
    const claims = await introspector.ask(token, now);
    if (!claims.ok) return claims;
    return this.#identify(claims.value, config, introspector.standing(token, claims.value, now), now, claims.value);
  }

  /** The keys of the issuer, one of which has signed it. */
  async #fittingKeys(
    jws: UnverifiedJws,
    issuer: Trusted,
    source: JwksSource,
    now: EpochMicros,
  ): Promise<Result<KeySet, Denial>> {
    const keys = await source.keys(now);
    if (!keys.ok) return keys;
    const first = await this.#verdict(jws, keys.value, issuer);
    if (first === 'good') return keys;
    // A kid says which key it was; without one it may be a key that we do not have yet.
    if (first === 'bad' && jws.keyId !== undefined) return invalid('signature');
    const newer = await source.keysNewerThan(keys.value, now);
    const second = newer === undefined ? first : await this.#verdict(jws, newer, issuer);
    if (newer !== undefined && second === 'good') return ok(newer);
    return invalid(second === 'bad' ? 'signature' : 'no key of the issuer fits');
  }

  /**
   * Holds a token whose signature was verified before, under another configuration, against this one: everything but the signature.
   * A key that its issuer has withdrawn since does not matter: issuers do that when they rotate, and tokens end. `said`: what the
   * issuer said of it, if it was asked.
   */
  recheck(token: string, said: JsonObject | undefined, now: EpochMicros): Result<VerifiedToken, Denial> {
    if (this.#opaque !== undefined && tokenShape(token) === 'opaque') return this.#recheckSaid(said, this.#opaque, now);
    const jws = parseCompactJws(token, this.#limits.maxTokenBytes);
    if (!jws.ok) return jws;
    const claims = parseClaims(jws.value);
    if (!claims.ok) return claims;
    const issuer = this.#issuerOf(jws.value, claims.value);
    if (!issuer.ok) return issuer;
    if (issuer.value.source === undefined) return this.#recheckSaid(said, issuer.value, now);
    const signed = this.#identify(claims.value, issuer.value.config, CHECKED_ONCE, now);
    if (!signed.ok || issuer.value.config.introspection?.tokens !== 'all') return signed;
    const asked = this.#recheckSaid(said, issuer.value, now);
    return asked.ok ? joined(signed.value, asked.value) : asked;
  }

  #recheckSaid(said: JsonObject | undefined, { config }: Trusted, now: EpochMicros): Result<VerifiedToken, Denial> {
    return said === undefined
      ? invalid('its issuer was not asked')
      : this.#identify(said, config, CHECKED_ONCE, now, said);
  }

  #verdict(jws: UnverifiedJws, keys: KeySet, issuer: Trusted): Promise<SignatureVerdict> {
    return this.#turnstile.run(() => verifySignature(jws, keys.find, issuer.algorithms));
  }

  #issuerOf(jws: UnverifiedJws, claims: JsonObject): Result<Trusted, Denial> {
    const issuer = claims['iss'];
    if (typeof issuer !== 'string') return invalid('no iss');
    const trusted = this.#issuers.get(issuer);
    if (trusted === undefined) {
      const others = this.#directory.tenantsOfIssuer(issuer);
      if (others.length === 0) return invalid('unknown issuer');
      // Not verified: whose keys are asked, and how long that takes, would tell which issuers other tenants have.
      return deny({ kind: 'foreign_token_unproven', claimed: this.#tenant.id, presented: others.join(' ') });
    }
    if (trusted.config.profile === 'at+jwt' && !jws.saysAccessToken) return invalid('typ is not at+jwt');
    return trusted.algorithms.includes(jws.algorithm) ? ok(trusted) : invalid('alg is not one of the issuer');
  }

  #identify(
    claims: JsonObject,
    issuer: IssuerConfig,
    standing: TokenStanding,
    now: EpochMicros,
    said?: JsonObject,
  ): Result<VerifiedToken, Denial> {
    const identity = checkClaims(claims, issuer, this.#tenant.id, now);
    if (!identity.ok) return identity;
    return ok({
      identity: identity.value,
      claims: this.#claims.select(claims),
      said,
      standing,
      watched: watchedBy(issuer),
    });
  }
}

function watchedBy({ replay }: IssuerConfig): WatchedToken | undefined {
  return replay === undefined ? undefined : { rule: replay, own: new WeakSet() };
}

/** Of a token that nobody remembers: the next call with it is judged anew. */
const CHECKED_ONCE: TokenStanding = { stands: () => false };

function trustedOf(config: IssuerConfig, access: JwksAccess): Trusted {
  const { issuer, jwks, introspection } = config;
  const metadata = jwks.kind === 'discovery' ? new IssuerMetadata(issuer, jwks.caPem, access) : undefined;
  return {
    config,
    algorithms: config.algorithms.filter((algorithm) => SIGNATURE_ALGORITHMS.has(algorithm)),
    source: jwks.kind === 'none' ? undefined : new JwksSource(config, access, metadata),
    introspector: introspection && new Introspector(issuer, introspection, { ...access, metadata }),
  };
}

/** A token that is both signed and said to be active: what the issuer says now holds, as long as its signature does. */
function joined(signed: VerifiedToken, asked: VerifiedToken): Result<VerifiedToken, Denial> {
  if (signed.identity.subject !== asked.identity.subject)
    return invalid('the issuer’s answer is about another subject');
  const { boundTo = asked.identity.boundTo } = signed.identity;
  if (asked.identity.boundTo !== undefined && boundTo?.equals(asked.identity.boundTo) !== true) {
    return deny({ kind: 'token_binding_mismatch', why: 'the token and the issuer’s answer name two certificates' });
  }
  const end = signed.identity.expiresAt < asked.identity.expiresAt ? signed.identity : asked.identity;
  const { expiresAt, expiresAtSeconds } = end;
  return ok({
    identity: {
      ...asked.identity,
      id: signed.identity.id ?? asked.identity.id,
      boundTo,
      expiresAt,
      expiresAtSeconds,
      sessions: [...new Set([...signed.identity.sessions, ...asked.identity.sessions])],
    },
    claims: asked.claims,
    said: asked.said,
    watched: asked.watched,
    standing: { stands: (now) => signed.standing.stands(now) && asked.standing.stands(now) },
  });
}

function invalid(why: string): Denied {
  return deny({ kind: 'token_invalid', why });
}
