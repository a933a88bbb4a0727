/**
 * Verifies a token for one tenant: shape, issuer, signature (jose), claims, in this order.
 */
import { errors, type JWTVerifyOptions, jwtVerify } from 'jose';
import type { IssuerConfig, TenantConfig } from '../config/generation.ts';
import { type Denial, type Denied, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { ok, type Result } from '../kernel/result.ts';
import { parseCompactJws, type UnverifiedJws } from './compact-jws.ts';
import type { CredentialDirectory } from './directory.ts';
import { type JwksAccess, JwksSource, type KeySet } from './jwks-source.ts';
import { checkClaims, type TokenIdentity } from './token-claims.ts';

/** A verified token, with what to watch for the day its key is withdrawn. */
export interface VerifiedToken {
  readonly identity: TokenIdentity;
  readonly source: JwksSource;
  /** It stands as long as this is the source's version. */
  readonly keysVersion: number;
}

/** RFC 8725 §3.1, §3.2: no symmetric algorithm, no `none`, and of the others what has no known weakness. */
const ALGORITHMS: ReadonlySet<string> = new Set([
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]);

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

  constructor(tenant: TenantConfig, directory: CredentialDirectory, access: JwksAccess) {
    this.#tenant = tenant;
    this.#directory = directory;
    this.#limits = access.limits;
    this.#issuers = new Map(
      tenant.issuers.map((config) => [
        config.issuer,
        {
          config,
          algorithms: config.algorithms.filter((algorithm) => ALGORITHMS.has(algorithm)),
          source: new JwksSource(config, access),
        },
      ]),
    );
  }

  /** Verifies a token, or says why not. Never rejects. */
  async verify(token: string, now: EpochMicros): Promise<Result<VerifiedToken, Denial>> {
    const jws = parseCompactJws(token, this.#limits.maxTokenBytes);
    if (!jws.ok) return jws;
    const issuer = this.#issuerOf(jws.value);
    if (!issuer.ok) return issuer;
    const { source } = issuer.value;
    const keys = await source.keys(now);
    if (!keys.ok) return keys;
    const first = await this.#verifyWith(keys.value, jws.value, issuer.value, now);
    if (first !== 'no_key') return first;
    const newer = await source.keysNewerThan(keys.value, now);
    const second = newer === undefined ? 'no_key' : await this.#verifyWith(newer, jws.value, issuer.value, now);
    return second === 'no_key' ? invalid('no key of the issuer fits') : second;
  }

  #issuerOf(jws: UnverifiedJws): Result<Trusted, Denial> {
    const issuer = jws.claims['iss'];
    if (typeof issuer !== 'string') return invalid('no iss');
    const trusted = this.#issuers.get(issuer);
    if (trusted === undefined) {
      const others = this.#directory.tenantsOfIssuer(issuer);
      if (others.length === 0) return invalid('unknown issuer');
      return deny({
        kind: 'tenant_mismatch',
        claimed: this.#tenant.id,
        presented: others.join(' '),
        by: 'token issuer',
      });
    }
    return trusted.algorithms.includes(jws.algorithm) ? ok(trusted) : invalid('alg is not one of the issuer');
  }

  async #verifyWith(
    keys: KeySet,
    jws: UnverifiedJws,
    issuer: Trusted,
    now: EpochMicros,
  ): Promise<Result<VerifiedToken, Denial> | 'no_key'> {
    const signature = await verifySignature(keys, jws, issuer, now);
    if (signature === 'no_key') return 'no_key';
    if (signature === 'bad') return invalid('signature');
    // jose has looked at the claims as well; ours say which refusal it is, and both must agree to an acceptance.
    const identity = checkClaims(jws.claims, issuer.config, this.#tenant.id, now);
    if (!identity.ok) return identity;
    if (signature === 'claims') return invalid('claims');
    return ok({ identity: identity.value, source: issuer.source, keysVersion: keys.version });
  }
}

type SignatureVerdict = 'good' | 'claims' | 'bad' | 'no_key';

/** Keys tried when a token names none and several fit: a rotation has two. */
const MAX_KEYS_TRIED = 4;

async function verifySignature(
  keys: KeySet,
  jws: UnverifiedJws,
  issuer: Trusted,
  now: EpochMicros,
): Promise<SignatureVerdict> {
  const options: JWTVerifyOptions = {
    algorithms: [...issuer.algorithms],
    issuer: issuer.config.issuer,
    audience: [...issuer.config.audiences],
    clockTolerance: issuer.config.clockSkewMs / 1000,
    currentDate: new Date(now / 1000),
  };
  try {
    await jwtVerify(jws.token, keys.find, options);
    return 'good';
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) return verdictOf(error);
    let tried = 0;
    for await (const key of error) {
      tried += 1;
      const verdict = await jwtVerify(jws.token, key, options).then(() => 'good' as const, verdictOf);
      if (verdict !== 'bad' || tried === MAX_KEYS_TRIED) return verdict;
    }
    return 'bad';
  }
}

function verdictOf(error: unknown): SignatureVerdict {
  if (error instanceof errors.JWKSNoMatchingKey) return 'no_key';
  // Thrown only after the signature has been verified.
  if (error instanceof errors.JWTExpired || error instanceof errors.JWTClaimValidationFailed) return 'claims';
  return 'bad';
}

function invalid(why: string): Denied {
  return deny({ kind: 'token_invalid', why });
}
