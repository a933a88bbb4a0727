/**
 * What a command does to the world outside: it writes text and sets the exit code.
 */
export interface CliIo {
  /** Standard output: what was asked for. */
  out(text: string): void;
  /** Standard error: what is to be known beside it. */
  err(text: string): void;
  /** Sets the process's exit code; the command still returns. */
  exit(code: number): void;
  /** Whether standard output is a terminal that shows colours. */
  readonly colours: boolean;
}

/** `bulkhead … | head`: whoever read us has seen enough. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

/** The process's own streams. */
export const processIo: CliIo = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  exit: (code) => {
    process.exitCode = code;
  },
  colours: process.stdout.isTTY === true && process.stdout.hasColors(),
};
