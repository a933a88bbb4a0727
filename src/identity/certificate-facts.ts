/**
 * What a certificate says, read from its DER.
 *
 * Node's `subjectAltName` text is not parsed: names are joined by commas there, and only some Node versions quote a name
 * that contains one (CVE-2021-44532). A name comes from its own DER element or not at all.
 */
import { KEY_USAGE_BIT, type KeyUsage } from './certificate-encoder.ts';
import {
  bytesOf,
  DER_TAG,
  type DerElement,
  decodeDer,
  elementsOf,
  encodeDer,
  isContext,
  isUniversal,
  oidOf,
} from './der.ts';

/** The facts of a certificate that decide about it. */
export interface CertificateFacts {
  /** 1, 2 or 3. */
  readonly version: number;
  readonly serialPositive: boolean;
  /** Of the INTEGER, with the octet that only keeps it positive. */
  readonly serialOctets: number;
  readonly signature: SignatureFacts;
  readonly isCa: boolean;
  /** How many CAs may stand below it; undefined: any number. */
  readonly pathLength: number | undefined;
  /** Undefined when the extension is absent. */
  readonly keyUsage: ReadonlySet<KeyUsage> | undefined;
  readonly nameConstraints: NameConstraintFacts | undefined;
  /** OID of the first critical extension that is not read here; whoever does not know it must refuse the certificate (RFC 5280 §4.2). */
  readonly unreadCritical: string | undefined;
  /** OIDs; undefined when the extension is absent. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** In the certificate's order. Latin-1: one char per octet. */
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
}

/** How it was signed. */
export interface SignatureFacts {
  readonly oid: string;
  /** Of RSASSA-PSS, which names it in its parameters. */
  readonly digestOid: string | undefined;
  /** The signed part names the same algorithm as the part beside it (RFC 5280 §4.1.1.2). */
  readonly consistent: boolean;
}

/** DNS names and hosts of URIs that names below a CA must be of, and must not be of. */
export interface NameConstraintFacts {
  readonly permitted: ConstrainedNames;
  readonly excluded: ConstrainedNames;
  /** There are constraints of other kinds of names, too. */
  readonly others: boolean;
}

export interface ConstrainedNames {
  readonly dns: readonly string[];
  readonly uris: readonly string[];
}

const OID_KEY_USAGE = '2.5.29.15';
const OID_NAME_CONSTRAINTS = '2.5.29.30';
const OID_SUBJECT_ALT_NAME = '2.5.29.17';
const OID_BASIC_CONSTRAINTS = '2.5.29.19';
const OID_EXTENDED_KEY_USAGE = '2.5.29.37';
/** GeneralName's tags, RFC 5280 §4.2.1.6. */
const NAME_TAG = { dns: 2, uri: 6 } as const;

