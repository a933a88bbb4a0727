/**
 * Issues leaf certificates: entered in the ledger first, then written beside the one before, then pointed to in one step.
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { AltName } from '../identity/certificate-encoder.ts';
import { type KeyAlgorithm, type LeafUse, newKeyPair, signLeaf } from '../identity/issue.ts';
import { readSigningRequest } from '../identity/signing-request.ts';
import { type Authority, readAuthority, serialOf, sha256Of, validity } from './authorities.ts';
import type { PkiDirectory } from './directory.ts';
import { MAX_PEM_BYTES, makeDirectory, PUBLIC_MODE, pointLink, readTextFile, writeFileDurably } from './files.ts';
import type { AuthorityEntry, CertificateEntry, Ledger } from './ledger.ts';
import { durationText, MAX_LEAF_LIFETIME_MS, MIN_LEAF_LIFETIME_MS, requireLifetime } from './lifetimes.ts';
import { type Passphrase, writePrivateKey } from './private-key.ts';
import { refused } from './problem.ts';
import { settle } from './settle.ts';

export interface LeafOrder {
  readonly use: LeafUse;
  readonly name: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly spiffeId: string | undefined;
  readonly lifetimeMs: number;
  readonly keyAlgorithm: KeyAlgorithm;
  /** Of somebody else's request; undefined: a key is made. */
  readonly foreignKey: KeyObject | undefined;
}

/** A certificate and where its files are. */
export interface IssuedLeaf {
  readonly entry: CertificateEntry;
  readonly chainFile: string;
  /** undefined: its key is not here. */
  readonly keyFile: string | undefined;
}

interface SignedLeaf {
  readonly entry: CertificateEntry;
  readonly chainPem: string;
  readonly privateKey: KeyObject | undefined;
}

/** Passphrases: of the CA's key, and of the leafs' keys. */
export interface Passphrases {
  readonly authority: Passphrase | undefined;
  readonly leaf: Passphrase | undefined;
}

/** Issues what was ordered, all or nothing. Call it under the lock. Throws a PkiProblem. */
export function issueLeafs(
  directory: PkiDirectory,
  ledger: Ledger,
  orders: readonly LeafOrder[],
  passphrases: Passphrases,
  nowMs: number,
): readonly IssuedLeaf[] {
  const signing = signingEntry(ledger);
  for (const order of orders) requireIssuable(ledger, signing, order, nowMs);
  const authority = readAuthority(directory, ledger, signing, passphrases.authority);
  const above = directory.settings.root ? authority.certificate.toString() : '';
  const signed = orders.map((order) => sign(order, authority, signing, above, passphrases.leaf !== undefined, nowMs));
  const certificates = [...ledger.certificates, ...signed.map(({ entry }) => entry)];
  settle(directory, { ...ledger, certificates }, passphrases.authority, nowMs);
  return signed.map((leaf) => write(directory, ledger, leaf, passphrases.leaf));
}

/** The key of a request file. Throws a PkiProblem when it is none, is not proven to be the requester's, or is weak. */
export function readRequestKey(file: string): KeyObject {
  const key = readSigningRequest(readTextFile(file, MAX_PEM_BYTES));
  if (key.ok) return key.value;
  throw refused(`${file} ${key.error}`, 'make one: openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 …');
}

/** The CA that signs now. */
export function signingEntry(ledger: Ledger): AuthorityEntry {
  const entry = ledger.authorities.find(({ state }) => state === 'signing');
  if (entry !== undefined) return entry;
  throw refused(`tenant ${ledger.tenant} has no CA that signs`, 'put its ledger back from a backup');
}

/** Where the files of a leaf are; the directory is a link to its newest version. */
export function leafFolder(directory: PkiDirectory, ledger: Ledger, leaf: Pick<LeafOrder, 'use' | 'name'>): string {
  return join(directory.tenantFolder(ledger.tenant), leaf.use, leaf.name);
}

