/**
 * Which signatures count: ECDSA, RSA and RSASSA-PSS with SHA-256 or longer, and Ed25519. Nothing with MD5 or SHA-1, whose collisions
 * have forged certificates.
 */
import type { SignatureFacts } from './certificate-facts.ts';

const STRONG: ReadonlySet<string> = new Set([
  // ecdsa-with-SHA256, -SHA384, -SHA512
  '1.2.840.10045.4.3.2',
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  // sha256, sha384, sha512WithRSAEncryption
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  // Ed25519
  '1.3.101.112',
]);

const OID_RSASSA_PSS = '1.2.840.113549.1.1.10';
/** SHA-256, -384, -512. */
const STRONG_DIGESTS: ReadonlySet<string | undefined> = new Set([
  '2.16.840.1.101.3.4.2.1',
  '2.16.840.1.101.3.4.2.2',
  '2.16.840.1.101.3.4.2.3',
]);

/** Why a signature does not count; undefined: it does. */
export function signatureWeakness({ oid, digestOid, consistent }: SignatureFacts): string | undefined {
  if (!consistent) return 'two different signature algorithms';
  const isStrong = oid === OID_RSASSA_PSS ? STRONG_DIGESTS.has(digestOid) : STRONG.has(oid);
  return isStrong ? undefined : `a signature by ${digestOid === undefined ? oid : `${oid} with ${digestOid}`}`;
}
