/**
 * Runs the program as a shell would, and keeps what it says.
 */
import { CommanderError } from 'commander';
import type { CliIo } from '../../src/cli/io.ts';
import { createProgram } from '../../src/cli/program.ts';

export interface CliRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `bulkhead` with these arguments. */
export async function runCli(args: readonly string[], colours = false): Promise<CliRun> {
  const run = { code: 0, out: '', err: '' };
  const io: CliIo = {
    out: (text) => void (run.out += text),
    err: (text) => void (run.err += text),
    exit: (code) => void (run.code = code),
    colours,
  };
  try {
    await createProgram(io).parseAsync(args, { from: 'user' });
  } catch (cause) {
    if (!(cause instanceof CommanderError)) throw cause;
    run.code = cause.exitCode;
  }
  return run;
}
