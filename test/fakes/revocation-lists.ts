/** Revocation lists of a test's CA, as a CA writes them and as none should. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type DerElement, der, encodeDer } from '../../src/identity/der.ts';
import type { IssuedCertificate } from '../../src/identity/issue.ts';
import { encodeRevocationList } from '../../src/identity/revocation-list.ts';
import { signatureAlgorithm, signStructure, subjectOf } from '../../src/identity/signed-structure.ts';

export interface ListOptions {
  readonly number?: number;
  readonly thisUpdate?: Date;
  readonly nextUpdate?: Date;
  /** Certificates, in PEM. */
  readonly revoked?: readonly string[];
}

const HOUR_MS = 3_600_000;

/** A list in PEM, good for an hour. */
export function revocationList(ca: IssuedCertificate, options: ListOptions = {}): string {
  const now = Date.now();
  return encodeRevocationList(
    {
      number: options.number ?? 1,
      thisUpdate: options.thisUpdate ?? new Date(now - HOUR_MS),
      nextUpdate: options.nextUpdate ?? new Date(now + HOUR_MS),
      revoked: (options.revoked ?? []).map((pem) => ({
        serial: serialOctets(pem),
        at: new Date(now),
        reason: 'superseded',
      })),
    },
    { certificate: new X509Certificate(ca.certPem), privateKey: createPrivateKey(ca.keyPem) },
  );
}

/** As it stands in the certificate. */
export function serialOctets(pem: string): Buffer {
  const octets = Buffer.from(new X509Certificate(pem).serialNumber, 'hex');
  return (octets[0] ?? 0) < 0x80 ? octets : Buffer.concat([Buffer.from([0]), octets]);
}

/** What a crafted list is made of, each part as it should be unless it is given. */
export interface CraftedList {
  /** Undefined with the key: version 1, which has no field. */
  readonly version?: DerElement | undefined;
  readonly times?: readonly DerElement[];
  readonly entries?: readonly DerElement[];
  readonly extensions?: readonly DerElement[];
  readonly rest?: readonly DerElement[];
}

/** The DER of a list that is signed as it should be, whatever it says. */
export function craftedList(ca: IssuedCertificate, parts: CraftedList = {}): Buffer {
  const key = createPrivateKey(ca.keyPem);
  const now = Date.now();
  const version = 'version' in parts ? parts.version : der.integer(Buffer.from([1]));
  const signed = der.sequence(
    ...(version === undefined ? [] : [version]),
    signatureAlgorithm(key).identifier,
    subjectOf(new X509Certificate(ca.certPem)),
    ...(parts.times ?? [der.time(new Date(now - HOUR_MS)), der.time(new Date(now + HOUR_MS))]),
    ...(parts.entries === undefined ? [] : [der.sequence(...parts.entries)]),
    ...(parts.extensions === undefined ? [] : [der.context(0, der.sequence(...parts.extensions))]),
    ...(parts.rest ?? []),
  );
  return signStructure(signed, key);
}

/** An entry of a list. */
export function listEntry(serial: Buffer, ...extensions: readonly DerElement[]): DerElement {
  const members = [der.integer(serial), der.time(new Date())];
  return der.sequence(...members, ...(extensions.length === 0 ? [] : [der.sequence(...extensions)]));
}

/** An extension with any octets in it. */
export function listExtension(oid: string, critical: boolean, value: DerElement = der.null()): DerElement {
  const wrapped = der.octetString(encodeDer(value));
  return critical ? der.sequence(der.oid(oid), der.boolean(true), wrapped) : der.sequence(der.oid(oid), wrapped);
}
