/**
 * Options that the commands of `bulkhead pki` share, and how each is read.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { KeyAlgorithm } from '../identity/issue.ts';
import { parseTenantId, type TenantId } from '../kernel/ids.ts';
import { parseDurationMs } from '../kernel/units.ts';
import { PkiProblem } from '../pki/problem.ts';
import type { CliIo } from './io.ts';

export interface CommonOptions {
  readonly directory: string;
  readonly passphraseFile?: string;
  readonly json?: true;
}

/** A passphrase for scripts that cannot keep a file; `--passphrase-file` goes before it. */
export const PASSPHRASE_VARIABLE = 'BULKHEAD_PKI_PASSPHRASE';

/** Adds `--directory`, `--passphrase-file` and `--json`. */
export function withCommonOptions(command: Command): Command {
  return withPassphraseOption(withDirectoryOption(command)).option('--json', 'print the result as one JSON object');
}

export function withDirectoryOption(command: Command): Command {
  return command.option('-d, --directory <dir>', 'the PKI directory, made by `bulkhead pki init`', 'pki');
}

export function withPassphraseOption(command: Command): Command {
  return command.option(
    '--passphrase-file <file>',
    `file with the passphrase of the CA keys; or set ${PASSPHRASE_VARIABLE}`,
  );
}

export function keyAlgorithmOption(text: string): Option {
  return new Option('--key-algorithm <algorithm>', text).choices(['P-256', 'Ed25519'] satisfies KeyAlgorithm[]);
}

/** Adds a passphrase for the keys of leafs, which is never that of the CA. */
export const KEY_PASSPHRASE = [
  '--key-passphrase-file <file>',
  'encrypt the new private keys with this; a sidecar reads them only in clear',
] as const;

export function durationOption(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === undefined || !Number.isInteger(ms))
    throw new InvalidArgumentError('Not a duration such as 15m, 24h or 90d.');
  return ms;
}

export function tenantOption(text: string): TenantId {
  const tenant = parseTenantId(text);
  if (tenant === undefined) {
    throw new InvalidArgumentError('Not a tenant’s id: lower-case letters, digits and hyphens, at most 63.');
  }
  return tenant;
}

/** Runs a command and says what was wrong: exit code 1 when it was refused, 2 when the directory or the system is at fault. */
export async function saying(io: CliIo, run: () => void | Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (error instanceof PkiProblem) {
      io.err(`error: ${error.message}\n  fix: ${error.fix}\n`);
      io.exit(error.kind === 'refused' ? 1 : 2);
    } else if (error instanceof Error && 'syscall' in error) {
      io.err(`error: ${error.message}\n`);
      io.exit(2);
    } else throw error;
  }
}
