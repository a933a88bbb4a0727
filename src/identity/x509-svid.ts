/**
 * From the Workload API's octets to certificates that can be served with: X509-SVID.md's rules for what we are given ourselves.
 *
 * Texts that come out of here have private keys in them: they go to TLS, and into no message.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { err, ok, type Result } from '../kernel/result.ts';
import { readCertificateFacts } from './certificate-facts.ts';
import { MAX_CHAIN, MAX_CLOCK_LAG_MS } from './chain.ts';
import { certificateKeyWeakness } from './key-strength.ts';
import { parseSpiffeId } from './spiffe-id.ts';
import type { SvidEntry } from './workload-protocol.ts';

/** One certificate of ours with its chain and key. */
export interface Svid {
  readonly spiffeId: string;
  /** Empty: none. */
  readonly hint: string;
  /** PEM: the leaf, its intermediates, then the key (PKCS #8). */
  readonly pem: string;
  readonly notAfterMs: number;
}

/** Certificates that one trust domain's authorities may be. SPIRE keeps two or three while it rotates them. */
export const MAX_BUNDLE_CERTIFICATES = 100;

/** Certificates that one process may be given. Every one has a private key. */
export const MAX_SVIDS = 1_000;

/** Reads all entries; what is wrong with one is wrong with the message (SPIFFE_Workload_API.md §4.5). Expired ones are left out. */
export function readSvids(entries: readonly SvidEntry[], nowMs: number): Result<readonly Svid[], string> {
  if (entries.length === 0) return err('it names no certificate');
  if (entries.length > MAX_SVIDS) return err(`it has more than ${MAX_SVIDS} certificates`);
  const svids: Svid[] = [];
  for (const entry of entries) {
    const svid = readSvid(entry, nowMs);
    if (!svid.ok) return err(`${nameOf(entry)}: ${svid.error}`);
    if (svid.value.notAfterMs > nowMs) svids.push(svid.value);
  }
  return ok(svids);
}

/** For a message, so cut, and without what a terminal would act on. */
function nameOf({ spiffeId }: SvidEntry): string {
  return JSON.stringify(spiffeId.slice(0, 200));
}

function readSvid(entry: SvidEntry, nowMs: number): Result<Svid, string> {
  const { spiffeId, hint, x509Svid, x509SvidKey, bundle } = entry;
  const id = parseSpiffeId(spiffeId);
  if (id === undefined || id.path === '') return err('is no SPIFFE id of a workload');
  if (x509Svid.length === 0 || x509SvidKey.length === 0 || bundle.length === 0)
    return err('has no certificate, key or bundle');
  const chain = splitCertificates(x509Svid, MAX_CHAIN);
  if (!chain.ok) return chain;
  const leaf = chain.value[0];
  if (leaf === undefined) return err('has no certificate');
  const unfit = leafProblem(leaf, id.uri, nowMs) ?? orderProblem(chain.value);
  if (unfit !== undefined) return err(unfit);
  const keyPem = keyOf(leaf, x509SvidKey);
  if (keyPem === undefined) return err('its key is not the certificate’s, or cannot be read');
  const pem = `${chain.value.map(String).join('')}${keyPem}`;
  return ok({ spiffeId: id.uri, hint, pem, notAfterMs: leaf.validToDate.getTime() });
}

/** X509-SVID.md §2, §4: one URI, and a leaf that signs nothing. */
function leafProblem(leaf: X509Certificate, spiffeId: string, nowMs: number): string | undefined {
  try {
    const { uris, isCa } = readCertificateFacts(leaf.raw);
    if (uris.length !== 1 || parseSpiffeId(uris[0] ?? '')?.uri !== spiffeId) return 'its certificate has another id';
    if (isCa) return 'its certificate is a CA’s';
  } catch {
    return 'its certificate cannot be read';
  }
  return leaf.validFromDate.getTime() - MAX_CLOCK_LAG_MS > nowMs ? 'its certificate is not valid yet' : undefined;
}

function orderProblem(chain: readonly X509Certificate[]): string | undefined {
  const misplaced = chain.some((certificate, index) => {
    const issuer = chain[index + 1];
    return issuer !== undefined && !certificate.checkIssued(issuer);
  });
  return misplaced ? 'its chain is not in order' : undefined;
}

function keyOf(leaf: X509Certificate, der: Buffer): string | undefined {
  try {
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    return leaf.checkPrivateKey(key) ? key.export({ type: 'pkcs8', format: 'pem' }).toString() : undefined;
  } catch {
    // What OpenSSL says of it may quote it.
    return undefined;
  }
}

/** The authorities of one trust domain, as PEM. */
export function readBundle(der: Buffer): Result<string, string> {
  const certificates = splitCertificates(der, MAX_BUNDLE_CERTIFICATES);
  if (!certificates.ok) return certificates;
  if (certificates.value.length === 0) return err('is empty');
  for (const certificate of certificates.value) {
    if (!certificate.ca) return err('has a certificate that is not a CA’s');
    const weakness = certificateKeyWeakness(certificate);
    if (weakness !== undefined) return err(`has a CA with ${weakness}`);
  }
  return ok(certificates.value.map(String).join(''));
}

/** DER certificates, one after the other. */
function splitCertificates(der: Buffer, max: number): Result<readonly X509Certificate[], string> {
  const certificates: X509Certificate[] = [];
  for (let at = 0; at < der.length; ) {
    const length = elementLength(der, at);
    if (length === undefined || at + length > der.length) return err('has what is no DER certificate');
    if (certificates.length === max) return err(`has more than ${max} certificates`);
    try {
      certificates.push(new X509Certificate(der.subarray(at, at + length)));
    } catch {
      return err('has a certificate that does not parse');
    }
    at += length;
  }
  return ok(certificates);
}

const SEQUENCE = 0x30;

/** Octets of the SEQUENCE that begins here, its header among them (X.690 §8.1.3); undefined for anything else. */
function elementLength(der: Buffer, at: number): number | undefined {
  const first = der[at + 1];
  if (der[at] !== SEQUENCE || first === undefined) return undefined;
  if (first < 0x80) return 2 + first;
  const octets = first & 0x7f;
  if (octets < 1 || octets > 3 || at + 2 + octets > der.length) return undefined;
  return 2 + octets + der.readUIntBE(at + 2, octets);
}
