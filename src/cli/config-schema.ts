/**
 * `bulkhead config schema`.
 */
import type { Command } from 'commander';
import { jsonSchema } from '../config/json-schema.ts';
import type { CliIo } from './io.ts';

/** Adds `config schema` to the program. */
export function registerConfigSchema(program: Command, io: CliIo): void {
  const config = program.command('config').description('about the configuration files');
  config
    .command('schema')
    .description('print the JSON Schema of the configuration files, for editors and generators')
    .option('--tenant', 'the schema of a tenant’s file instead of the main file’s')
    .option('--deny-list', 'the schema of a deny list for all tenants (revocation.denyList)')
    .addHelpText(
      'after',
      `
An editor with the YAML language server completes and checks a file that begins with
  # yaml-language-server: $schema=tenant.schema.json

Examples:
  $ bulkhead config schema > bulkhead.schema.json
  $ bulkhead config schema --tenant > tenant.schema.json`,
    )
    .action(({ tenant, denyList }: { readonly tenant?: true; readonly denyList?: true }) => {
      const schema = jsonSchema(tenant === true ? 'tenant' : denyList === true ? 'deny-list' : 'main');
      io.out(`${JSON.stringify(schema, null, 2)}\n`);
    });
}
