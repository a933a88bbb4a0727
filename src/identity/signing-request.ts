/**
 * Reads a certificate signing request (PKCS #10, RFC 2986) that somebody else made, and believes two things of it: the public
 * key, and that whoever made it has the private one. The names that it asks for count for nothing: the CA's operator says
 * them.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { err, ok, type Result } from '../kernel/result.ts';
import { bytesOf, DER_TAG, type DerElement, decodeDer, elementsOf, encodeDer, isUniversal, oidOf } from './der.ts';
import { keyWeakness } from './key-strength.ts';

/** A request is one key and a few names; real ones have one or two KiB. */
export const MAX_SIGNING_REQUEST_BYTES = 64 * 1024;

/** Digest of the signature algorithms taken as proof of possession; null: the algorithm has its own. */
const SIGNATURE_DIGEST: ReadonlyMap<string, { readonly digest: string | null; readonly keyType: string }> = new Map([
  ['1.2.840.10045.4.3.2', { digest: 'sha256', keyType: 'ec' }],
  ['1.2.840.10045.4.3.3', { digest: 'sha384', keyType: 'ec' }],
  ['1.2.840.10045.4.3.4', { digest: 'sha512', keyType: 'ec' }],
  ['1.2.840.113549.1.1.11', { digest: 'sha256', keyType: 'rsa' }],
  ['1.2.840.113549.1.1.12', { digest: 'sha384', keyType: 'rsa' }],
  ['1.2.840.113549.1.1.13', { digest: 'sha512', keyType: 'rsa' }],
  ['1.3.101.112', { digest: null, keyType: 'ed25519' }],
]);

const PEM =
  /^-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s+([A-Za-z0-9+/=\s]+)-----END (NEW )?CERTIFICATE REQUEST-----$/m;

/** The public key of a request whose signature is good and whose key is strong, or what is wrong with it. */
export function readSigningRequest(pem: string): Result<KeyObject, string> {
  if (pem.length > MAX_SIGNING_REQUEST_BYTES) return err(`is larger than ${MAX_SIGNING_REQUEST_BYTES} bytes`);
  const base64 = PEM.exec(pem)?.[2];
  if (base64 === undefined) return err('holds no PEM certificate signing request');
  try {
    return readDer(Buffer.from(base64, 'base64'));
  } catch {
    return err('is not a certificate signing request in DER');
  }
}

function readDer(raw: Buffer): Result<KeyObject, string> {
  const request = decodeDer(raw);
  // The signature is over octets: what we verify must be what was sent, so it may be written in one way only.
  if (!encodeDer(request).equals(raw)) return err('is not in DER');
  const [info, algorithm, signature, ...rest] = elementsOf(request);
  const spki = elementsOf(info)[2];
  const isRequest =
    [request, info, algorithm].every((element) => isUniversal(element, DER_TAG.sequence)) &&
    isUniversal(signature, DER_TAG.bitString) &&
    rest.length === 0;
  if (!isRequest || info === undefined || spki === undefined) return err('is not a certificate signing request');
  const key = createPublicKey({ key: encodeDer(spki), format: 'der', type: 'spki' });
  const weakness = keyWeakness(key);
  if (weakness !== undefined) return err(`has ${weakness}`);
  return provesPossession(info, algorithm, signature, key)
    ? ok(key)
    : err('is not signed with the key that it asks for, or by an algorithm that is not allowed');
}

function provesPossession(
  info: DerElement,
  algorithm: DerElement | undefined,
  signature: DerElement | undefined,
  key: KeyObject,
): boolean {
  const [oid, parameters, ...more] = elementsOf(algorithm);
  const known = SIGNATURE_DIGEST.get(oidOf(oid) ?? '');
  // RFC 3279 §2.2.1: NULL for RSA; RFC 5758 §3.2, RFC 8410 §3: none for the others.
  const wanted = known?.keyType === 'rsa' ? isUniversal(parameters, DER_TAG.null) : parameters === undefined;
  if (!wanted || more.length > 0) return false;
  const bits = bytesOf(signature);
  if (known === undefined || known.keyType !== key.asymmetricKeyType || bits[0] !== 0) return false;
  return verify(known.digest, encodeDer(info), key, bits.subarray(1));
}