function requireIssuable(ledger: Ledger, signing: AuthorityEntry, order: LeafOrder, nowMs: number): void {
  const { tenant } = ledger;
  requireLifetime('a leaf certificate', order.lifetimeMs, { from: MIN_LEAF_LIFETIME_MS, to: MAX_LEAF_LIFETIME_MS });
  if (nowMs + order.lifetimeMs > signing.notAfterMs) {
    throw refused(
      `the CA of tenant ${tenant} ends at ${new Date(signing.notAfterMs).toISOString()}, before a certificate of ${durationText(order.lifetimeMs)} would`,
      `give it a new CA: bulkhead pki rotate --tenant ${tenant} --ca`,
    );
  }
  const before = ledger.certificates.findLast(({ use, name }) => use === order.use && name === order.name);
  if (before === undefined || identityOf(before) === identityOf(order)) return;
  throw refused(
    `${order.use} certificate ${order.name} of tenant ${tenant} is for ${identityOf(before)}`,
    'give the new one a name of its own: --name NAME',
  );
}

function identityOf({
  spiffeId,
  dnsNames,
  ipAddresses,
}: Pick<LeafOrder, 'spiffeId' | 'dnsNames' | 'ipAddresses'>): string {
  return spiffeId ?? dnsNames[0] ?? ipAddresses[0] ?? '';
}

function sign(
  order: LeafOrder,
  authority: Authority,
  { id }: AuthorityEntry,
  above: string,
  sealed: boolean,
  nowMs: number,
): SignedLeaf {
  const { foreignKey, ...known } = order;
  const pair = foreignKey === undefined ? newKeyPair(order.keyAlgorithm) : undefined;
  const publicKey = foreignKey ?? pair?.publicKey;
  if (publicKey === undefined) throw new TypeError('a leaf has a key');
  const times = validity(nowMs, nowMs + order.lifetimeMs);
  const certPem = signLeaf(authority, { use: order.use, publicKey, subjectAltNames: altNames(order), ...times });
  const certificate = new X509Certificate(certPem);
  const entry: CertificateEntry = {
    ...known,
    serial: serialOf(certificate),
    sha256: sha256Of(certificate),
    authority: id,
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
    key: pair === undefined ? 'elsewhere' : sealed ? 'sealed' : 'here',
    revoked: undefined,
  };
  return { entry, chainPem: certPem + above, privateKey: pair?.privateKey };
}

function altNames({ spiffeId, dnsNames, ipAddresses }: LeafOrder): readonly AltName[] {
  return [
    ...(spiffeId === undefined ? [] : [{ kind: 'uri', uri: spiffeId } as const]),
    ...dnsNames.map((name) => ({ kind: 'dns', name }) as const),
    ...ipAddresses.map((address) => ({ kind: 'ip', address }) as const),
  ];
}

function write(
  directory: PkiDirectory,
  ledger: Ledger,
  leaf: SignedLeaf,
  passphrase: Passphrase | undefined,
): IssuedLeaf {
  const { entry, chainPem, privateKey } = leaf;
  const link = leafFolder(directory, ledger, entry);
  const versions = join(directory.tenantFolder(ledger.tenant), entry.use, '.versions', entry.name);
  const folder = join(versions, entry.serial);
  makeDirectory(folder);
  if (privateKey !== undefined) writePrivateKey(join(folder, 'key.pem'), privateKey, passphrase);
  writeFileDurably(join(folder, 'chain.pem'), chainPem, PUBLIC_MODE);
  pointLink(link, join('.versions', entry.name, entry.serial));
  // The version before stays for whoever is just reading it; what is older goes.
  const before = ledger.certificates.findLast(({ use, name }) => use === entry.use && name === entry.name)?.serial;
  for (const old of readdirSync(versions)) {
    if (old !== entry.serial && old !== before) rmSync(join(versions, old), { recursive: true });
  }
  return {
    entry,
    chainFile: join(link, 'chain.pem'),
    keyFile: privateKey === undefined ? undefined : join(link, 'key.pem'),
  };
}
