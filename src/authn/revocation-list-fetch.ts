/**
 * Fetches the revocation lists behind one URL, and holds them against the tenant's CAs.
 */
import { X509Certificate } from 'node:crypto';
import type { ClientRevocationConfig } from '../config/credentials-config.ts';
import type { DocumentFetch } from '../fetching/document-fetch.ts';
import { MAX_CRL_BYTES, type RevocationList, readRevocationLists } from '../identity/revocation-list-reader.ts';
import { err, type Result } from '../kernel/result.ts';

/** For a list of the greatest length over a slow line. */
export const LIST_TIMEOUT_MS = 10_000;
/** RFC 5280 §4.2.1.13 has the first; the others are what servers of files say. */
const CONTENT_TYPES = [
  'application/pkix-crl',
  'application/x-pkcs7-crl',
  'application/x-x509-crl',
  'application/x-pem-file',
  'application/pem-certificate-chain',
  'application/octet-stream',
  'text/plain',
];
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The lists of one file behind a URL, or why there are none. Never rejects. */
export async function fetchRevocationLists(
  { url, caPem, allowHttp }: ClientRevocationConfig['urls'][number],
  clientCaPem: string,
  fetch: DocumentFetch,
): Promise<Result<readonly RevocationList[], string>> {
  const fetched = await fetch({
    ...{ url, caPem, timeoutMs: LIST_TIMEOUT_MS, maxBytes: MAX_CRL_BYTES, contentTypes: CONTENT_TYPES },
    isSigned: allowHttp,
  });
  if (!fetched.ok) return fetched;
  const cas = (clientCaPem.match(PEM_CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
  const read = readRevocationLists(fetched.value, cas);
  return read.ok ? read : err(`what it gives ${read.error}`);
}
