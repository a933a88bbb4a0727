/**
 * What revocation lists and answers about certificates have in common when they are read: extensions, a signature by one of a CA's
 * algorithms, and the name of who signed.
 */
import { constants, type KeyObject, verify, type X509Certificate } from 'node:crypto';
import { DerCursor, DerError, integerOf } from './der-cursor.ts';

const BOOLEAN = 0x01;
const OCTET_STRING = 0x04;
const OID = 0x06;
const SEQUENCE = 0x30;
const CONTEXT_0 = 0xa0;

const OID_RSASSA_PSS = '2a864886f70d01010a';

/** The next extension; its OID in hex. */
export function extensionOf(extensions: DerCursor): {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Buffer;
} {
  const members = extensions.enter(SEQUENCE);
  const oid = members.contents(OID).toString('hex');
  const flag = members.peek() === BOOLEAN ? members.contents(BOOLEAN) : undefined;
  // DER: TRUE is 0xff, and FALSE, the default, is left out.
  if (flag !== undefined && !flag.equals(Buffer.from([0xff]))) throw new DerError('a boolean that is not in DER');
  const value = members.contents(OCTET_STRING);
  members.finish();
  return { oid, critical: flag !== undefined, value };
}

/** The subject, octet by octet. */
export function subjectOctets(ca: X509Certificate): Buffer {
  const fields = new DerCursor(ca.raw).enter(SEQUENCE).enter(SEQUENCE);
  if (fields.peek() === CONTEXT_0) fields.contents(CONTEXT_0);
  integerOf(fields);
  // signature, issuer, validity
  for (let i = 0; i < 3; i += 1) fields.contents(SEQUENCE);
  return fields.whole(SEQUENCE);
}

/** Whether a certificate's key has signed this, by an algorithm that is the key's. */
export function isSignedBy(ca: X509Certificate, signed: Buffer, algorithm: Buffer, signature: Buffer): boolean {
  try {
    return verify(digestOf(algorithm), signed, keyFor(algorithm, ca.publicKey), signature);
  } catch {
    // An algorithm that is not the key's.
    return false;
  }
}

/** Object identifiers of signatures and digests, in hex, with what the others and OpenSSL call them. */
const SIGNATURES: ReadonlyMap<string, readonly [oid: string, digest: string | null]> = new Map([
  ['2a8648ce3d040302', ['1.2.840.10045.4.3.2', 'sha256']],
  ['2a8648ce3d040303', ['1.2.840.10045.4.3.3', 'sha384']],
  ['2a8648ce3d040304', ['1.2.840.10045.4.3.4', 'sha512']],
  ['2a864886f70d01010b', ['1.2.840.113549.1.1.11', 'sha256']],
  ['2a864886f70d01010c', ['1.2.840.113549.1.1.12', 'sha384']],
  ['2a864886f70d01010d', ['1.2.840.113549.1.1.13', 'sha512']],
  ['2b6570', ['1.3.101.112', null]],
]);
const DIGESTS: ReadonlyMap<string, readonly [oid: string, digest: string]> = new Map([
  ['608648016503040201', ['2.16.840.1.101.3.4.2.1', 'sha256']],
  ['608648016503040202', ['2.16.840.1.101.3.4.2.2', 'sha384']],
  ['608648016503040203', ['2.16.840.1.101.3.4.2.3', 'sha512']],
]);

/** An AlgorithmIdentifier, as `signatureWeakness` wants it. */
export function algorithmOf(algorithm: Buffer): { readonly oid: string; readonly digestOid: string | undefined } {
  const members = new DerCursor(algorithm).enter(SEQUENCE);
  const oid = members.contents(OID).toString('hex');
  if (oid !== OID_RSASSA_PSS)
    return { oid: SIGNATURES.get(oid)?.[0] ?? `with the octets ${oid.slice(0, 64)}`, digestOid: undefined };
  return { oid: '1.2.840.113549.1.1.10', digestOid: DIGESTS.get(pssDigest(members))?.[0] ?? 'another digest' };
}

function digestOf(algorithm: Buffer): string | null {
  const members = new DerCursor(algorithm).enter(SEQUENCE);
  const oid = members.contents(OID).toString('hex');
  if (oid === OID_RSASSA_PSS) return DIGESTS.get(pssDigest(members))?.[1] ?? 'sha256';
  const known = SIGNATURES.get(oid);
  return known === undefined ? 'sha256' : known[1];
}

/** RFC 4055 §3.1: the digest is the first parameter, and SHA-1 when it is left out. */
function pssDigest(members: DerCursor): string {
  if (members.peek() !== SEQUENCE) return '';
  const parameters = members.enter(SEQUENCE);
  if (parameters.peek() !== CONTEXT_0) return '';
  return parameters.enter(CONTEXT_0).enter(SEQUENCE).contents(OID).toString('hex');
}

function keyFor(algorithm: Buffer, key: KeyObject): Parameters<typeof verify>[2] {
  const oid = new DerCursor(algorithm).enter(SEQUENCE).contents(OID).toString('hex');
  if (oid !== OID_RSASSA_PSS) return key;
  return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO };
}