/** Reads a certificate's facts. Throws an Error when the DER is not a certificate's or an extension stands in it twice. */
export function readCertificateFacts(raw: Buffer): CertificateFacts {
  const [signed, algorithm] = elementsOf(decodeDer(raw));
  const fields = elementsOf(signed);
  const hasVersion = isContext(fields[0], 0);
  const serial = bytesOf(fields[hasVersion ? 1 : 0]);
  const extensions = extensionsOf(fields);
  const altNames = elementsOf(extensions.get(OID_SUBJECT_ALT_NAME));
  const usages = extensions.get(OID_EXTENDED_KEY_USAGE);
  const constraints = extensions.get(OID_BASIC_CONSTRAINTS);
  return {
    version: hasVersion ? bytesOf(elementsOf(fields[0])[0]).readUInt8(0) + 1 : 1,
    serialPositive: serial.some((octet) => octet !== 0) && (serial[0] ?? 0x80) < 0x80,
    serialOctets: serial.length,
    signature: signatureOf(algorithm, fields[hasVersion ? 2 : 1]),
    isCa: isCa(constraints),
    pathLength: pathLengthOf(constraints),
    keyUsage: keyUsageOf(extensions.get(OID_KEY_USAGE)),
    nameConstraints: nameConstraintsOf(extensions.get(OID_NAME_CONSTRAINTS)),
    unreadCritical: unreadCriticalOf(fields),
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

function unreadCriticalOf(fields: readonly DerElement[]): string | undefined {
  const wrapper = fields.find((field) => isContext(field, 3));
  for (const extension of elementsOf(elementsOf(wrapper)[0])) {
    const [oid, critical] = elementsOf(extension);
    const named = oidOf(oid) ?? '';
    const isCritical = isUniversal(critical, DER_TAG.boolean) && bytesOf(critical).some((octet) => octet !== 0);
    if (isCritical && !READ.has(named)) return named;
  }
  return undefined;
}

const READ: ReadonlySet<string> = new Set([
  OID_KEY_USAGE,
  OID_SUBJECT_ALT_NAME,
  OID_BASIC_CONSTRAINTS,
  OID_NAME_CONSTRAINTS,
  OID_EXTENDED_KEY_USAGE,
]);

const OID_RSASSA_PSS = '1.2.840.113549.1.1.10';
/** RSASSA-PSS without a digest means SHA-1 (RFC 4055 §3.1). */
const OID_SHA1 = '1.3.14.3.2.26';

function signatureOf(outer: DerElement | undefined, inner: DerElement | undefined): SignatureFacts {
  if (outer === undefined || inner === undefined) throw new Error('the certificate names no signature algorithm');
  const [oid, parameters] = elementsOf(outer);
  const digest = elementsOf(parameters).find((element) => isContext(element, 0));
  const named = oidOf(oid) ?? '';
  return {
    oid: named,
    digestOid: named === OID_RSASSA_PSS ? (oidOf(elementsOf(elementsOf(digest)[0])[0]) ?? OID_SHA1) : undefined,
    consistent: encodeDer(outer).equals(encodeDer(inner)),
  };
}

function pathLengthOf(constraints: DerElement | undefined): number | undefined {
  const last = elementsOf(constraints).at(-1);
  if (!isUniversal(last, DER_TAG.integer)) return undefined;
  const octets = bytesOf(last);
  // No chain is longer than what one octet counts.
  return octets.length === 1 && octets.readUInt8(0) < 0x80 ? octets.readUInt8(0) : undefined;
}

function keyUsageOf(usage: DerElement | undefined): ReadonlySet<KeyUsage> | undefined {
  if (usage === undefined) return undefined;
  // The first octet counts the bits that are not used; the first bit is the next octet's highest.
  const bits = bytesOf(usage)[1] ?? 0;
  return new Set(KEY_USAGES.filter((name) => (bits & (0x80 >> KEY_USAGE_BIT[name])) !== 0));
}

const KEY_USAGES: readonly KeyUsage[] = ['digitalSignature', 'keyEncipherment', 'keyCertSign', 'crlSign'];

function nameConstraintsOf(constraints: DerElement | undefined): NameConstraintFacts | undefined {
  if (constraints === undefined) return undefined;
  let others = false;
  const subtrees = (tag: number): ConstrainedNames => {
    const members = elementsOf(elementsOf(constraints).find((element) => isContext(element, tag)));
    const bases = members.flatMap((subtree) => elementsOf(subtree).slice(0, 1));
    others ||= bases.some((base) => !isContext(base, NAME_TAG.dns) && !isContext(base, NAME_TAG.uri));
    return { dns: namesOf(bases, NAME_TAG.dns), uris: namesOf(bases, NAME_TAG.uri) };
  };
  const [permitted, excluded] = [subtrees(0), subtrees(1)];
  return { permitted, excluded, others };
}

function isCa(constraints: DerElement | undefined): boolean {
  const first = elementsOf(constraints)[0];
  return isUniversal(first, DER_TAG.boolean) && bytesOf(first).some((octet) => octet !== 0);
}

function namesOf(names: readonly DerElement[], tag: number): readonly string[] {
  return names.filter((name) => isContext(name, tag)).map((name) => bytesOf(name).toString('latin1'));
}
