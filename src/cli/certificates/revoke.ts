/**
 * `bulkhead pki revoke` and `bulkhead pki crl`: certificates taken back, and the lists that say so.
 */
import type { TenantId } from '../../kernel/ids.ts';
import { PkiDirectory } from '../../pki/directory.ts';
import { revocationReason } from '../../pki/ledger.ts';
import { revoke } from '../../pki/revoking.ts';
import { settle } from '../../pki/settle.ts';
import type { CliIo } from '../io.ts';
import type { CommonOptions } from '../pki-options.ts';
import { passphraseOf } from './passphrases.ts';
import { printJson, timeText } from './report.ts';

/** Revokes one certificate. */
export async function takeBack(
  target: string,
  options: CommonOptions & { readonly tenant?: TenantId; readonly reason: string },
  io: CliIo,
): Promise<void> {
  const directory = PkiDirectory.open(options.directory);
  const passphrase = passphraseOf(options);
  const reason = revocationReason(options.reason) ?? 'unspecified';
  const request = { target, tenant: options.tenant, reason };
  const { ledger, entry, already } = await directory.changing(() => revoke(directory, request, passphrase, Date.now()));
  const crl = directory.crlFile(ledger.tenant);
  const at = timeText(entry.revoked?.atMs ?? 0);
  if (options.json === true) {
    const { use, name, serial, sha256 } = entry;
    printJson(io, {
      tenant: ledger.tenant,
      use,
      name,
      serial,
      sha256,
      already,
      ...entry.revoked,
      at,
      crl,
      crlNumber: ledger.crlNumber,
    });
    return;
  }
  io.out(
    `${already ? `revoked already, at ${at}:` : 'revoked'} ${entry.use} certificate ${entry.name} of tenant ${ledger.tenant}, serial ${entry.serial}\n` +
      `  revocations  ${crl} (number ${ledger.crlNumber}, until ${timeText(Date.now() + ledger.crlLifetimeMs)})\n`,
  );
}

/** Writes the lists anew. */
export async function renewLists(options: CommonOptions & { readonly tenant: TenantId }, io: CliIo): Promise<void> {
  const directory = PkiDirectory.open(options.directory);
  const passphrase = passphraseOf(options);
  const now = Date.now();
  const ledger = await directory.changing(() =>
    settle(directory, directory.readLedger(options.tenant), passphrase, now),
  );
  const crl = directory.crlFile(ledger.tenant);
  const until = timeText(now + ledger.crlLifetimeMs);
  if (options.json === true)
    printJson(io, { tenant: ledger.tenant, crl, crlNumber: ledger.crlNumber, nextUpdate: until });
  else io.out(`wrote ${crl} (number ${ledger.crlNumber}, until ${until})\n`);
}
