/**
 * The soak: `node test/soak/run.ts --minutes 10 [--seed N] [--json FILE]`. Exit code 0 when everything held, 1 when not, 2 for a wrong
 * command line, 130 when it was interrupted.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runningChildren } from '../e2e/harness/child.ts';
import { reportText } from './report.ts';
import { soak } from './soak.ts';

const USAGE = 'node test/soak/run.ts [--minutes 10] [--seed N] [--json FILE]\n';

/** For the start, the last calls and the judgement. */
const GRACE_MS = 180_000;

const options = readOptions();
// Whatever is made of files is made in here, and goes with the run.
const directory = mkdtempSync(join(tmpdir(), 'bulkhead-soak-'));
process.env['TMPDIR'] = directory;
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    for (const child of runningChildren) child.signal('SIGKILL');
    process.exit(130);
  });
}
// Whatever hangs: a run has an end.
setTimeout(
  () => {
    process.stderr.write('the soak did not come to its end in time\n');
    for (const child of runningChildren) child.signal('SIGKILL');
    process.exit(1);
  },
  options.minutes * 60_000 + GRACE_MS,
).unref();
const say = (text: string): void => void process.stdout.write(`${text}\n`);
try {
  const report = await soak({ ...options, say });
  say(reportText(report));
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 2)}\n`);
  process.exitCode = report.ok ? 0 : 1;
} catch (cause) {
  process.stderr.write(`${cause instanceof Error ? cause.stack : String(cause)}\n`);
  process.exitCode = 1;
} finally {
  for (const child of runningChildren) child.signal('SIGKILL');
}

function readOptions(): { readonly minutes: number; readonly seed: number; readonly json: string | undefined } {
  try {
    const { values } = parseArgs({
      options: { minutes: { type: 'string' }, seed: { type: 'string' }, json: { type: 'string' } },
    });
    const minutes = Number(values.minutes ?? 10);
    const seed = Number(values.seed ?? Date.now() % 1_000_000);
    if (!(minutes >= 0.4 && minutes <= 24 * 60) || !Number.isSafeInteger(seed)) throw new Error('a number is not one');
    return { minutes, seed, json: values.json };
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n${USAGE}`);
    process.exit(2);
  }
}
