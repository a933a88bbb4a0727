/**
 * `bulkhead pki issue`: certificates of a server or of clients.
 */
import type { Command } from 'commander';
import type { IssueOptions } from './certificates/issue.ts';
import type { CliIo } from './io.ts';
import {
  durationOption,
  KEY_PASSPHRASE,
  keyAlgorithmOption,
  saying,
  tenantOption,
  withCommonOptions,
} from './pki-options.ts';

/** Adds `pki issue`. */
export function registerPkiIssue(pki: Command, io: CliIo): void {
  withCommonOptions(pki.command('issue'))
    .description('issue a server’s certificate, or clients’ certificates')
    .requiredOption('-t, --tenant <name>', 'whose CA signs', tenantOption)
    .option('--server <dns...>', 'one certificate for a server of these names; the first may be a wildcard')
    .option('--ip <addresses...>', 'addresses of that server')
    .option('--client <id...>', 'a certificate for each client: a path in the trust domain, or the whole SPIFFE id')
    .option('--name <name>', 'name of the certificate’s directory (default: from its first name)')
    .option('--lifetime <duration>', 'how long it lives, 5m to 397d', durationOption, durationOption('24h'))
    .addOption(keyAlgorithmOption('of the new key (default: the tenant’s)'))
    .option('--csr <file>', 'sign the key of this request instead of making one')
    .option(...KEY_PASSPHRASE)
    .addHelpText(
      'after',
      `
Files are replaced in one step: server/NAME and client/NAME are links to a directory with chain.pem and key.pem, and a sidecar that
watches them takes both. With --csr the request must be signed by its own key; its names and extensions do not count.

Examples:
  $ bulkhead pki issue --tenant acme --server acme.models.example
  $ bulkhead pki issue --tenant acme --client trainer batch/nightly --lifetime 1h
  $ bulkhead pki issue --tenant acme --client spiffe://acme.example/edge --csr edge.csr`,
    )
    .action((options: IssueOptions) =>
      saying(io, async () => (await import('./certificates/issue.ts')).issue(options, io)),
    );
}
