/**
 * Whether a key of the issuer has signed a token: jose's verification, with nothing left for the token to choose.
 */
import { compactVerify, type createLocalJWKSet, errors } from 'jose';
import type { UnverifiedJws } from './compact-jws.ts';

/** RFC 8725 §3.1, §3.2: no symmetric algorithm, no `none`, and of the others what has no known weakness. */
export const SIGNATURE_ALGORITHMS: ReadonlySet<string> = new Set([
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

/** `no_key`: none of the keys fits the token's algorithm and key id. */
export type SignatureVerdict = 'good' | 'bad' | 'no_key';

/** Keys tried when a token names none and several fit: a rotation has two. */
const MAX_KEYS_TRIED = 4;

/** Verifies a signature with the keys of its issuer. `algorithms` are those that the issuer may use. Never rejects. */
export async function verifySignature(
  jws: UnverifiedJws,
  keys: ReturnType<typeof createLocalJWKSet>,
  algorithms: readonly string[],
): Promise<SignatureVerdict> {
  if (!SIGNATURE_ALGORITHMS.has(jws.algorithm) || !algorithms.includes(jws.algorithm)) return 'no_key';
  const options = { algorithms: [jws.algorithm] };
  try {
    await compactVerify(jws.token, keys, options);
    return 'good';
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) return verdictOf(error);
    let tried = 0;
    for await (const key of error) {
      tried += 1;
      const verdict = await compactVerify(jws.token, key, options).then(() => 'good' as const, verdictOf);
      if (verdict === 'good' || tried === MAX_KEYS_TRIED) return verdict;
    }
    return 'bad';
  }
}

/** What jose throws for keys that it does not know or use (too short, on no curve, for encryption) is `bad` as well. */
function verdictOf(error: unknown): SignatureVerdict {
  return error instanceof errors.JWKSNoMatchingKey ? 'no_key' : 'bad';
}
