/**
 * Which public keys a certificate may have: RSA from 2048 bits, the three NIST curves, Ed25519.
 */
import type { KeyObject, X509Certificate } from 'node:crypto';

/** 112 bits of security, the least of NIST SP 800-57 and of the CA/Browser Forum. */
export const MIN_RSA_BITS = 2048;
/** Verifying takes time by the square of it, and nobody issues larger ones. */
export const MAX_RSA_BITS = 8192;

const CURVES: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

/** Why a key is too weak, or unknown; undefined: it is fit. */
export function keyWeakness(key: KeyObject): string | undefined {
  const { modulusLength = 0, namedCurve, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
    case 'rsa-pss':
      if (modulusLength < MIN_RSA_BITS) return `an RSA key of ${modulusLength} bits, less than ${MIN_RSA_BITS}`;
      if (modulusLength > MAX_RSA_BITS) return `an RSA key of ${modulusLength} bits, more than ${MAX_RSA_BITS}`;
      // With 3, forged paddings were accepted again and again; with an even one or 1 it is no RSA.
      if (publicExponent < 65_537n || publicExponent % 2n === 0n) return `an RSA key of exponent ${publicExponent}`;
      return undefined;
    case 'ec':
      return CURVES.has(namedCurve) ? undefined : `a key on curve ${namedCurve ?? 'unknown'}`;
    case 'ed25519':
      return undefined;
    default:
      return `a key of type ${key.asymmetricKeyType ?? 'unknown'}`;
  }
}

/** The same of a certificate's key. Node reads the key when it is asked for, and throws when it cannot. */
export function certificateKeyWeakness(certificate: X509Certificate): string | undefined {
  try {
    return keyWeakness(certificate.publicKey);
  } catch {
    return 'a key that cannot be read';
  }
}
