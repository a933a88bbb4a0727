/**
 * Reads a certificate revocation list (RFC 5280 §5) of one of these CAs: strict DER, signed by the CA that it says, complete for that CA.
 *
 * A list that is about other CAs' certificates too (indirect), about a part of them (a distribution point's) or only about changes (delta) is
 * refused: to read it as complete would miss what is revoked elsewhere.
 */
import { createHash, type X509Certificate } from 'node:crypto';
import { err, ok, type Result } from '../kernel/result.ts';
import { readCertificateFacts } from './certificate-facts.ts';
import { DerCursor, DerError, integerOf, timeOf } from './der-cursor.ts';
import { SERIAL_OCTETS, SerialTable } from './serial-table.ts';
import { signatureWeakness } from './signature-strength.ts';
import { algorithmOf, extensionOf, isSignedBy, subjectOctets } from './signed-der.ts';

/** What a list says: plain data, whose serial numbers all threads share. */
export interface RevocationList {
  /** Which CA's it is: `authorityOf` its certificate. */
  readonly authority: string;
  /** The CA's name, one line, for people. */
  readonly issuer: string;
  /** CRLNumber, in decimal digits; undefined: it has none. */
  readonly number: string | undefined;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly revoked: SerialTable['data'];
}

/** A list of 100,000 certificates has somewhat less. */
export const MAX_CRL_BYTES = 4 * 1024 * 1024;
/** Lists in one file: a CA and its predecessors, each with its own. */
export const MAX_CRLS = 16;

const PEM = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----/g;

/** Reads a file of lists, in PEM or one in DER, of these CAs. The error says which list, when there are several. */
export function readRevocationLists(
  file: Buffer,
  authorities: readonly X509Certificate[],
): Result<readonly RevocationList[], string> {
  if (file.length > MAX_CRL_BYTES) return err(`is longer than ${MAX_CRL_BYTES} bytes`);
  const blocks = file[0] === SEQUENCE ? [file] : pemBlocks(file.toString('latin1'));
  if (blocks.length === 0) return err('holds no revocation list');
  if (blocks.length > MAX_CRLS) return err(`holds more than ${MAX_CRLS} revocation lists`);
  const lists: RevocationList[] = [];
  for (const [index, der] of blocks.entries()) {
    const which = blocks.length === 1 ? '' : ` (number ${index + 1} in it)`;
    const list = readRevocationList(der, authorities);
    if (!list.ok) return err(`holds a revocation list${which} ${list.error}`);
    lists.push(list.value);
  }
  return ok(lists);
}

function pemBlocks(text: string): readonly Buffer[] {
  return [...text.matchAll(PEM)].map(([, base64]) => Buffer.from(base64 ?? '', 'base64'));
}

/** Reads one list. */
export function readRevocationList(
  der: Buffer,
  authorities: readonly X509Certificate[],
): Result<RevocationList, string> {
  try {
    return read(der, authorities);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    return err(`that is malformed: ${error.message}`);
  }
}

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const SEQUENCE = 0x30;
const EXTENSIONS = 0xa0;

const OID_CRL_NUMBER = '551d14';

function read(der: Buffer, authorities: readonly X509Certificate[]): Result<RevocationList, string> {
  const outermost = new DerCursor(der);
  const outer = outermost.enter(SEQUENCE);
  outermost.finish();
  const signed = outer.whole(SEQUENCE);
  const algorithm = outer.whole(SEQUENCE);
  const bits = outer.contents(BIT_STRING);
  outer.finish();
  if (bits[0] !== 0) throw new DerError('a signature that is no whole number of octets');
  const fields = new DerCursor(signed).enter(SEQUENCE);
  const isV2 = fields.peek() === INTEGER;
  if (isV2 && !integerOf(fields).equals(Buffer.from([1]))) return err('of a version that there is not');
  const inner = fields.whole(SEQUENCE);
  const issuer = fields.whole(SEQUENCE);
  const authority = authorities.find(
    (ca) => subjectOctets(ca).equals(issuer) && isSignedBy(ca, signed, algorithm, bits.subarray(1)),
  );
  const weak = signatureWeakness({ ...algorithmOf(algorithm), consistent: algorithm.equals(inner) });
  if (weak !== undefined) return err(`with ${weak}`);
  if (authority === undefined) {
    const isNamed = authorities.some((ca) => subjectOctets(ca).equals(issuer));
    return err(isNamed ? 'whose signature is not its CA’s' : 'of a CA that is not among the client CAs');
  }
  if (!maySignLists(authority)) return err('of a CA whose key usage does not include cRLSign');
  const thisUpdateMs = timeOf(fields);
  if (fields.peek() !== 0x17 && fields.peek() !== 0x18)
    return err('without nextUpdate: it does not say for how long it holds');
  const nextUpdateMs = timeOf(fields);
  if (nextUpdateMs <= thisUpdateMs) return err('whose nextUpdate is not after its thisUpdate');
  const serials = fields.peek() === SEQUENCE ? entriesOf(fields.enter(SEQUENCE)) : ok([]);
  if (!serials.ok) return serials;
  const number = isV2 && fields.peek() === EXTENSIONS ? numberOf(fields.enter(EXTENSIONS)) : ok(undefined);
  if (!number.ok) return number;
  fields.finish();
  return ok({
    authority: authorityOf(authority),
    issuer: authority.subject?.replaceAll('\n', ', ') ?? '',
    number: number.value,
    thisUpdateMs,
    nextUpdateMs,
    revoked: SerialTable.of(serials.value),
  });
}

