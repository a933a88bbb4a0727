/**
 * `bulkhead pki list`: what there is, and until when.
 */
import type { Command } from 'commander';
import type { ListOptions } from './certificates/list.ts';
import type { CliIo } from './io.ts';
import { durationOption, saying, tenantOption, withDirectoryOption } from './pki-options.ts';

/** Adds `pki list`. */
export function registerPkiList(pki: Command, io: CliIo): void {
  withDirectoryOption(pki.command('list'))
    .description('list CAs and certificates: what ends when, what is revoked')
    .option('-t, --tenant <name>', 'of this tenant only', tenantOption)
    .option('--expiring <duration>', 'only what is in use and ends within so long, or has ended', durationOption)
    .option('--all', 'also what has a successor or is no longer trusted; what ended is remembered for 30 days')
    .option('--json', 'print the result as one JSON object, always with everything that it knows')
    .addHelpText(
      'after',
      `
It reads only, and needs no passphrase.

Exit code: 3 when --expiring found something, so that a script can act on it.

Examples:
  $ bulkhead pki list
  $ bulkhead pki list --expiring 8h > /dev/null || echo "rotate now"
  $ bulkhead pki list --json | jq '.items[] | select(.state == "revoked")'`,
    )
    .action((options: ListOptions) =>
      saying(io, async () => (await import('./certificates/list.ts')).list(options, io)),
    );
}
