/**
 * Usage as it stands in a directory, whether or not a sidecar is running there: what was saved, and what its records say since. Nothing
 * is written.
 */
import { systemClock } from '../kernel/clock.ts';
import { RollUp } from './roll-up.ts';

/** A running sidecar may save, seal and remove while we read: then what is missing is there at the next look. */
const ATTEMPTS = 3;

export interface StoredUsage {
  /** Close it. */
  readonly rollUp: RollUp;
  /** What is not as it should be. */
  readonly warnings: readonly string[];
}

/** Reads an audit log's directory. Throws what the file system throws. */
export async function readStoredUsage(auditDirectory: string): Promise<StoredUsage> {
  for (let attempt = 1; ; attempt++) {
    const warnings: string[] = [];
    const rollUp = new RollUp({
      auditDirectory,
      // A row more or less is of no weight here; whoever saves them has a limit.
      maxRows: () => MAX_ROWS,
      now: () => systemClock.now(),
      warn: (what) => warnings.push(what),
      readOnly: true,
    });
    await rollUp.advance();
    if (warnings.length === 0 || attempt === ATTEMPTS) return { rollUp, warnings };
    rollUp.close();
  }
}

const MAX_ROWS = 10_000;
