/**
 * The CAs of a directory: made, read with their keys, and held against the ledger.
 */
import { type KeyObject, X509Certificate } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Signer } from '../identity/certificate-encoder.ts';
import { BACKDATE_MS, newKeyPair, randomSerial, signCa } from '../identity/issue.ts';
import type { PkiDirectory } from './directory.ts';
import { MAX_PEM_BYTES, makeDirectory, PUBLIC_MODE, readTextFile, writeFileDurably } from './files.ts';
import type { AuthorityEntry, Ledger } from './ledger.ts';
import { type Passphrase, readPrivateKey, writePrivateKey } from './private-key.ts';
import { damaged, refused } from './problem.ts';

/** A CA that can sign. */
export interface Authority extends Signer {
  readonly certificate: X509Certificate;
  readonly privateKey: KeyObject;
}

/** Makes the root, which signs the tenants' CAs and nothing else. */
export function createRoot(
  directory: PkiDirectory,
  passphrase: Passphrase | undefined,
  lifetimeMs: number,
  nowMs: number,
): X509Certificate {
  const { publicKey, privateKey } = newKeyPair(directory.settings.keyAlgorithm);
  const certPem = signCa(
    { commonName: 'Bulkhead root CA', pathLength: 1, publicKey, ...validity(nowMs, nowMs + lifetimeMs) },
    { certificate: undefined, privateKey },
  );
  writeAuthority(join(directory.path, 'root'), certPem, privateKey, passphrase);
  return new X509Certificate(certPem);
}

/** Makes a tenant's CA with its files, and the ledger's entry for it. */
export function createAuthority(
  directory: PkiDirectory,
  ledger: Ledger,
  request: { readonly state: 'next' | 'signing'; readonly lifetimeMs: number; readonly nowMs: number },
  passphrase: Passphrase | undefined,
): AuthorityEntry {
  if (directory.settings.sealed && passphrase === undefined) {
    throw refused(
      'the keys of this directory are encrypted, and there is no passphrase',
      'name the file with it: --passphrase-file FILE, or set BULKHEAD_PKI_PASSPHRASE',
    );
  }
  const root = directory.settings.root ? readRoot(directory, passphrase) : undefined;
  const { publicKey, privateKey } = newKeyPair(ledger.keyAlgorithm);
  const id = Math.max(0, ...ledger.authorities.map((authority) => authority.id)) + 1;
  const end = Math.min(request.nowMs + request.lifetimeMs, root?.certificate.validToDate.getTime() ?? Infinity);
  const { constrained } = ledger;
  const certPem = signCa(
    {
      commonName: `Bulkhead CA ${id} of tenant ${ledger.tenant}`,
      publicKey,
      ...validity(request.nowMs, end),
      ...(constrained === undefined
        ? {}
        : { nameConstraints: { dns: constrained.dnsNames, uriHosts: [ledger.trustDomain] } }),
    },
    root ?? { certificate: undefined, privateKey },
  );
  writeAuthority(folderOf(directory, ledger, id), certPem, privateKey, passphrase);
  const certificate = new X509Certificate(certPem);
  return {
    id,
    state: request.state,
    serial: serialOf(certificate),
    sha256: sha256Of(certificate),
    notAfterMs: certificate.validToDate.getTime(),
  };
}

/** A CA's certificate, which must be the one that the ledger knows. Throws a PkiProblem. */
export function readAuthorityCertificate(
  directory: PkiDirectory,
  ledger: Ledger,
  entry: AuthorityEntry,
): X509Certificate {
  const file = join(folderOf(directory, ledger, entry.id), 'ca.pem');
  const certificate = readCertificate(file);
  if (sha256Of(certificate) === entry.sha256) return certificate;
  throw damaged(file, `is not the certificate of CA ${entry.id} in the ledger`, 'put it back from a backup');
}

/** A tenant's CA with its key. Throws a PkiProblem. */
export function readAuthority(
  directory: PkiDirectory,
  ledger: Ledger,
  entry: AuthorityEntry,
  passphrase: Passphrase | undefined,
): Authority {
  const certificate = readAuthorityCertificate(directory, ledger, entry);
  return matched(certificate, join(folderOf(directory, ledger, entry.id), 'ca-key.pem'), passphrase);
}

/** The root's certificate; undefined when the directory has none. */
export function readRootCertificate(directory: PkiDirectory): X509Certificate | undefined {
  return directory.settings.root ? readCertificate(join(directory.path, 'root', 'ca.pem')) : undefined;
}

/** A retired CA signs nothing any more, not even by theft. */
export function removeAuthorityKey(directory: PkiDirectory, ledger: Ledger, id: number): void {
  rmSync(join(folderOf(directory, ledger, id), 'ca-key.pem'), { force: true });
}

/** As the ledger writes it. */
export function serialOf(certificate: X509Certificate): string {
  return certificate.serialNumber.toLowerCase().replace(/^0+(?=.)/, '');
}

/** As the ledger writes it. */
export function sha256Of(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase();
}

/** Reads the first certificate of a file. Throws a PkiProblem. */
export function readCertificate(file: string): X509Certificate {
  const text = readTextFile(file, MAX_PEM_BYTES);
  try {
    return new X509Certificate(text);
  } catch {
    throw damaged(file, 'holds no certificate', 'put it back from a backup');
  }
}

/** How a new certificate's dates and number are chosen. */
export function validity(
  nowMs: number,
  notAfterMs: number,
): { readonly serial: Buffer; readonly notBefore: Date; readonly notAfter: Date } {
  return { serial: randomSerial(), notBefore: new Date(nowMs - BACKDATE_MS), notAfter: new Date(notAfterMs) };
}

function readRoot(directory: PkiDirectory, passphrase: Passphrase | undefined): Authority {
  const file = join(directory.path, 'root', 'ca-key.pem');
  if (!existsSync(file)) {
    throw refused(`the root's key is not at ${file}`, 'put it there for as long as this command runs');
  }
  return matched(readCertificate(join(directory.path, 'root', 'ca.pem')), file, passphrase);
}

function matched(certificate: X509Certificate, keyFile: string, passphrase: Passphrase | undefined): Authority {
  const privateKey = readPrivateKey(keyFile, passphrase);
  if (certificate.checkPrivateKey(privateKey)) return { certificate, privateKey };
  throw damaged(keyFile, 'is not the key of the certificate beside it', 'put it back from a backup');
}

function writeAuthority(folder: string, certPem: string, key: KeyObject, passphrase: Passphrase | undefined): void {
  makeDirectory(folder);
  writePrivateKey(join(folder, 'ca-key.pem'), key, passphrase);
  writeFileDurably(join(folder, 'ca.pem'), certPem, PUBLIC_MODE);
}

function folderOf(directory: PkiDirectory, ledger: Ledger, id: number): string {
  return join(directory.tenantFolder(ledger.tenant), 'authorities', String(id));
}
