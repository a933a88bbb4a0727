/**
 * `bulkhead pki revoke` and `bulkhead pki crl`: certificates taken back, and the lists that say so.
 */
import { type Command, Option } from 'commander';
import { REVOCATION_REASON } from '../identity/revocation-reason.ts';
import type { TenantId } from '../kernel/ids.ts';
import type { CliIo } from './io.ts';
import { type CommonOptions, saying, tenantOption, withCommonOptions } from './pki-options.ts';

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
      saying(io, async () => (await import('./certificates/revoke.ts')).takeBack(target, options, io)),
    );
  withCommonOptions(pki.command('crl'))
    .description('write a tenant’s revocation lists anew, before they end')
    .requiredOption('-t, --tenant <name>', 'whose', tenantOption)
    .addHelpText(
      'after',
      '\nEvery other change of the tenant writes them too.\n\nExample:\n  $ bulkhead pki crl --tenant acme',
    )
    .action((options: CommonOptions & { readonly tenant: TenantId }) =>
      saying(io, async () => (await import('./certificates/revoke.ts')).renewLists(options, io)),
    );
}
