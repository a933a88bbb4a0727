/**
 * Asks about one certificate by the Online Certificate Status Protocol (RFC 6960 §4.1), as the lightweight profile has it (RFC 5019):
 * unsigned, about exactly one.
 */
import { createHash, type X509Certificate } from 'node:crypto';
import { type DerElement, der, encodeDer } from './der.ts';
import { DerCursor, integerOf } from './der-cursor.ts';
import { subjectOctets } from './signed-der.ts';

/** How a certificate is named to a responder. Nothing is signed by it: that SHA-1 has collisions is of no use to anybody here. */
export type OcspHash = 'sha1' | 'sha256';

/** Which certificate is meant (CertID). */
export interface OcspSubject {
  readonly hash: OcspHash;
  readonly issuerName: Buffer;
  readonly issuerKey: Buffer;
  /** As it stands in the certificate. */
  readonly serial: Buffer;
}

/** OIDs of the digests, dotted and as DER octets in hex. */
export const OCSP_DIGESTS: Readonly<Record<OcspHash, readonly [dotted: string, octets: string]>> = {
  sha1: ['1.3.14.3.2.26', '2b0e03021a'],
  sha256: ['2.16.840.1.101.3.4.2.1', '608648016503040201'],
};

const OID_NONCE = '1.3.6.1.5.5.7.48.1.2';

/** Names a certificate of this issuer's. */
export function ocspSubject(certificate: X509Certificate, issuer: X509Certificate, hash: OcspHash): OcspSubject {
  const digest = (octets: Buffer): Buffer => createHash(hash).update(octets).digest();
  return {
    hash,
    issuerName: digest(subjectOctets(issuer)),
    issuerKey: digest(keyBits(issuer)),
    serial: serialOf(certificate),
  };
}

/** The key's BIT STRING without the octet that counts unused bits. */
export function keyBits(certificate: X509Certificate): Buffer {
  const info = new DerCursor(certificate.publicKey.export({ type: 'spki', format: 'der' })).enter(0x30);
  info.contents(0x30);
  return info.contents(0x03).subarray(1);
}

function serialOf(certificate: X509Certificate): Buffer {
  const fields = new DerCursor(certificate.raw).enter(0x30).enter(0x30);
  if (fields.peek() === 0xa0) fields.contents(0xa0);
  return integerOf(fields);
}

/** The request in DER. `nonce`: 1 to 32 octets that the answer has to repeat (RFC 9654). */
export function encodeOcspRequest(subject: OcspSubject, nonce?: Buffer): Buffer {
  const certId = der.sequence(
    der.sequence(der.oid(OCSP_DIGESTS[subject.hash][0]), der.null()),
    der.octetString(subject.issuerName),
    der.octetString(subject.issuerKey),
    der.integer(subject.serial),
  );
  const parts: DerElement[] = [der.sequence(der.sequence(certId))];
  if (nonce !== undefined) {
    const value = der.octetString(encodeDer(der.octetString(nonce)));
    parts.push(der.context(2, der.sequence(der.sequence(der.oid(OID_NONCE), value))));
  }
  return encodeDer(der.sequence(der.sequence(...parts)));
}
