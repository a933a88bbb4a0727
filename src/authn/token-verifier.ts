/**
 * Verifies a token for one tenant: shape, issuer, signature (jose), claims, in this order.
 */
import type { IssuerConfig, TenantConfig } from '../config/generation.ts';
import { type Denial, type Denied, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { ok, type Result } from '../kernel/result.ts';
import { parseClaims, parseCompactJws, type UnverifiedJws } from './compact-jws.ts';
import type { CredentialDirectory } from './directory.ts';
import { IssuerMetadata } from './issuer-metadata.ts';
import { type JwksAccess, JwksSource, type KeySet } from './jwks-source.ts';
import { SIGNATURE_ALGORITHMS, type SignatureVerdict, verifySignature } from './jws-signature.ts';
import { ClaimSelection, type KeptClaims } from './kept-claims.ts';
import type { JsonObject } from './strict-json.ts';
import { checkClaims, type TokenIdentity } from './token-claims.ts';
import { Turnstile } from './turnstile.ts';

/** A verified token, with what to watch for the day its key is withdrawn. */
export interface VerifiedToken {
  readonly identity: TokenIdentity;
  readonly claims: KeptClaims;
  readonly source: JwksSource;
  /** It stands as long as this is the source's version. */
  readonly keysVersion: number;
}

interface Trusted {
  readonly config: IssuerConfig;
  readonly algorithms: readonly string[];
  readonly source: JwksSource;
}

export class TokenVerifier {
  readonly #tenant: TenantConfig;
  readonly #directory: CredentialDirectory;
  readonly #limits: JwksAccess['limits'];
  readonly #issuers: ReadonlyMap<string, Trusted>;
  readonly #turnstile: Turnstile;
  readonly #claims: ClaimSelection;

  constructor(tenant: TenantConfig, directory: CredentialDirectory, access: JwksAccess) {
    this.#tenant = tenant;
    this.#directory = directory;
    this.#limits = access.limits;
    this.#claims = new ClaimSelection(tenant);
    this.#turnstile = new Turnstile(access.limits.maxConcurrentSignatures);
    this.#issuers = new Map(
      tenant.issuers.map((config) => [
        config.issuer,
        {
          config,
          algorithms: config.algorithms.filter((algorithm) => SIGNATURE_ALGORITHMS.has(algorithm)),
          source: new JwksSource(config, access, metadataOf(config, access)),
        },
      ]),
    );
  }

  /** Verifies a token, or says why not. Never rejects. */
  async verify(token: string, now: EpochMicros): Promise<Result<VerifiedToken, Denial>> {
    const jws = parseCompactJws(token, this.#limits.maxTokenBytes);
    if (!jws.ok) return jws;
    const claims = parseClaims(jws.value);
    if (!claims.ok) return claims;
    const issuer = this.#issuerOf(jws.value, claims.value);
    if (!issuer.ok) return issuer;
    const { source } = issuer.value;
    const keys = await source.keys(now);
    if (!keys.ok) return keys;
    const first = await this.#verdict(jws.value, keys.value, issuer.value);
    if (first === 'good') return this.#identify(claims.value, issuer.value, keys.value.version, now);
    // A kid says which key it was; without one it may be a key that we do not have yet.
    if (first === 'bad' && jws.value.keyId !== undefined) return invalid('signature');
    const newer = await source.keysNewerThan(keys.value, now);
    if (newer === undefined) return invalid(first === 'bad' ? 'signature' : 'no key of the issuer fits');
    const second = await this.#verdict(jws.value, newer, issuer.value);
    if (second === 'good') return this.#identify(claims.value, issuer.value, newer.version, now);
    return invalid(second === 'bad' ? 'signature' : 'no key of the issuer fits');
  }

  /**
   * Holds a token whose signature was verified before, under another configuration, against this one: everything but the signature.
   * A key that its issuer has withdrawn since does not matter: issuers do that when they rotate, and tokens end.
   */
  recheck(token: string, now: EpochMicros): Result<VerifiedToken, Denial> {
    const jws = parseCompactJws(token, this.#limits.maxTokenBytes);
    if (!jws.ok) return jws;
    const claims = parseClaims(jws.value);
    if (!claims.ok) return claims;
    const issuer = this.#issuerOf(jws.value, claims.value);
    if (!issuer.ok) return issuer;
    return this.#identify(claims.value, issuer.value, issuer.value.source.version, now);
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

  #identify(claims: JsonObject, issuer: Trusted, keysVersion: number, now: EpochMicros): Result<VerifiedToken, Denial> {
    const identity = checkClaims(claims, issuer.config, this.#tenant.id, now);
    if (!identity.ok) return identity;
    const kept = this.#claims.select(claims);
    return ok({ identity: identity.value, claims: kept, source: issuer.source, keysVersion });
  }
}

function metadataOf({ issuer, jwks }: IssuerConfig, access: JwksAccess): IssuerMetadata | undefined {
  return jwks.kind === 'discovery' ? new IssuerMetadata(issuer, jwks.caPem, access) : undefined;
}

function invalid(why: string): Denied {
  return deny({ kind: 'token_invalid', why });
}
