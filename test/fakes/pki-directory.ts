/**
 * A PKI directory with one tenant, gone when the test ends, and an OpenSSL that judges what is in it.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { TenantId } from '../../src/kernel/ids.ts';
import { PkiDirectory } from '../../src/pki/directory.ts';
import { type IssuedLeaf, issueLeafs, type LeafOrder } from '../../src/pki/issuing.ts';
import { createTenant, initPki, type TenantRequest } from '../../src/pki/tenants.ts';
import { temporaryDirectory } from './temporary-directory.ts';
import { tenantId } from './trust.ts';

export const ACME = tenantId('acme');
export const DAY_MS = 86_400_000;
export const HOUR_MS = 3_600_000;

export function tenantRequest(tenant: TenantId, changes: Partial<TenantRequest> = {}): TenantRequest {
  return {
    tenant,
    trustDomain: `${tenant}.example`,
    permittedDnsNames: [],
    constrained: true,
    keyAlgorithm: 'P-256',
    lifetimeMs: 365 * DAY_MS,
    crlLifetimeMs: 7 * DAY_MS,
    ...changes,
  };
}

/** A directory with tenant acme. */
export function pkiDirectory(
  nowMs = Date.now(),
  changes: Partial<TenantRequest> & { readonly root?: boolean } = {},
): PkiDirectory {
  const { root = false, ...request } = changes;
  const settings = { keyAlgorithm: 'P-256', sealed: false, root } as const;
  const { directory } = initPki(join(temporaryDirectory(), 'pki'), settings, 3650 * DAY_MS, undefined, nowMs);
  createTenant(directory, tenantRequest(ACME, request), undefined, nowMs);
  return PkiDirectory.open(directory.path);
}

export function clientOrder(name: string, changes: Partial<LeafOrder> = {}): LeafOrder {
  return {
    use: 'client',
    name,
    dnsNames: [],
    ipAddresses: [],
    spiffeId: `spiffe://acme.example/${name}`,
    lifetimeMs: DAY_MS,
    keyAlgorithm: 'P-256',
    foreignKey: undefined,
    ...changes,
  };
}

export function serverOrder(dnsName: string, changes: Partial<LeafOrder> = {}): LeafOrder {
  return clientOrder(dnsName, { use: 'server', dnsNames: [dnsName], spiffeId: undefined, ...changes });
}

/** Issues for acme without passphrases. */
export function issueFor(directory: PkiDirectory, order: LeafOrder, nowMs = Date.now()): IssuedLeaf {
  const passphrases = { authority: undefined, leaf: undefined };
  const [leaf] = issueLeafs(directory, directory.readLedger(ACME), [order], passphrases, nowMs);
  if (leaf === undefined) throw new Error('nothing was issued');
  return leaf;
}

/** `openssl verify -x509_strict` of a chain file against acme's bundle and lists: `OK`, or what OpenSSL says. */
export function opensslVerdict(directory: PkiDirectory, chainFile: string, ...options: readonly string[]): string {
  const against = ['-CAfile', directory.bundleFile(ACME), '-CRLfile', directory.crlFile(ACME), '-crl_check'];
  try {
    const args = ['verify', '-x509_strict', '-no-CApath', '-partial_chain', ...against, ...options, chainFile];
    return execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' }).trim().replace(/^.*: /, '');
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error);
    return /error \d+ at \d+ depth lookup: (.*)/.exec(said)?.[1] ?? said;
  }
}
