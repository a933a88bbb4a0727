/**
 * From `clientRevocation` in a tenant's file to its revocation lists and its responder: lists in files are read and judged here, those behind URLs when
 * they have been fetched.
 */
import type { X509Certificate } from 'node:crypto';
import { MAX_CRL_BYTES, type RevocationList, readRevocationLists } from '../identity/revocation-list-reader.ts';
import type { ClientRevocationConfig, OcspConfig } from './credentials-config.ts';
import type { FileScope } from './file-scope.ts';
import type { ClientRevocationSource } from './schema-client-revocation.ts';

/** Builds it; undefined when it cannot be used, which is reported. `authorities` are the tenant's CAs. */
export function buildClientRevocation(
  scope: FileScope,
  source: ClientRevocationSource,
  authorities: readonly X509Certificate[],
): ClientRevocationConfig | undefined {
  const { crl } = source;
  const ocsp = source.ocsp && buildOcsp(scope, source.ocsp);
  if (crl === undefined) {
    if (ocsp !== undefined) return { ...NO_LISTS, ocsp };
    if (source.ocsp === undefined)
      scope.report({ path: ['clientRevocation'] }, 'asks nobody', 'say crl or ocsp, or remove clientRevocation');
    return undefined;
  }
  if (crl.files.length === 0 && crl.urls.length === 0) {
    const fix = 'name files or urls, or remove clientRevocation';
    scope.report({ path: ['clientRevocation', 'crl'] }, 'names no revocation list', fix);
    return undefined;
  }
  const lists = crl.files.flatMap((file, index) => readFile(scope, file, index, authorities) ?? []);
  const urls = crl.urls.flatMap(({ url, ca, allowHttp }, index) => {
    const path = ['clientRevocation', 'crl', 'urls', index];
    const authority = ca === undefined ? undefined : scope.authorities([...path, 'ca'], ca);
    const isGood = scope.fetches([...path, 'url'], url, allowHttp) && (ca === undefined || authority !== undefined);
    return isGood ? [{ url, caPem: authority?.pem, allowHttp }] : [];
  });
  if (crl.urls.length === 0 && !scope.failed) judgeCoverage(scope, lists, authorities);
  const { grace, whenUnknown, refresh } = crl;
  return { lists, urls, graceMs: grace, whenUnknown, refreshMs: refresh, ...(ocsp === undefined ? {} : { ocsp }) };
}

/** Of lists nothing is asked. */
const NO_LISTS: ClientRevocationConfig = { lists: [], urls: [], graceMs: 0, whenUnknown: 'allow', refreshMs: 0 };

function buildOcsp(scope: FileScope, source: NonNullable<ClientRevocationSource['ocsp']>): OcspConfig | undefined {
  const { responder, fromCertificate, timeout, maxAge, whenUnknown, hash, nonce } = source;
  const path = ['clientRevocation', 'ocsp'];
  if ((responder !== undefined) === fromCertificate) {
    const what = fromCertificate ? 'names a responder, and says that certificates name theirs' : 'names no responder';
    scope.report({ path }, what, 'say either responder or fromCertificate: true');
    return undefined;
  }
  const common = { timeoutMs: timeout, maxAgeMs: maxAge, whenUnknown, hash, nonce };
  if (responder === undefined) return { responder: undefined, ...common };
  const { url, ca, allowHttp } = responder;
  const authority = ca === undefined ? undefined : scope.authorities([...path, 'responder', 'ca'], ca);
  const isGood =
    scope.fetches([...path, 'responder', 'url'], url, allowHttp) && (ca === undefined || authority !== undefined);
  return isGood ? { responder: { url, caPem: authority?.pem, allowHttp }, ...common } : undefined;
}

function readFile(
  scope: FileScope,
  file: string,
  index: number,
  authorities: readonly X509Certificate[],
): readonly RevocationList[] | undefined {
  const path = ['clientRevocation', 'crl', 'files', index];
  const bytes = scope.bytes(path, file);
  // Without its CAs, of which something is said elsewhere, no list is anybody's.
  if (bytes === undefined || authorities.length === 0) return undefined;
  const read = readRevocationLists(bytes, authorities);
  if (!read.ok) {
    const fix = `name a file with the complete lists of the CAs in clientCa, PEM or DER, up to ${MAX_CRL_BYTES} bytes`;
    scope.report({ path }, `the file ${file} ${read.error}`, fix);
    return undefined;
  }
  const older = read.value.find((list) => scope.isOlderList(file, list));
  if (older !== undefined) {
    const fix = 'put the newest list back, or restart to trust an older one';
    scope.report({ path }, `the file ${file} holds an older list of ${older.issuer} than before`, fix);
    return undefined;
  }
  for (const { issuer, thisUpdateMs, nextUpdateMs } of read.value)
    scope.listLives(path, file, issuer, thisUpdateMs, nextUpdateMs);
  return read.value;
}

/** CAs without a list. Whether their clients are refused is `whenUnknown`. */
function judgeCoverage(
  scope: FileScope,
  lists: readonly RevocationList[],
  authorities: readonly X509Certificate[],
): void {
  const issuers = new Set(lists.map(({ issuer }) => issuer));
  for (const ca of authorities) {
    const name = ca.subject?.replaceAll('\n', ', ') ?? '';
    if (issuers.has(name)) continue;
    const message = `there is no revocation list of ${name}, which is one of the client CAs`;
    scope.report({ path: ['clientRevocation', 'crl'] }, message, 'add a file with its list', 'warning');
  }
}
