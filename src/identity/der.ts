/**
 * DER elements, written and read through node-forge's ASN.1 layer: just what X.509 certificates are made of.
 */
import asn1, { type Asn1 } from 'node-forge/lib/asn1.js';

export type DerElement = Asn1;

/** Universal tags (X.680 §8.6) that certificates use. */
export const DER_TAG = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  null: 5,
  oid: 6,
  enumerated: 10,
  utf8String: 12,
  sequence: 16,
  set: 17,
  utcTime: 23,
  generalizedTime: 24,
} as const;

const UNIVERSAL = 0x00;
const CONTEXT = 0x80;

/** Makes elements. Contents are bytes; the names are those of the ASN.1 types. */
export const der = {
  sequence: (...elements: readonly DerElement[]): DerElement =>
    asn1.create(UNIVERSAL, DER_TAG.sequence, true, [...elements]),
  set: (...elements: readonly DerElement[]): DerElement => asn1.create(UNIVERSAL, DER_TAG.set, true, [...elements]),
  oid: (oid: string): DerElement => asn1.create(UNIVERSAL, DER_TAG.oid, false, asn1.oidToDer(oid).getBytes()),
  boolean: (value: boolean): DerElement => primitive(DER_TAG.boolean, Buffer.from([value ? 0xff : 0])),
  octetString: (bytes: Buffer): DerElement => primitive(DER_TAG.octetString, bytes),
  utf8String: (text: string): DerElement => primitive(DER_TAG.utf8String, Buffer.from(text, 'utf8')),
  /** An INTEGER from its two's complement bytes, big-endian, shortest form. */
  integer: (bytes: Buffer): DerElement => primitive(DER_TAG.integer, bytes),
  /** A BIT STRING whose last `unusedBits` do not count. */
  bitString: (bytes: Buffer, unusedBits = 0): DerElement =>
    primitive(DER_TAG.bitString, Buffer.concat([Buffer.from([unusedBits]), bytes])),
  enumerated: (value: number): DerElement => primitive(DER_TAG.enumerated, Buffer.from([value])),
  null: (): DerElement => primitive(DER_TAG.null, Buffer.alloc(0)),
  /** UTCTime through 2049, GeneralizedTime after it (RFC 5280 §4.1.2.5). */
  time: (at: Date): DerElement => {
    const digits = at.toISOString().replace(/\.\d{3}Z$|[-:T]/g, '');
    return at.getUTCFullYear() < 2050
      ? primitive(DER_TAG.utcTime, Buffer.from(`${digits.slice(2)}Z`))
      : primitive(DER_TAG.generalizedTime, Buffer.from(`${digits}Z`));
  },
  /** `[tag]` around elements (EXPLICIT, or IMPLICIT of a constructed type). */
  context: (tag: number, ...elements: readonly DerElement[]): DerElement =>
    asn1.create(CONTEXT, tag, true, [...elements]),
  /** `[tag]` IMPLICIT of a primitive type. */
  contextBytes: (tag: number, bytes: Buffer): DerElement => asn1.create(CONTEXT, tag, false, bytes.toString('latin1')),
} as const;

/** The element's DER octets. */
export function encodeDer(element: DerElement): Buffer {
  return Buffer.from(asn1.toDer(element).getBytes(), 'latin1');
}

/** Parses exactly one element and nothing after it. Throws an Error for what is not DER. */
export function decodeDer(bytes: Buffer): DerElement {
  return asn1.fromDer(bytes.toString('latin1'), { strict: true, parseAllBytes: true, decodeBitStrings: false });
}

/** The elements of a constructed element; none for a primitive one. */
export function elementsOf(element: DerElement | undefined): readonly DerElement[] {
  return element !== undefined && typeof element.value !== 'string' ? element.value : [];
}

/** The content octets of a primitive element; none for a constructed one. */
export function bytesOf(element: DerElement | undefined): Buffer {
  return Buffer.from(element !== undefined && typeof element.value === 'string' ? element.value : '', 'latin1');
}

/** The dotted form of an OBJECT IDENTIFIER, or undefined when the element is none. */
export function oidOf(element: DerElement | undefined): string | undefined {
  if (!isUniversal(element, DER_TAG.oid) || typeof element?.value !== 'string') return undefined;
  return asn1.derToOid(element.value);
}

/** True for an element of this universal tag. */
export function isUniversal(element: DerElement | undefined, tag: number): boolean {
  return element !== undefined && element.tagClass === UNIVERSAL && element.type === tag;
}

/** True for an element of this context-specific tag. */
export function isContext(element: DerElement | undefined, tag: number): boolean {
  return element !== undefined && element.tagClass === CONTEXT && element.type === tag;
}

function primitive(tag: number, bytes: Buffer): DerElement {
  return asn1.create(UNIVERSAL, tag, false, bytes.toString('latin1'));
}
