/**
 * Brings the files that follow from a tenant's ledger up to it: the bundle of the CAs to trust, and their revocation lists.
 *
 * The ledger is written first. A command that is killed in between leaves a ledger that says more than the files, and the next one
 * puts them right.
 */
import { existsSync } from 'node:fs';
import { BACKDATE_MS } from '../identity/issue.ts';
import { encodeRevocationList } from '../identity/revocation-list.ts';
import { type Authority, readAuthority, removeAuthorityKey } from './authorities.ts';
import type { PkiDirectory } from './directory.ts';
import { MAX_PEM_BYTES, PUBLIC_MODE, readTextFile, writeFileDurably } from './files.ts';
import type { AuthorityEntry, CertificateEntry, Ledger } from './ledger.ts';
import type { Passphrase } from './private-key.ts';

/** What has ended is forgotten after so long. */
const REMEMBER_ENDED_MS = 30 * 86_400_000;

/** Writes the ledger and all that follows from it. Gives back the ledger as it was written. */
export function settle(
  directory: PkiDirectory,
  ledger: Ledger,
  passphrase: Passphrase | undefined,
  nowMs: number,
): Ledger {
  const settled = afterTime(ledger, nowMs);
  // Read before anything is written: a missing key or a wrong passphrase changes nothing.
  const trusted = settled.authorities
    .filter((entry) => entry.state !== 'retired')
    .map((entry) => ({ entry, authority: readAuthority(directory, settled, entry, passphrase) }));
  directory.writeLedger(settled);
  const bundle = trusted.map(({ authority }) => authority.certificate.toString()).join('');
  writeIfChanged(directory.bundleFile(settled.tenant), bundle);
  const lists = trusted.map(({ entry, authority }) => revocationList(settled, entry, authority, nowMs));
  writeFileDurably(directory.crlFile(settled.tenant), lists.join(''), PUBLIC_MODE);
  for (const { id, state } of settled.authorities) if (state === 'retired') removeAuthorityKey(directory, settled, id);
  return settled;
}

/** Whoever watches the bundle loads it anew only when it says something else. */
function writeIfChanged(file: string, text: string): void {
  if (existsSync(file) && readTextFile(file, MAX_PEM_BYTES) === text) return;
  writeFileDurably(file, text, PUBLIC_MODE);
}

/** What time alone changes: a retiring CA whose certificates have all ended is done. Pure. */
export function afterTime(ledger: Ledger, nowMs: number): Ledger {
  const certificates = ledger.certificates.filter(({ notAfterMs }) => notAfterMs + REMEMBER_ENDED_MS > nowMs);
  const authorities = ledger.authorities.map((authority): AuthorityEntry => {
    const living = certificates.some((each) => each.authority === authority.id && each.notAfterMs > nowMs);
    return authority.state === 'retiring' && !living ? { ...authority, state: 'retired' } : authority;
  });
  return { ...ledger, certificates, authorities, crlNumber: ledger.crlNumber + 1 };
}

function revocationList(ledger: Ledger, entry: AuthorityEntry, authority: Authority, nowMs: number): string {
  // §3.3: an entry stays until it has been on a list that came after the certificate's end.
  const revoked = ledger.certificates.filter(
    (each) => each.authority === entry.id && each.notAfterMs + ledger.crlLifetimeMs > nowMs,
  );
  const template = {
    number: ledger.crlNumber,
    // As with certificates: to a verifier whose clock is behind, a list of the future is none.
    thisUpdate: new Date(nowMs - BACKDATE_MS),
    nextUpdate: new Date(nowMs + ledger.crlLifetimeMs),
    revoked: revoked.flatMap((each) => revokedEntry(each)),
  };
  return encodeRevocationList(template, authority);
}

function revokedEntry({ serial, revoked }: CertificateEntry): Parameters<typeof encodeRevocationList>[0]['revoked'] {
  if (revoked === undefined) return [];
  return [{ serial: serialOctets(serial), at: new Date(revoked.atMs), reason: revoked.reason }];
}

/** Two's complement: a serial is positive, so its first bit is clear. */
function serialOctets(hex: string): Buffer {
  const octets = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return octets.readUInt8(0) >= 0x80 ? Buffer.concat([Buffer.from([0]), octets]) : octets;
}
