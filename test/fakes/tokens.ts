/**
 * An issuer of tokens: signs what it is asked to, also what no issuer should. With node:crypto alone, so that it shares no
 * code with the verifier.
 */
import { constants, createHash, generateKeyPairSync, type KeyObject, sign, X509Certificate } from 'node:crypto';

export type TokenAlgorithm =
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'EdDSA';

export interface Claims {
  readonly [claim: string]: unknown;
}

interface IssuerKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: object;
}

/** The time that tests live in: 2026-01-01T00:00:00Z, in seconds. */
export const TEST_NOW_SECONDS = 1_767_225_600;

export class FakeIssuer {
  readonly issuer: string;
  readonly algorithm: TokenAlgorithm;
  #keys: IssuerKey[] = [];

  constructor(issuer: string, algorithm: TokenAlgorithm = 'ES256') {
    this.issuer = issuer;
    this.algorithm = algorithm;
    this.addKey();
  }

  /** A further key, which signs from now on. */
  addKey(kid = `key-${String(this.#keys.length + 1)}`): void {
    const { privateKey, publicKey } = keyPair(this.algorithm);
    const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg: this.algorithm, use: 'sig' };
    this.#keys = [{ kid, privateKey, jwk }, ...this.#keys];
  }

  /** Forgets all keys but the newest. */
  dropOldKeys(): void {
    this.#keys = this.#keys.slice(0, 1);
  }

  get kid(): string {
    return this.#newest().kid;
  }

  /** The JWKS document. */
  jwks(): string {
    return JSON.stringify({ keys: this.#keys.map(({ jwk }) => jwk) });
  }

  /** A good token: one hour from TEST_NOW_SECONDS, unless the claims say otherwise (undefined removes one). */
  token(claims: Claims = {}, header: Claims = {}): string {
    const all = {
      iss: this.issuer,
      aud: 'bulkhead',
      sub: 'alice',
      iat: TEST_NOW_SECONDS - 60,
      exp: TEST_NOW_SECONDS + 3600,
      ...claims,
    };
    const fullHeader = { alg: this.algorithm, kid: this.kid, typ: 'at+jwt', ...header };
    return this.signRaw(JSON.stringify(fullHeader), JSON.stringify(all));
  }

  /** Signs these texts as they are. */
  signRaw(header: string | Buffer, claims: string | Buffer): string {
    return this.signParts(`${base64url(header)}.${base64url(claims)}`);
  }

  /** Signs an input of two parts, however they are encoded. */
  signParts(input: string): string {
    return `${input}.${this.#sign(Buffer.from(input, 'latin1')).toString('base64url')}`;
  }

  #newest(): IssuerKey {
    const newest = this.#keys[0];
    if (newest === undefined) throw new Error('an issuer always has a key');
    return newest;
  }

  #sign(input: Buffer): Buffer {
    const { privateKey: key } = this.#newest();
    const digest = `sha${this.algorithm.slice(2)}`;
    if (this.algorithm === 'EdDSA') return sign(null, input, key);
    if (this.algorithm.startsWith('ES')) return sign(digest, input, { key, dsaEncoding: 'ieee-p1363' });
    if (this.algorithm.startsWith('RS')) return sign(digest, input, key);
    return sign(digest, input, {
      key,
      padding: constants.RSA_PKCS1_PSS_PADDING,
      saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
    });
  }
}

/** The `cnf` of a token that is bound to a certificate (RFC 8705 §3.1). */
export function boundTo(certPem: string): { readonly 'x5t#S256': string } {
  return { 'x5t#S256': createHash('sha256').update(new X509Certificate(certPem).raw).digest('base64url') };
}

function base64url(text: string | Buffer): string {
  return Buffer.from(text).toString('base64url');
}

const CURVES: Readonly<Record<string, string>> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

function keyPair(algorithm: TokenAlgorithm): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  if (algorithm === 'EdDSA') return generateKeyPairSync('ed25519');
  const namedCurve = CURVES[algorithm];
  if (namedCurve !== undefined) return generateKeyPairSync('ec', { namedCurve });
  return generateKeyPairSync('rsa', { modulusLength: 2048 });
}
