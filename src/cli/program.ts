/**
 * The command line: one file per command, put together here.
 */
import { Command, CommanderError } from 'commander';
import { registerAudit } from './audit.ts';
import { registerCheck } from './check.ts';
import { registerConfigSchema } from './config-schema.ts';
import { registerExplain } from './explain.ts';
import { registerHealth } from './health.ts';
import { registerInject } from './inject.ts';
import { type CliIo, processIo } from './io.ts';
import { registerKeys } from './keys.ts';
import { registerPki } from './pki.ts';
import { registerRun } from './run.ts';
import { registerUsage } from './usage.ts';
import { packageVersion, registerVersion } from './version.ts';

/** Builds the program. Its commands write through `io` only; wrong arguments end in a CommanderError. */
export function createProgram(io: CliIo): Command {
  const program = new Command('bulkhead')
    .description('The gRPC sidecar that makes one ML model server safe to share between tenants.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text) })
    .exitOverride()
    .showHelpAfterError('(bulkhead --help says more)')
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      `
Examples:
  $ bulkhead check --config bulkhead.yaml        what is wrong with a configuration, and how to mend it
  $ bulkhead run --config bulkhead.yaml          run the sidecar
  $ bulkhead health                              ask a running sidecar whether it is ready
  $ bulkhead explain --config … --tenant acme …  why a call is refused, and what would allow it
  $ bulkhead usage --tenant acme --since 30d     what a tenant has used
  $ bulkhead inject -f deployment.yaml           add the sidecar to a manifest
  $ bulkhead pki list                            the tenants' certificates, and until when
  $ bulkhead keys list tenants/acme.yaml         a tenant's API keys, and until when
  $ bulkhead config schema --tenant              the JSON Schema of a tenant's file

\`bulkhead COMMAND --help\` says more about a command.`,
    );
  registerRun(program, io);
  registerCheck(program, io);
  registerConfigSchema(program, io);
  registerHealth(program, io);
  registerInject(program, io);
  registerAudit(program, io);
  registerUsage(program, io);
  registerExplain(program, io);
  registerPki(program, io);
  registerKeys(program, io);
  registerVersion(program, io);
  return program;
}

/** Runs the command that the process was called with. Wrong arguments end in their exit code, said by the program itself. */
export async function runProgram(): Promise<void> {
  try {
    await createProgram(processIo).parseAsync();
  } catch (cause) {
    if (!(cause instanceof CommanderError)) throw cause;
    process.exitCode = cause.exitCode;
  }
}
