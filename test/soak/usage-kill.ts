/**
 * The same as `test/e2e/usage-kill.test.ts`, as often as one likes, each time after another length of time:
 *
 *     node test/soak/usage-kill.ts 100
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { killedLife, recordedSums, usageSums } from '../e2e/harness/killed-lives.ts';
import { ModelUpstream } from '../e2e/harness/model-upstream.ts';

const kills = Number(process.argv[2] ?? 100);
/** A directory of many lives is read again after each: it is left behind before that takes longer than a life. */
const LIVES_PER_DIRECTORY = 10;

const upstream = await ModelUpstream.start();
let audit = '';
let answered = 0;
try {
  for (let kill = 0; kill < kills; kill++) {
    if (kill % LIVES_PER_DIRECTORY === 0) {
      if (audit !== '') rmSync(audit, { recursive: true, force: true });
      audit = mkdtempSync(join(tmpdir(), 'bulkhead-usage-kill-'));
    }
    answered += await killedLife(upstream, audit, 300 + ((kill * 173) % 1_000));
    const { sums, verification } = await usageSums(audit);
    const recorded = await recordedSums(audit);
    if (!isDeepStrictEqual(sums, recorded) || !verification.ok) {
      console.log(JSON.stringify({ kill, audit, usage: [...sums], recorded: [...recorded], verification }, null, 2));
      audit = '';
      process.exitCode = 1;
      break;
    }
    console.log(`killed ${kill + 1} times, ${answered} calls answered: usage is what is on record`);
  }
} finally {
  if (audit !== '') rmSync(audit, { recursive: true, force: true });
  upstream.stop();
}
