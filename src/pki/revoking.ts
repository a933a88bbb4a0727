/**
 * Revokes a certificate that was issued here: entered in the ledger, and on a new revocation list of its CA.
 */
import { existsSync } from 'node:fs';
import type { RevocationReason } from '../identity/revocation-reason.ts';
import type { TenantId } from '../kernel/ids.ts';
import { readCertificate, serialOf, sha256Of } from './authorities.ts';
import type { PkiDirectory } from './directory.ts';
import type { CertificateEntry, Ledger } from './ledger.ts';
import type { Passphrase } from './private-key.ts';
import { refused } from './problem.ts';
import { settle } from './settle.ts';

export interface Revocation {
  readonly ledger: Ledger;
  readonly entry: CertificateEntry;
  /** It was revoked before; its first time and reason stand. */
  readonly already: boolean;
}

/**
 * Revokes by serial number or certificate file. Call it under the lock. Throws a PkiProblem.
 *
 * @param tenant where to look; undefined: everywhere.
 */
export function revoke(
  directory: PkiDirectory,
  request: { readonly target: string; readonly tenant: TenantId | undefined; readonly reason: RevocationReason },
  passphrase: Passphrase | undefined,
  nowMs: number,
): Revocation {
  const isWanted = matcherOf(request.target);
  const tenants = request.tenant === undefined ? directory.tenants : [request.tenant];
  for (const tenant of tenants) {
    const ledger = directory.readLedger(tenant);
    const found = ledger.certificates.find(isWanted);
    if (found === undefined) continue;
    const already = found.revoked !== undefined;
    const entry = already ? found : { ...found, revoked: { atMs: nowMs, reason: request.reason } };
    const certificates = ledger.certificates.map((each) => (each === found ? entry : each));
    return { ledger: settle(directory, { ...ledger, certificates }, passphrase, nowMs), entry, already };
  }
  throw refused(`${request.target} was not issued here, or ended long ago`, 'see: bulkhead pki list --all');
}

function matcherOf(target: string): (entry: CertificateEntry) => boolean {
  if (existsSync(target)) {
    const certificate = readCertificate(target);
    const sha256 = sha256Of(certificate);
    return (entry) => entry.sha256 === sha256 && entry.serial === serialOf(certificate);
  }
  const serial = target
    .toLowerCase()
    .replaceAll(':', '')
    .replace(/^0+(?=.)/, '');
  if (!/^[0-9a-f]{1,40}$/.test(serial)) {
    throw refused(`${target} is neither a file nor a serial number`, 'see: bulkhead pki list');
  }
  return (entry) => entry.serial === serial;
}
