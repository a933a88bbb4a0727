/**
 * Makes PKI directories and tenants in them, each with a CA that signs nobody else's certificates.
 */
import type { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { KeyAlgorithm } from '../identity/issue.ts';
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import type { TenantId } from '../kernel/ids.ts';
import { createAuthority, createRoot } from './authorities.ts';
import { PkiDirectory, type PkiSettings } from './directory.ts';
import { makeDirectory } from './files.ts';
import type { Ledger } from './ledger.ts';
import { MAX_CA_LIFETIME_MS, MAX_CRL_LIFETIME_MS, MIN_CRL_LIFETIME_MS, requireLifetime } from './lifetimes.ts';
import { parseDnsName } from './names.ts';
import type { Passphrase } from './private-key.ts';
import { refused } from './problem.ts';
import { settle } from './settle.ts';

/** Makes a directory, with a root CA where the settings ask for one. Throws a PkiProblem. */
export function initPki(
  path: string,
  settings: PkiSettings,
  rootLifetimeMs: number,
  passphrase: Passphrase | undefined,
  nowMs: number,
): { readonly directory: PkiDirectory; readonly root: X509Certificate | undefined } {
  requireLifetime('a root CA', rootLifetimeMs, { from: 86_400_000, to: MAX_CA_LIFETIME_MS });
  const directory = PkiDirectory.create(path, settings);
  const root = settings.root ? createRoot(directory, passphrase, rootLifetimeMs, nowMs) : undefined;
  directory.writeSettings();
  return { directory, root };
}

export interface TenantRequest {
  readonly tenant: TenantId;
  readonly trustDomain: string;
  /** Names that its server certificates may have, with everything below them; empty: any. */
  readonly permittedDnsNames: readonly string[];
  /** Whether the CA certificate itself holds verifiers to those names and the trust domain. */
  readonly constrained: boolean;
  readonly keyAlgorithm: KeyAlgorithm;
  readonly lifetimeMs: number;
  readonly crlLifetimeMs: number;
}

/** Makes a tenant with its first CA, an empty revocation list and the bundle. Call it under the lock. Throws a PkiProblem. */
export function createTenant(
  directory: PkiDirectory,
  request: TenantRequest,
  passphrase: Passphrase | undefined,
  nowMs: number,
): Ledger {
  const { tenant, trustDomain, permittedDnsNames, keyAlgorithm, lifetimeMs, crlLifetimeMs } = request;
  if (existsSync(directory.ledgerFile(tenant))) {
    throw refused(`tenant ${tenant} is there already`, `a new CA for it: bulkhead pki rotate --tenant ${tenant} --ca`);
  }
  const domain = parseSpiffeId(`spiffe://${trustDomain}`);
  if (domain?.path !== '' || domain.trustDomain !== trustDomain) {
    throw refused(`${trustDomain} is no trust domain`, 'lower-case letters, digits, dots, hyphens and underscores');
  }
  const other = directory.tenants.find((each) => directory.readLedger(each).trustDomain === trustDomain);
  if (other !== undefined) {
    throw refused(`trust domain ${trustDomain} is tenant ${other}'s`, 'give each tenant a trust domain of its own');
  }
  const badName = permittedDnsNames.find((name) => parseDnsName(name) === undefined || name.startsWith('*'));
  if (badName !== undefined) throw refused(`${badName} is no DNS name`, 'such as models.example');
  if (!request.constrained && permittedDnsNames.length > 0) {
    throw refused('names are permitted and constraints are off', 'leave one of the two options away');
  }
  requireLifetime('a CA', lifetimeMs, { from: 86_400_000, to: MAX_CA_LIFETIME_MS });
  requireLifetime('a revocation list', crlLifetimeMs, { from: MIN_CRL_LIFETIME_MS, to: MAX_CRL_LIFETIME_MS });
  const empty: Ledger = {
    ...{ tenant, trustDomain, keyAlgorithm, crlLifetimeMs, crlNumber: 0, authorities: [], certificates: [] },
    constrained: request.constrained ? { dnsNames: permittedDnsNames } : undefined,
  };
  makeDirectory(directory.tenantFolder(tenant));
  const authority = createAuthority(directory, empty, { state: 'signing', lifetimeMs, nowMs }, passphrase);
  return settle(directory, { ...empty, authorities: [authority] }, passphrase, nowMs);
}
