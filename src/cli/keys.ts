/**
 * `bulkhead keys`: the life of a tenant's API keys, from the secret that is shown once to the day that it is taken back.
 */
import { type Command, InvalidArgumentError } from 'commander';
import type { CreateOptions, RotateOptions } from './api-keys/change.ts';
import type { ListOptions } from './api-keys/list.ts';
import type { CliIo } from './io.ts';
import { durationOption } from './pki-options.ts';

/** Adds `keys` with its commands to the program. */
export function registerKeys(program: Command, io: CliIo): void {
  const keys = program
    .command('keys')
    .description('create, rotate, revoke and list the API keys of a tenant, in its file')
    .addHelpText(
      'after',
      `
The file of the tenant is changed in place, in one step, and keeps its comments; a running sidecar takes it over by itself.
Only the hash of a secret is written there: the key is printed once, on standard output, and cannot be had again.

Exit code: 0 when it is done, 1 when it was refused, 2 when the file cannot be read or written.

Examples:
  $ bulkhead keys create tenants/acme.yaml nightly-batch
  $ bulkhead keys rotate tenants/acme.yaml nightly-batch --overlap 7d
  $ bulkhead keys revoke tenants/acme.yaml nightly-batch
  $ bulkhead keys list tenants/acme.yaml --expiring 14d`,
    );
  registerCreate(keys, io);
  registerRotate(keys, io);
  keys
    .command('revoke')
    .description('refuse a key from now on, with all its secrets; it stays in the file so that records can name it')
    .argument('<tenant-file>', 'the tenant’s YAML file')
    .argument('<id>', 'middle part of the key', keyId)
    .option('--json', 'print the result as one JSON object')
    .addHelpText('after', '\nExample:\n  $ bulkhead keys revoke tenants/acme.yaml nightly-batch')
    .action(async (file: string, id: string, options: { readonly json?: true }) =>
      (await import('./api-keys/change.ts')).revoke(file, id, options.json, io),
    );
  registerList(keys, io);
}

function registerCreate(keys: Command, io: CliIo): void {
  withSecretOptions(keys.command('create'))
    .description('create a key, print it, and write its hash into the tenant’s file')
    .option('--no-expires', 'let it be good until it is revoked')
    .option('--scope <scopes...>', 'scopes that calls with it have')
    .option('--model <patterns...>', 'models that it is for, of those that its roles give: all unless it is said')
    .addHelpText(
      'after',
      `
Examples:
  $ bulkhead keys create tenants/acme.yaml nightly-batch
  $ bulkhead keys create tenants/acme.yaml nightly-batch --expires 7d --scope models:infer models:read`,
    )
    .action(async (file: string, id: string, options: CreateOptions) =>
      (await import('./api-keys/change.ts')).create(file, id, options, io),
    );
}

function registerRotate(keys: Command, io: CliIo): void {
  withSecretOptions(keys.command('rotate'))
    .description('give a key a new secret, and let the one before be good for a while')
    .option('--overlap <duration>', 'how long the secret before is good', durationOption)
    .addHelpText(
      'after',
      `
The overlap is one day unless it is said. With --overlap 0s the secret before ends at once.

Example:
  $ bulkhead keys rotate tenants/acme.yaml nightly-batch --overlap 7d`,
    )
    .action(async (file: string, id: string, options: RotateOptions) =>
      (await import('./api-keys/change.ts')).rotate(file, id, options, io),
    );
}

function withSecretOptions(command: Command): Command {
  return command
    .argument('<tenant-file>', 'the tenant’s YAML file')
    .argument('<id>', 'middle part of the key: 1 to 64 letters, digits and hyphens', keyId)
    .option('--expires <duration>', 'how long the new secret is good: 90 days unless it is said', durationOption)
    .option('--json', 'print the result as one JSON object');
}

function registerList(keys: Command, io: CliIo): void {
  keys
    .command('list')
    .description('list keys: what ends when, what is revoked')
    .argument('<tenant-file>', 'the tenant’s YAML file')
    .option('--expiring <duration>', 'only what is not revoked and ends within so long, or has ended', durationOption)
    .option('--uses <directory>', 'say when each was last used, as written in the directory of the audit log')
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      `
rotating: the secret before is good, too. No secret and no hash is printed.

Exit code: 3 when --expiring found something, so that a script can act on it.

Examples:
  $ bulkhead keys list tenants/acme.yaml
  $ bulkhead keys list tenants/acme.yaml --uses /var/lib/bulkhead/audit
  $ bulkhead keys list tenants/acme.yaml --expiring 14d --json | jq '.keys[].id'`,
    )
    .action(async (file: string, options: ListOptions) => (await import('./api-keys/list.ts')).list(file, options, io));
}

function keyId(text: string): string {
  if (!/^[A-Za-z0-9-]{1,64}$/.test(text)) {
    throw new InvalidArgumentError('Not an id: 1 to 64 letters, digits and hyphens.');
  }
  return text;
}
