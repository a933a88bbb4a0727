#!/usr/bin/env node
/**
 * The entry of the command line.
 */
import { CommanderError } from 'commander';
import { processIo } from './cli/io.ts';
import { createProgram } from './cli/program.ts';

try {
  await createProgram(processIo).parseAsync();
} catch (cause) {
  // The program has said what was wrong with its arguments; everything else is a fault of ours.
  if (!(cause instanceof CommanderError)) throw cause;
  process.exitCode = cause.exitCode;
}