/** The serial numbers of the entries. One that no acceptable certificate can have is left out. */
function entriesOf(entries: DerCursor): Result<readonly Buffer[], string> {
  const serials: Buffer[] = [];
  while (!entries.atEnd) {
    const entry = entries.enter(SEQUENCE);
    const octets = integerOf(entry);
    timeOf(entry);
    if (entry.peek() === SEQUENCE) {
      const critical = criticalOf(entry.enter(SEQUENCE));
      if (critical !== undefined) return err(`with an entry that has the critical extension ${critical}`);
    }
    entry.finish();
    const serial = octets[0] === 0 ? octets.subarray(1) : octets;
    if ((octets[0] ?? 0x80) < 0x80 && serial.length > 0 && serial.length <= SERIAL_OCTETS) serials.push(serial);
  }
  return ok(serials);
}

/** The list's number; a critical extension is one that it may not be read without, and none of those is known here. */
function numberOf(wrapper: DerCursor): Result<string | undefined, string> {
  const extensions = wrapper.enter(SEQUENCE);
  wrapper.finish();
  let number: string | undefined;
  const seen = new Set<string>();
  while (!extensions.atEnd) {
    const { oid, critical, value } = extensionOf(extensions);
    if (seen.has(oid)) throw new DerError('an extension that stands twice');
    seen.add(oid);
    if (critical)
      return err(
        `with the critical extension ${oidText(oid)}: it is not complete for its CA, or newer than this reader`,
      );
    if (oid !== OID_CRL_NUMBER) continue;
    const inside = new DerCursor(value);
    const octets = integerOf(inside);
    inside.finish();
    // RFC 5280 §5.2.3: at most 20 octets, and never negative.
    if (octets.length > SERIAL_OCTETS + 1 || (octets[0] ?? 0x80) >= 0x80) return err('whose number is none');
    number = BigInt(`0x${octets.toString('hex')}`).toString();
  }
  return ok(number);
}

function criticalOf(extensions: DerCursor): string | undefined {
  while (!extensions.atEnd) {
    const { oid, critical } = extensionOf(extensions);
    if (critical) return oidText(oid);
  }
  return undefined;
}

const KNOWN_EXTENSIONS: ReadonlyMap<string, string> = new Map([
  ['551d1c', 'issuingDistributionPoint'],
  ['551d1b', 'deltaCRLIndicator'],
  ['551d1d', 'certificateIssuer'],
]);

function oidText(oid: string): string {
  return KNOWN_EXTENSIONS.get(oid) ?? `with the octets ${oid.slice(0, 64)}`;
}

/** Which CA a certificate is of, by its name and key: a renewed certificate is the same CA's. */
export function authorityOf(ca: X509Certificate): string {
  let known = AUTHORITIES.get(ca);
  if (known === undefined) {
    const key = ca.publicKey.export({ type: 'spki', format: 'der' });
    known = createHash('sha256').update(subjectOctets(ca)).update(key).digest('hex');
    AUTHORITIES.set(ca, known);
  }
  return known;
}

const AUTHORITIES = new WeakMap<X509Certificate, string>();

function maySignLists(ca: X509Certificate): boolean {
  return readCertificateFacts(ca.raw).keyUsage?.has('crlSign') !== false;
}
