/**
 * What a client certificate says, read from its DER.
 *
 * Node's `subjectAltName` text is not parsed: names are joined by commas there, and only some Node versions quote a name
 * that contains one (CVE-2021-44532). A name comes from its own DER element or not at all.
 */
import { bytesOf, DER_TAG, type DerElement, decodeDer, elementsOf, isContext, isUniversal, oidOf } from './der.ts';

/** The facts of a leaf that decide about it. */
export interface CertificateFacts {
  /** 1, 2 or 3. */
  readonly version: number;
  readonly serialPositive: boolean;
  readonly isCa: boolean;
  /** OIDs; undefined when the extension is absent. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** In the certificate's order. Latin-1: one char per octet. */
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
}

const OID_SUBJECT_ALT_NAME = '2.5.29.17';
const OID_BASIC_CONSTRAINTS = '2.5.29.19';
const OID_EXTENDED_KEY_USAGE = '2.5.29.37';
/** GeneralName's tags, RFC 5280 §4.2.1.6. */
const NAME_TAG = { dns: 2, uri: 6 } as const;

/** Reads a certificate's facts. Throws an Error when the DER is not a certificate's or an extension stands in it twice. */
export function readCertificateFacts(raw: Buffer): CertificateFacts {
  const fields = elementsOf(elementsOf(decodeDer(raw))[0]);
  const hasVersion = isContext(fields[0], 0);
  const serial = bytesOf(fields[hasVersion ? 1 : 0]);
  const extensions = extensionsOf(fields);
  const altNames = elementsOf(extensions.get(OID_SUBJECT_ALT_NAME));
  const usages = extensions.get(OID_EXTENDED_KEY_USAGE);
  return {
    version: hasVersion ? bytesOf(elementsOf(fields[0])[0]).readUInt8(0) + 1 : 1,
    serialPositive: serial.some((octet) => octet !== 0) && (serial[0] ?? 0x80) < 0x80,
    isCa: isCa(extensions.get(OID_BASIC_CONSTRAINTS)),
    extendedKeyUsage: usages === undefined ? undefined : elementsOf(usages).map((usage) => oidOf(usage) ?? ''),
    uris: namesOf(altNames, NAME_TAG.uri),
    dnsNames: namesOf(altNames, NAME_TAG.dns),
  };
}

/** Extension values by OID. RFC 5280 §4.2 allows each once; two parsers may choose differently between two. */
function extensionsOf(fields: readonly DerElement[]): ReadonlyMap<string, DerElement> {
  const found = new Map<string, DerElement>();
  const wrapper = fields.find((field) => isContext(field, 3));
  for (const extension of elementsOf(elementsOf(wrapper)[0])) {
    const members = elementsOf(extension);
    const oid = oidOf(members[0]);
    const value = members.at(-1);
    if (oid === undefined || value === undefined || !isUniversal(value, DER_TAG.octetString)) {
      throw new Error('an extension of the certificate is malformed');
    }
    if (found.has(oid)) throw new Error(`the certificate has extension ${oid} twice`);
    found.set(oid, READ.has(oid) ? decodeDer(bytesOf(value)) : value);
  }
  return found;
}

const READ: ReadonlySet<string> = new Set([OID_SUBJECT_ALT_NAME, OID_BASIC_CONSTRAINTS, OID_EXTENDED_KEY_USAGE]);

function isCa(constraints: DerElement | undefined): boolean {
  const first = elementsOf(constraints)[0];
  return isUniversal(first, DER_TAG.boolean) && bytesOf(first).some((octet) => octet !== 0);
}

function namesOf(names: readonly DerElement[], tag: number): readonly string[] {
  return names.filter((name) => isContext(name, tag)).map((name) => bytesOf(name).toString('latin1'));
}
