/**
 * Writes and signs a certificate revocation list (RFC 5280 §5): version 2, numbered, with the issuer's key identifier.
 */
import type { KeyObject, X509Certificate } from 'node:crypto';
import { type DerElement, der } from './der.ts';
import { REVOCATION_REASON, type RevocationReason } from './revocation-reason.ts';
import { authorityKeyIdentifier, extension, signatureAlgorithm, signStructure, subjectOf } from './signed-structure.ts';

export interface RevokedCertificate {
  /** As it stands in the certificate: big-endian, two's complement. */
  readonly serial: Buffer;
  readonly at: Date;
  readonly reason: RevocationReason;
}

export interface RevocationListTemplate {
  /** Never the same twice for one CA, and rising. At most 2^48. */
  readonly number: number;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly revoked: readonly RevokedCertificate[];
}

const OID = { crlNumber: '2.5.29.20', reasonCode: '2.5.29.21' } as const;

/** Encodes and signs the list of one CA. Returns PEM. */
export function encodeRevocationList(
  list: RevocationListTemplate,
  signer: { readonly certificate: X509Certificate; readonly privateKey: KeyObject },
): string {
  const entries = list.revoked.map(entry);
  const extensions = der.sequence(
    authorityKeyIdentifier(signer.certificate.publicKey),
    extension(OID.crlNumber, false, der.integer(integerOctets(list.number))),
  );
  const signed = der.sequence(
    der.integer(Buffer.from([1])),
    signatureAlgorithm(signer.privateKey).identifier,
    subjectOf(signer.certificate),
    der.time(list.thisUpdate),
    der.time(list.nextUpdate),
    // §5.1.2.6: absent, not empty, when nothing is revoked.
    ...(entries.length === 0 ? [] : [der.sequence(...entries)]),
    der.context(0, extensions),
  );
  const base64 = signStructure(signed, signer.privateKey).toString('base64');
  return `-----BEGIN X509 CRL-----\n${base64.replaceAll(/.{1,64}/g, '$&\n')}-----END X509 CRL-----\n`;
}

function entry({ serial, at, reason }: RevokedCertificate): DerElement {
  const members = [der.integer(serial), der.time(at)];
  if (reason !== 'unspecified') {
    members.push(der.sequence(extension(OID.reasonCode, false, der.enumerated(REVOCATION_REASON[reason]))));
  }
  return der.sequence(...members);
}

function integerOctets(value: number): Buffer {
  const octets = Buffer.alloc(7);
  octets.writeUIntBE(value, 1, 6);
  let first = 0;
  while (first < 6 && octets.readUInt8(first) === 0 && octets.readUInt8(first + 1) < 0x80) first += 1;
  return octets.subarray(first);
}
