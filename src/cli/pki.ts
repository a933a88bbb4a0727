/**
 * `bulkhead pki`: issues the certificates of tenants, for whoever has no CA of their own.
 */
import type { Command } from 'commander';
import type { CliIo } from './io.ts';
import { registerPkiCa } from './pki-ca.ts';
import { registerPkiIssue } from './pki-issue.ts';
import { registerPkiList } from './pki-list.ts';
import { registerPkiRevoke } from './pki-revoke.ts';
import { registerPkiRotate } from './pki-rotate.ts';

/** Adds `pki` with its commands to the program. */
export function registerPki(program: Command, io: CliIo): void {
  const pki = program
    .command('pki')
    .description('issue, rotate and revoke certificates: one certificate authority for each tenant')
    .addHelpText(
      'after',
      `
Exit code of every command: 0 when it is done, 1 when it was refused, 2 when the directory is damaged or cannot be read.
Commands may run at the same time; each waits for the one before.

Examples:
  $ bulkhead pki init pki                                       a directory for it
  $ bulkhead pki tenant acme --trust-domain acme.example        a tenant and its CA
  $ bulkhead pki issue --tenant acme --server acme.models.example
  $ bulkhead pki issue --tenant acme --client batch/trainer     spiffe://acme.example/batch/trainer
  $ bulkhead pki rotate --tenant acme --expiring 8h             from cron: what ends soon gets a successor
  $ bulkhead pki revoke pki/tenants/acme/client/batch_trainer/chain.pem
  $ bulkhead pki list --expiring 8h                             what ends when`,
    );
  registerPkiCa(pki, io);
  registerPkiIssue(pki, io);
  registerPkiRotate(pki, io);
  registerPkiRevoke(pki, io);
  registerPkiList(pki, io);
}
