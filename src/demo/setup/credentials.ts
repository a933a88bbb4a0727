/**
 * Everything that two organisations would have made for themselves: a CA and certificates, a token issuer and its tokens,
 * an API key. Nothing is shared between the two.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { createCa, type IssuedCertificate, issueClient, issueServer } from '../../identity/issue.ts';

const LIFETIME_DAYS = 1;
const TOKEN_LIFETIME_SECONDS = 24 * 3600;

export interface TenantCredentials {
  readonly id: string;
  /** Name that the tenant's clients connect to. */
  readonly serverName: string;
  readonly trustDomain: string;
  readonly ca: IssuedCertificate;
  readonly server: IssuedCertificate;
  readonly client: IssuedCertificate;
  readonly issuer: string;
  /** Public keys of the issuer, as a JSON Web Key Set. */
  readonly jwks: string;
  /** `sub` of the token. */
  readonly subject: string;
  /** ES256, signed by the tenant's issuer. */
  readonly token: string;
  readonly apiKeyId: string;
  /** `bk_<id>_<secret>`. */
  readonly apiKey: string;
  /** SHA-256 (hex) of the secret: all that the configuration holds. */
  readonly apiKeySha256: string;
}

/** The audience that tokens for the sidecar are made out to. */
export const AUDIENCE = 'bulkhead';

/** Makes one tenant's credentials. */
export function makeCredentials(id: string, subject: string, nowSeconds: number): TenantCredentials {
  const trustDomain = `${id}.example`;
  const serverName = `${id}.models.test`;
  const ca = createCa({ commonName: `${id} demo CA`, days: LIFETIME_DAYS });
  const issuer = `https://id.${trustDomain}`;
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keyId = `${id}-1`;
  const secret = randomBytes(32).toString('hex');
  const apiKeyId = `${id}-batch`;
  return {
    id,
    serverName,
    trustDomain,
    ca,
    server: issueServer(ca, { dnsNames: [serverName], days: LIFETIME_DAYS }),
    client: issueClient(ca, {
      commonName: `${id} client`,
      spiffeId: `spiffe://${trustDomain}/client`,
      days: LIFETIME_DAYS,
    }),
    issuer,
    jwks: JSON.stringify({
      keys: [{ ...keys.publicKey.export({ format: 'jwk' }), kid: keyId, alg: 'ES256', use: 'sig' }],
    }),
    subject,
    token: signToken(keys.privateKey, keyId, {
      iss: issuer,
      aud: AUDIENCE,
      sub: subject,
      iat: nowSeconds,
      exp: nowSeconds + TOKEN_LIFETIME_SECONDS,
    }),
    apiKeyId,
    apiKey: `bk_${apiKeyId}_${secret}`,
    apiKeySha256: createHash('sha256').update(secret).digest('hex'),
  };
}

/** A compact JWS (RFC 7515) with ES256: the signature is r and s side by side, not DER (RFC 7518 §3.4). */
export function signToken(key: KeyObject, keyId: string, claims: Readonly<Record<string, string | number>>): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'ES256', typ: 'JWT', kid: keyId })}.${part(claims)}`;
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}
