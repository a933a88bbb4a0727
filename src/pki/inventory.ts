/**
 * What there is in a PKI directory, and until when. It reads public files and ledgers only: no passphrase, no lock.
 */
import type { X509Certificate } from 'node:crypto';
import type { TenantId } from '../kernel/ids.ts';
import { readAuthorityCertificate, readRootCertificate, serialOf, sha256Of } from './authorities.ts';
import type { PkiDirectory } from './directory.ts';
import type { AuthorityEntry, CertificateEntry, Ledger } from './ledger.ts';
import { newestLeafs } from './rotating.ts';

/** `superseded`: still valid, but there is a newer one of its name. */
export type ItemState = 'valid' | 'superseded' | 'revoked' | 'expired' | AuthorityEntry['state'];

export interface InventoryItem {
  readonly tenant: TenantId | undefined;
  readonly kind: 'root' | 'ca' | 'server' | 'client';
  readonly name: string;
  readonly names: readonly string[];
  readonly state: ItemState;
  readonly serial: string;
  readonly sha256: string;
  readonly notAfterMs: number;
  readonly authority: number | undefined;
  readonly revoked: CertificateEntry['revoked'];
}

/** Everything that is known, by tenant: its CAs, then its leafs from the oldest on. Throws a PkiProblem. */
export function inventory(
  directory: PkiDirectory,
  tenant: TenantId | undefined,
  nowMs: number,
): readonly InventoryItem[] {
  const root = readRootCertificate(directory);
  const tenants = tenant === undefined ? directory.tenants : [tenant];
  return [
    ...(root === undefined ? [] : [rootItem(root, nowMs)]),
    ...tenants.flatMap((each) => tenantItems(directory, directory.readLedger(each), nowMs)),
  ];
}

/** Whether something that is in use ends within so long, or has ended. */
export function endsSoon(item: InventoryItem, withinMs: number, nowMs: number): boolean {
  const inUse = item.state === 'valid' || item.state === 'signing' || item.state === 'next' || item.state === 'expired';
  return inUse && item.notAfterMs <= nowMs + withinMs;
}

function tenantItems(directory: PkiDirectory, ledger: Ledger, nowMs: number): readonly InventoryItem[] {
  const newest = new Set(newestLeafs(ledger));
  const authorities = ledger.authorities.map((entry): InventoryItem => {
    // What stands in the ledger must be what stands in the file.
    if (entry.state !== 'retired') readAuthorityCertificate(directory, ledger, entry);
    return {
      ...{ tenant: ledger.tenant, kind: 'ca', name: String(entry.id), names: [], serial: entry.serial },
      ...{ sha256: entry.sha256, notAfterMs: entry.notAfterMs, authority: undefined, revoked: undefined },
      state: entry.state !== 'retired' && entry.notAfterMs <= nowMs ? 'expired' : entry.state,
    };
  });
  const leafs = ledger.certificates.map((entry): InventoryItem => {
    const { use, name, serial, sha256, notAfterMs, authority, revoked, spiffeId, dnsNames, ipAddresses } = entry;
    return {
      ...{ tenant: ledger.tenant, kind: use, name, serial, sha256, notAfterMs, authority, revoked },
      names: [...(spiffeId === undefined ? [] : [spiffeId]), ...dnsNames, ...ipAddresses],
      state: leafState(entry, newest.has(entry), nowMs),
    };
  });
  return [...authorities, ...leafs];
}

function leafState(entry: CertificateEntry, isNewest: boolean, nowMs: number): ItemState {
  if (entry.revoked !== undefined) return 'revoked';
  if (!isNewest) return 'superseded';
  return entry.notAfterMs <= nowMs ? 'expired' : 'valid';
}

function rootItem(root: X509Certificate, nowMs: number): InventoryItem {
  const notAfterMs = root.validToDate.getTime();
  return {
    ...{ tenant: undefined, kind: 'root', name: 'root', names: [], authority: undefined, revoked: undefined },
    ...{ state: notAfterMs <= nowMs ? 'expired' : 'valid', serial: serialOf(root), sha256: sha256Of(root), notAfterMs },
  };
}
