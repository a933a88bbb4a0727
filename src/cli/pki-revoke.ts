/**
 * `bulkhead pki revoke` and `bulkhead pki crl`: certificates taken back, and the lists that say so.
 */
import { type Command, Option } from 'commander';
import { REVOCATION_REASON } from '../identity/revocation-list.ts';
import type { TenantId } from '../kernel/ids.ts';
import { PkiDirectory } from '../pki/directory.ts';
import { revocationReason } from '../pki/ledger.ts';
import { revoke } from '../pki/revoking.ts';
import { settle } from '../pki/settle.ts';
import type { CliIo } from './io.ts';
import { type CommonOptions, passphraseOf, saying, tenantOption, withCommonOptions } from './pki-options.ts';
import { printJson, timeText } from './pki-report.ts';

/** Adds `pki revoke` and `pki crl`. */
export function registerPkiRevoke(pki: Command, io: CliIo): void {
  withCommonOptions(pki.command('revoke'))
    .description('revoke a certificate and write the new revocation list')
    .argument('<serial-or-file>', 'its serial number in hexadecimal, or its PEM file')
    .option('-t, --tenant <name>', 'look only there', tenantOption)
    .addOption(
      new Option('--reason <reason>', 'what the list says of it')
        .choices(Object.keys(REVOCATION_REASON))
        .default('unspecified'),
    )
    .addHelpText(
      'after',
      `
crl.pem holds one list (RFC 5280) for each CA of the bundle, for verifiers that read it.

Examples:
  $ bulkhead pki revoke pki/tenants/acme/client/trainer/chain.pem --reason keyCompromise
  $ bulkhead pki revoke 5b1e0c5a7f1f4d0b9d6c2f0e7a3b8c41 --tenant acme`,
    )
    .action((target: string, options: CommonOptions & { readonly tenant?: TenantId; readonly reason: string }) =>
      saying(io, () => takeBack(target, options, io)),
    );
  withCommonOptions(pki.command('crl'))
    .description('write a tenant’s revocation lists anew, before they end')
    .requiredOption('-t, --tenant <name>', 'whose', tenantOption)
    .addHelpText(
      'after',
      '\nEvery other change of the tenant writes them too.\n\nExample:\n  $ bulkhead pki crl --tenant acme',
    )
    .action((options: CommonOptions & { readonly tenant: TenantId }) => saying(io, () => renewLists(options, io)));
}

async function takeBack(
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

async function renewLists(options: CommonOptions & { readonly tenant: TenantId }, io: CliIo): Promise<void> {
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
