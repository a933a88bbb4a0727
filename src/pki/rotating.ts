/**
 * Replaces what is in use: leafs by new ones with new keys, and a tenant's CA in two steps, so that nobody ever meets a
 * certificate whose CA they have not been told of.
 */
import type { X509Certificate } from 'node:crypto';
import { createAuthority, readAuthority, readAuthorityCertificate } from './authorities.ts';
import type { PkiDirectory } from './directory.ts';
import { type IssuedLeaf, issueLeafs, type Passphrases, signingEntry } from './issuing.ts';
import type { AuthorityEntry, CertificateEntry, Ledger } from './ledger.ts';
import { MAX_CA_LIFETIME_MS, requireLifetime } from './lifetimes.ts';
import type { Passphrase } from './private-key.ts';
import { refused } from './problem.ts';
import { settle } from './settle.ts';

export interface LeafRotation {
  /** Names of leafs; empty: all that are in use. */
  readonly names: readonly string[];
  /** Only those that end within so long; undefined: all. */
  readonly expiringMs: number | undefined;
  readonly lifetimeMs: number | undefined;
}

/** A leaf that could not be rotated here. */
export interface SkippedLeaf {
  readonly entry: CertificateEntry;
  readonly why: string;
}

/** Issues successors of leafs. The old ones stay valid until they end. Call it under the lock. Throws a PkiProblem. */
export function rotateLeafs(
  directory: PkiDirectory,
  ledger: Ledger,
  rotation: LeafRotation,
  passphrases: Passphrases,
  nowMs: number,
): { readonly issued: readonly IssuedLeaf[]; readonly skipped: readonly SkippedLeaf[] } {
  const newest = newestLeafs(ledger);
  const unknown = rotation.names.find((name) => !newest.some((entry) => entry.name === name));
  if (unknown !== undefined) {
    throw refused(
      `tenant ${ledger.tenant} has no certificate ${unknown}`,
      `see: bulkhead pki list --tenant ${ledger.tenant}`,
    );
  }
  const { expiringMs } = rotation;
  const chosen = newest.filter(
    (entry) =>
      (rotation.names.length === 0 || rotation.names.includes(entry.name)) &&
      (expiringMs === undefined || entry.notAfterMs <= nowMs + expiringMs),
  );
  const skipped = chosen.flatMap((entry) => {
    const why = skipReason(entry, rotation.names.length > 0, passphrases.leaf !== undefined);
    return why === undefined ? [] : [{ entry, why }];
  });
  const orders = chosen
    .filter((entry) => !skipped.some((skip) => skip.entry === entry))
    .map(({ use, name, dnsNames, ipAddresses, spiffeId, keyAlgorithm, lifetimeMs }) => ({
      ...{ use, name, dnsNames, ipAddresses, spiffeId, keyAlgorithm },
      lifetimeMs: rotation.lifetimeMs ?? lifetimeMs,
      foreignKey: undefined,
    }));
  // Also with nothing to issue: the revocation list is renewed, and a CA whose time is over leaves the bundle.
  return { issued: issueLeafs(directory, ledger, orders, passphrases, nowMs), skipped };
}

/** The newest certificate of each use and name. */
export function newestLeafs(ledger: Ledger): readonly CertificateEntry[] {
  return [...new Map(ledger.certificates.map((entry) => [`${entry.use} ${entry.name}`, entry])).values()];
}

function skipReason(entry: CertificateEntry, named: boolean, sealing: boolean): string | undefined {
  if (entry.key === 'elsewhere') return 'its key is elsewhere: issue it from a new request (--csr)';
  if (entry.revoked !== undefined && !named) return 'it is revoked: name it if it shall have a successor';
  if (entry.key === 'sealed' && !sealing) return 'its key is encrypted: give --key-passphrase-file';
  return undefined;
}

export interface AuthorityRotation {
  /** `prepare`: a new CA beside the old, to be distributed. `activate`: it signs. `replace`: both at once, no overlap. */
  readonly step: 'prepare' | 'activate' | 'replace';
  readonly lifetimeMs: number;
}

/** Takes one step of a CA's rotation. Call it under the lock. Throws a PkiProblem. */
export function rotateAuthority(
  directory: PkiDirectory,
  ledger: Ledger,
  { step, lifetimeMs }: AuthorityRotation,
  passphrase: Passphrase | undefined,
  nowMs: number,
): { readonly ledger: Ledger; readonly certificate: X509Certificate; readonly entry: AuthorityEntry } {
  requireLifetime('a CA', lifetimeMs, { from: 86_400_000, to: MAX_CA_LIFETIME_MS });
  // A mistyped passphrase would otherwise seal the new key.
  readAuthority(directory, ledger, signingEntry(ledger), passphrase);
  const waiting = ledger.authorities.find(({ state }) => state === 'next');
  const { tenant } = ledger;
  if (step === 'prepare' && waiting !== undefined) {
    throw refused(
      `tenant ${tenant} has a new CA already that does not sign yet`,
      `once its bundle is everywhere: bulkhead pki rotate --tenant ${tenant} --ca --activate`,
    );
  }
  if (step === 'activate' && waiting === undefined) {
    throw refused(`tenant ${tenant} has no new CA`, `make one: bulkhead pki rotate --tenant ${tenant} --ca`);
  }
  const successor =
    step === 'activate' && waiting !== undefined
      ? waiting
      : createAuthority(directory, ledger, { state: 'next', lifetimeMs, nowMs }, passphrase);
  const authorities =
    step === 'prepare'
      ? [...ledger.authorities, successor]
      : activated(ledger.authorities, successor, step === 'replace' ? 'retired' : 'retiring');
  const settled = settle(directory, { ...ledger, authorities }, passphrase, nowMs);
  const entry = settled.authorities.find(({ id }) => id === successor.id) ?? successor;
  return { ledger: settled, entry, certificate: readAuthorityCertificate(directory, settled, entry) };
}

function activated(
  authorities: readonly AuthorityEntry[],
  successor: AuthorityEntry,
  predecessors: 'retired' | 'retiring',
): readonly AuthorityEntry[] {
  const others = authorities.filter(({ id }) => id !== successor.id);
  return [
    ...others.map((entry): AuthorityEntry => (entry.state === 'retired' ? entry : { ...entry, state: predecessors })),
    { ...successor, state: 'signing' },
  ];
}
