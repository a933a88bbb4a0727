/**
 * `bulkhead pki init` and `bulkhead pki tenant`: the directory, and the CA of a tenant.
 */
import type { Command } from 'commander';
import type { TenantId } from '../kernel/ids.ts';
import type { InitOptions, TenantOptions } from './certificates/ca.ts';
import type { CliIo } from './io.ts';
import {
  durationOption,
  keyAlgorithmOption,
  saying,
  tenantOption,
  withCommonOptions,
  withPassphraseOption,
} from './pki-options.ts';

/** Adds `pki init` and `pki tenant`. */
export function registerPkiCa(pki: Command, io: CliIo): void {
  withPassphraseOption(pki.command('init'))
    .description('make a PKI directory')
    .argument('<dir>', 'a directory that is not there yet, or is empty')
    .option('--root', 'make a root CA above the tenants’ CAs; only making a CA needs its key')
    .option('--root-lifetime <duration>', 'how long the root CA lives', durationOption, durationOption('3650d'))
    .addOption(keyAlgorithmOption('of every key that is made in it').default('P-256'))
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
With a passphrase the keys of all CAs are encrypted (PKCS #8, PBES2, PBKDF2 with 600,000 rounds, AES-256), and whoever
issues needs it. A sidecar never needs a CA's key: keep this directory away from it, and give it the files it names.

With --root, root/ca-key.pem may be kept offline: it is needed only by \`pki tenant\` and \`pki rotate --ca\`. Tenants'
clients are still held against their own tenant's CA, never against the root.

Examples:
  $ bulkhead pki init pki
  $ openssl rand -base64 32 > passphrase && bulkhead pki init pki --root --passphrase-file passphrase`,
    )
    .action((path: string, options: InitOptions) =>
      saying(io, async () => (await import('./certificates/ca.ts')).init(path, options, io)),
    );
  withCommonOptions(pki.command('tenant'))
    .description('make a tenant and its certificate authority')
    .argument('<name>', 'the tenant’s id, as in its configuration', tenantOption)
    .option('--trust-domain <domain>', 'SPIFFE trust domain of its clients, its alone (default: NAME.internal)')
    .option('--permit-dns <names...>', 'its servers may have these names and what is below them, no others')
    .option('--no-name-constraints', 'do not write these limits into the CA, for verifiers that do not know them')
    .addOption(keyAlgorithmOption('of this tenant’s keys (default: the directory’s)'))
    .option('--lifetime <duration>', 'how long the CA lives', durationOption, durationOption('365d'))
    .option('--crl-lifetime <duration>', 'a revocation list is good for so long', durationOption, durationOption('7d'))
    .addHelpText(
      'after',
      `
The CA signs leafs only (path length 0), and by its name constraints no verifier takes a SPIFFE id of another trust
domain from it. It signs nobody else's clients: no two tenants share one.

Examples:
  $ bulkhead pki tenant acme
  $ bulkhead pki tenant globex --trust-domain globex.example --permit-dns globex.models.example`,
    )
    .action((tenant: TenantId, options: TenantOptions) =>
      saying(io, async () => (await import('./certificates/ca.ts')).makeTenant(tenant, options, io)),
    );
}
