/**
 * Where a certificate says that one may ask about it: the OCSP responders of its authority information access (RFC 5280 §4.2.2.1).
 */
import type { X509Certificate } from 'node:crypto';
import { DerCursor, DerError, integerOf } from './der-cursor.ts';
import { extensionOf } from './signed-der.ts';

const OID = 0x06;
const URI = 0x86;
const SEQUENCE = 0x30;
const EXTENSIONS = 0xa3;
const OID_INFORMATION_ACCESS = '2b06010505070101';
const OID_OCSP = '2b06010505073001';
/** Longer than any that a CA writes. */
const MAX_URL = 2048;

/** The first http or https URL among them; undefined: it names none. */
export function responderOf(certificate: X509Certificate): string | undefined {
  try {
    const access = accessOf(certificate);
    while (access?.atEnd === false) {
      const one = access.enter(SEQUENCE);
      const method = one.contents(OID).toString('hex');
      if (method !== OID_OCSP || one.peek() !== URI) continue;
      const url = one.contents(URI).toString('latin1');
      if (url.length <= MAX_URL && /^https?:\/\//i.test(url) && URL.canParse(url)) return url;
    }
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
  }
  return undefined;
}

function accessOf(certificate: X509Certificate): DerCursor | undefined {
  const fields = new DerCursor(certificate.raw).enter(SEQUENCE).enter(SEQUENCE);
  // version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
  fields.contents(0xa0);
  integerOf(fields);
  for (let i = 0; i < 5; i += 1) fields.contents(SEQUENCE);
  while (!fields.atEnd && fields.peek() !== EXTENSIONS) fields.contents(fields.peek() ?? 0);
  if (fields.atEnd) return undefined;
  const extensions = fields.enter(EXTENSIONS).enter(SEQUENCE);
  while (!extensions.atEnd) {
    const { oid, value } = extensionOf(extensions);
    if (oid === OID_INFORMATION_ACCESS) return new DerCursor(value).enter(SEQUENCE);
  }
  return undefined;
}
