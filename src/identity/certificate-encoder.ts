/**
 * Writes and signs one X.509 certificate (RFC 5280) from a template. It writes what it is told, also what no verifier
 * accepts: `issue.ts` knows what a proper certificate has, and tests of verifiers need improper ones.
 *
 * node-forge writes the DER; node:crypto makes keys and signatures, since node-forge has no ECDSA.
 */
import { createHash, type KeyObject, sign, X509Certificate } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';
import { type DerElement, decodeDer, der, elementsOf, encodeDer } from './der.ts';

export interface CertificateTemplate {
  /** Big-endian, two's complement. */
  readonly serial: Buffer;
  /** undefined: an empty subject, which RFC 5280 §4.1.2.6 allows beside a critical subjectAltName. */
  readonly commonName: string | undefined;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: KeyObject;
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | undefined } | undefined;
  readonly keyUsage: readonly KeyUsage[];
  /** OIDs. */
  readonly extendedKeyUsage: readonly string[];
  readonly subjectAltNames: readonly AltName[];
  /** Without extensions a certificate may be of version 1. */
  readonly version: 1 | 3;
}

export type AltName =
  | { readonly kind: 'dns'; readonly name: string }
  | { readonly kind: 'uri'; readonly uri: string }
  | { readonly kind: 'ip'; readonly address: string };

/** Who signs: a CA's certificate (undefined: the new certificate signs itself) and key. */
export interface Signer {
  readonly certificate: X509Certificate | undefined;
  readonly privateKey: KeyObject;
}

/** Bits of KeyUsage, RFC 5280 §4.2.1.3. */
const KEY_USAGE_BIT = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, crlSign: 6 } as const;
export type KeyUsage = keyof typeof KEY_USAGE_BIT;

const OID = {
  commonName: '2.5.4.3',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  ed25519: '1.3.101.112',
  sha256WithRsa: '1.2.840.113549.1.1.11',
} as const;

/** Encodes and signs the template. Returns PEM. Throws a RangeError for a key type or an address that it cannot write. */
export function encodeCertificate(template: CertificateTemplate, signer: Signer): string {
  const algorithm = signatureAlgorithm(signer.privateKey);
  const issuer = signer.certificate === undefined ? nameOf(template.commonName) : subjectOf(signer.certificate);
  const fields = [
    der.integer(template.serial),
    algorithm.identifier,
    issuer,
    der.sequence(der.time(template.notBefore), der.time(template.notAfter)),
    nameOf(template.commonName),
    decodeDer(template.publicKey.export({ type: 'spki', format: 'der' })),
  ];
  const signed =
    template.version === 1
      ? der.sequence(...fields)
      : der.sequence(
          der.context(0, der.integer(Buffer.from([2]))),
          ...fields,
          der.context(3, der.sequence(...extensionsOf(template, signer))),
        );
  const signature = sign(algorithm.digest, encodeDer(signed), signer.privateKey);
  const certificate = encodeDer(der.sequence(signed, algorithm.identifier, der.bitString(signature)));
  return new X509Certificate(certificate).toString();
}

function extensionsOf(template: CertificateTemplate, signer: Signer): readonly DerElement[] {
  const authorityKey = signer.certificate?.publicKey ?? template.publicKey;
  const extensions = [
    extension(OID.subjectKeyIdentifier, false, der.octetString(keyIdentifier(template.publicKey))),
    extension(OID.authorityKeyIdentifier, false, der.sequence(der.contextBytes(0, keyIdentifier(authorityKey)))),
  ];
  if (template.basicConstraints !== undefined) {
    const { ca, pathLength } = template.basicConstraints;
    // `cA` is DEFAULT FALSE, so DER leaves it out.
    const members = ca ? [der.boolean(true)] : [];
    if (pathLength !== undefined) members.push(der.integer(Buffer.from([pathLength])));
    extensions.push(extension(OID.basicConstraints, true, der.sequence(...members)));
  }
  if (template.keyUsage.length > 0) extensions.push(extension(OID.keyUsage, true, keyUsageBits(template.keyUsage)));
  if (template.extendedKeyUsage.length > 0) {
    extensions.push(extension(OID.extendedKeyUsage, false, der.sequence(...template.extendedKeyUsage.map(der.oid))));
  }
  if (template.subjectAltNames.length > 0) {
    const names = der.sequence(...template.subjectAltNames.map(generalName));
    extensions.push(extension(OID.subjectAltName, template.commonName === undefined, names));
  }
  return extensions;
}

function extension(oid: string, critical: boolean, value: DerElement): DerElement {
  const wrapped = der.octetString(encodeDer(value));
  return critical ? der.sequence(der.oid(oid), der.boolean(true), wrapped) : der.sequence(der.oid(oid), wrapped);
}

function keyUsageBits(usages: readonly KeyUsage[]): DerElement {
  const octet = usages.reduce((bits, usage) => bits | (0x80 >> KEY_USAGE_BIT[usage]), 0);
  // DER drops the trailing zero bits of a named bit list (X.690 §11.2.2).
  return der.bitString(Buffer.from([octet]), 31 - Math.clz32(octet & -octet));
}

function generalName(name: AltName): DerElement {
  switch (name.kind) {
    case 'dns':
      return der.contextBytes(2, Buffer.from(name.name, 'latin1'));
    case 'uri':
      return der.contextBytes(6, Buffer.from(name.uri, 'latin1'));
    case 'ip':
      return der.contextBytes(7, addressBytes(name.address));
  }
}

function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number));
  if (!isIPv6(address) || address.includes('%')) throw new RangeError(`not an IP address: ${address}`);
  // The URL parser writes every IPv6 form as hexadecimal groups with at most one `::`.
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

function nameOf(commonName: string | undefined): DerElement {
  if (commonName === undefined) return der.sequence();
  return der.sequence(der.set(der.sequence(der.oid(OID.commonName), der.utf8String(commonName))));
}

/** The subject as it stands in the certificate: chain building compares it octet by octet. */
function subjectOf(certificate: X509Certificate): DerElement {
  const fields = elementsOf(elementsOf(decodeDer(certificate.raw))[0]);
  // version [0], serialNumber, signature, issuer, validity, subject
  const subject = fields[5];
  if (subject === undefined) throw new RangeError('the signing certificate has no subject');
  return subject;
}

/** RFC 7093 §2 method 1: the left 160 bits of the SHA-256 of the key's BIT STRING. */
function keyIdentifier(key: KeyObject): Buffer {
  const bits = elementsOf(decodeDer(key.export({ type: 'spki', format: 'der' })))[1];
  const content = typeof bits?.value === 'string' ? Buffer.from(bits.value, 'latin1').subarray(1) : Buffer.alloc(0);
  return createHash('sha256').update(content).digest().subarray(0, 20);
}

function signatureAlgorithm(key: KeyObject): { readonly identifier: DerElement; readonly digest: string | null } {
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') {
    return { identifier: der.sequence(der.oid(OID.ecdsaWithSha256)), digest: 'sha256' };
  }
  if (key.asymmetricKeyType === 'ed25519') return { identifier: der.sequence(der.oid(OID.ed25519)), digest: null };
  throw new RangeError(`cannot sign certificates with a key of type ${String(key.asymmetricKeyType)}`);
}
