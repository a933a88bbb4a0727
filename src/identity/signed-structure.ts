/**
 * What certificates and revocation lists have in common (RFC 5280): a DER structure, an algorithm, a signature over the
 * first by the second, and extensions.
 */
import { createHash, type KeyObject, sign, type X509Certificate } from 'node:crypto';
import { type DerElement, decodeDer, der, elementsOf, encodeDer } from './der.ts';

const OID = {
  authorityKeyIdentifier: '2.5.29.35',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  ed25519: '1.3.101.112',
} as const;

/** The DER of a structure with its signature. Throws a RangeError for a key type that it cannot sign with. */
export function signStructure(signed: DerElement, privateKey: KeyObject): Buffer {
  const algorithm = signatureAlgorithm(privateKey);
  const signature = sign(algorithm.digest, encodeDer(signed), privateKey);
  return encodeDer(der.sequence(signed, algorithm.identifier, der.bitString(signature)));
}

/** What stands in a structure that this key signs. Throws a RangeError for a key type that it cannot sign with. */
export function signatureAlgorithm(key: KeyObject): {
  readonly identifier: DerElement;
  readonly digest: string | null;
} {
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') {
    return { identifier: der.sequence(der.oid(OID.ecdsaWithSha256)), digest: 'sha256' };
  }
  if (key.asymmetricKeyType === 'ed25519') return { identifier: der.sequence(der.oid(OID.ed25519)), digest: null };
  throw new RangeError(`cannot sign certificates with a key of type ${String(key.asymmetricKeyType)}`);
}

/** One extension. DER leaves `critical` out where it is false. */
export function extension(oid: string, critical: boolean, value: DerElement): DerElement {
  const wrapped = der.octetString(encodeDer(value));
  return critical ? der.sequence(der.oid(oid), der.boolean(true), wrapped) : der.sequence(der.oid(oid), wrapped);
}

/** The extension that says which key signed. */
export function authorityKeyIdentifier(authorityKey: KeyObject): DerElement {
  const identifier = der.sequence(der.contextBytes(0, keyIdentifier(authorityKey)));
  return extension(OID.authorityKeyIdentifier, false, identifier);
}

/** The subject as it stands in the certificate: chain building compares it octet by octet. */
export function subjectOf(certificate: X509Certificate): DerElement {
  const fields = elementsOf(elementsOf(decodeDer(certificate.raw))[0]);
  // version [0], serialNumber, signature, issuer, validity, subject
  const subject = fields[5];
  if (subject === undefined) throw new RangeError('the signing certificate has no subject');
  return subject;
}

/** RFC 7093 §2 method 1: the left 160 bits of the SHA-256 of the key's BIT STRING. */
export function keyIdentifier(key: KeyObject): Buffer {
  const bits = elementsOf(decodeDer(key.export({ type: 'spki', format: 'der' })))[1];
  const content = typeof bits?.value === 'string' ? Buffer.from(bits.value, 'latin1').subarray(1) : Buffer.alloc(0);
  return createHash('sha256').update(content).digest().subarray(0, 20);
}
