/**
 * `bulkhead pki rotate`: successors of certificates, and of a tenant's CA.
 */
import type { Command } from 'commander';
import type { RotateOptions } from './certificates/rotate.ts';
import type { CliIo } from './io.ts';
import { durationOption, KEY_PASSPHRASE, saying, tenantOption, withCommonOptions } from './pki-options.ts';

/** Adds `pki rotate`. */
export function registerPkiRotate(pki: Command, io: CliIo): void {
  withCommonOptions(pki.command('rotate'))
    .description('issue successors of certificates with new keys, or replace a tenant’s CA')
    .argument('[names...]', 'certificates by name (default: all that are in use)')
    .requiredOption('-t, --tenant <name>', 'whose', tenantOption)
    .option('--expiring <duration>', 'only those that end within so long', durationOption)
    .option('--lifetime <duration>', 'of the new one (default: as before; of a CA 365d)', durationOption)
    .option(...KEY_PASSPHRASE)
    .option('--ca', 'a new CA: put it into the bundle beside the old one, which goes on signing')
    .option(
      '--activate',
      'with --ca: from now on the new CA signs; the old one is trusted until what it signed has ended',
    )
    .option('--no-overlap', 'with --ca: distrust the old CA at once, because its key is known to others')
    .addHelpText(
      'after',
      `
The certificate before stays valid until it ends, so nobody who still has it fails. A CA is rotated in two steps, and no call
fails if everybody has the new bundle before the second:

Examples:
  $ bulkhead pki rotate --tenant acme --expiring 8h          every hour, from cron
  $ bulkhead pki rotate --tenant acme acme.models.example    this one, now
  $ bulkhead pki rotate --tenant acme --ca                   1. give ca-bundle.pem to sidecars and clients
  $ bulkhead pki rotate --tenant acme --ca --activate        2. then let it sign; \`rotate\` renews the leafs
  $ bulkhead pki rotate --tenant acme --ca --no-overlap      the CA's key was stolen: issue everything anew`,
    )
    .action((names: readonly string[], options: RotateOptions) =>
      saying(io, async () => (await import('./certificates/rotate.ts')).rotate(names, options, io)),
    );
}
