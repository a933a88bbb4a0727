/**
 * `bulkhead version`.
 */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { CliIo } from './io.ts';

/** The version in package.json. */
export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  if (
    typeof manifest === 'object' &&
    manifest !== null &&
    'version' in manifest &&
    typeof manifest.version === 'string'
  ) {
    return manifest.version;
  }
  throw new Error('package.json has no version');
}

/** Adds `version` to the program. */
export function registerVersion(program: Command, io: CliIo): void {
  program
    .command('version')
    .description('print the version of Bulkhead and of the Node.js that runs it')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExample:\n  $ bulkhead version --json')
    .action((options: { readonly json?: true }) => {
      const { node, openssl } = process.versions;
      const version = packageVersion();
      if (options.json === true) io.out(`${JSON.stringify({ bulkhead: version, node, openssl })}\n`);
      else io.out(`bulkhead ${version} (Node.js ${node}, OpenSSL ${openssl})\n`);
    });
}
