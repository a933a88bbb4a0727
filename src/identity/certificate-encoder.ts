/**
 * Writes and signs one X.509 certificate (RFC 5280) from a template. It writes what it is told, also what no verifier
 * accepts: `issue.ts` knows what a proper certificate has, and tests of verifiers need improper ones.
 *
 * node-forge writes the DER; node:crypto makes keys and signatures, since node-forge has no ECDSA.
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';
import { type DerElement, decodeDer, der } from './der.ts';
import {
  authorityKeyIdentifier,
  extension,
  keyIdentifier,
  signatureAlgorithm,
  signStructure,
  subjectOf,
} from './signed-structure.ts';

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
  /** What the names below this CA must be of. RFC 5280 §4.2.1.10. */
  readonly nameConstraints?: NameConstraints;
  /** Further extensions, as they are; absent: none. */
  readonly others?: readonly DerElement[];
  /** Without extensions a certificate may be of version 1. */
  readonly version: 1 | 3;
}

/** Permitted subtrees; an empty list leaves names of its kind free. */
export interface NameConstraints {
  /** A name permits itself and everything below it. */
  readonly dns: readonly string[];
  /** Hosts of URIs, such as a SPIFFE trust domain: exactly that host. */
  readonly uriHosts: readonly string[];
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
export const KEY_USAGE_BIT = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, crlSign: 6 } as const;
export type KeyUsage = keyof typeof KEY_USAGE_BIT;

const OID = {
  commonName: '2.5.4.3',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  extendedKeyUsage: '2.5.29.37',
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
  return new X509Certificate(signStructure(signed, signer.privateKey)).toString();
}

function extensionsOf(template: CertificateTemplate, signer: Signer): readonly DerElement[] {
  const authorityKey = signer.certificate?.publicKey ?? template.publicKey;
  const extensions = [
    extension(OID.subjectKeyIdentifier, false, der.octetString(keyIdentifier(template.publicKey))),
    authorityKeyIdentifier(authorityKey),
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
  if (template.nameConstraints !== undefined) {
    extensions.push(extension(OID.nameConstraints, true, permittedSubtrees(template.nameConstraints)));
  }
  extensions.push(...(template.others ?? []));
  return extensions;
}

function permittedSubtrees({ dns, uriHosts }: NameConstraints): DerElement {
  const subtree = (tag: number, text: string): DerElement =>
    der.sequence(der.contextBytes(tag, Buffer.from(text, 'latin1')));
  return der.sequence(
    der.context(0, ...dns.map((name) => subtree(2, name)), ...uriHosts.map((host) => subtree(6, host))),
  );
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
