/** The process ends between any two things that it does to the disk: what was used is the same afterwards. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { AuditLog } from '../../../src/audit/log.ts';
import { diskUsageFiles, type UsageFiles } from '../../../src/usage/usage-files.ts';
import { openLog, write } from '../../fakes/audit-logs.ts';
import { callRecord, micros } from '../../fakes/audit-records.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';
import { brief, HOUR, openKeeper, stored, type TestKeeper, verified } from '../../fakes/usage.ts';

const CONFIG = { hourlyDays: 1, dailyDays: 1, maxRows: 2 };
/** From 10 o'clock on: what is written after it makes days of hours, and removes the first of the days. */
const PREPARED_HOURS = 61;
const HOURS = 64;
/** After so many steps what follows is mostly the removal of one hour after the other. */
const CLOSE_STEPS = 12;
const WIDE_STEP = 4;

/** Works so many times, and then does nothing any more: as a process that has ended. */
class EndingFiles implements UsageFiles {
  left: number;

  constructor(left: number) {
    this.left = left;
  }

  get hasEnded(): boolean {
    return this.left < 0;
  }

  writeOpen: UsageFiles['writeOpen'] = (...args) => this.#step(() => diskUsageFiles.writeOpen(...args));
  writeBucket: UsageFiles['writeBucket'] = (...args) => this.#step(() => diskUsageFiles.writeBucket(...args));
  removeBucket: UsageFiles['removeBucket'] = (...args) => this.#step(() => diskUsageFiles.removeBucket(...args));

  #step(work: () => Promise<void>): Promise<void> {
    this.left -= 1;
    return this.hasEnded ? Promise.reject(new Error('the process has ended')) : work();
  }
}

async function live(log: AuditLog, test: TestKeeper, hours: readonly number[]): Promise<void> {
  for (const hour of hours) {
    for (let call = 0; call < 3; call++) {
      const startedAt = micros(hour * HOUR + call);
      write(log, callRecord({ startedAt, durationMicros: 0, requestBytes: 10, caller: `key:k${call}` }));
    }
    // One comes late, of an hour that is sealed.
    if (hour > 1) write(log, callRecord({ startedAt: micros((hour - 2) * HOUR), durationMicros: 0, requestBytes: 10 }));
    test.at = hour * HOUR + HOUR / 10;
    await test.keeper.tick();
  }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

it('counts nothing twice and forgets nothing, wherever the process ends', { timeout: 120_000 }, async () => {
  const prepared = temporaryDirectory();
  const log = openLog(prepared);
  const before = openKeeper(prepared, CONFIG);
  await live(log, before, range(0, PREPARED_HOURS));
  await before.keeper.close();
  log.close();
  const work = temporaryDirectory();

  let expected: readonly string[] = [];
  let steps = 0;
  for (let left = Number.POSITIVE_INFINITY; ; left = steps) {
    const directory = join(work, String(left));
    cpSync(prepared, directory, { recursive: true });
    const files = new EndingFiles(left);
    const dying = openKeeper(directory, CONFIG, files);
    const again = openLog(directory);
    await live(again, dying, range(PREPARED_HOURS, HOURS));
    again.close();
    const next = openKeeper(directory, CONFIG);
    next.at = HOURS * HOUR;
    await next.keeper.tick();
    await next.keeper.close();
    expect(next.warnings).toEqual([]);
    const report = await stored(directory, { by: 'day' });
    // What is older than the days that are kept goes in its time, which may be one save later.
    const kept = brief(report).filter((line) => line > '2026-11-24');
    const { differences, problems } = await verified(directory);
    expect({ left, kept, differences, problems }).toEqual({
      left,
      kept: expected.length === 0 ? kept : expected,
      differences: [],
      problems: [],
    });
    if (left === Number.POSITIVE_INFINITY) expected = kept;
    else steps += steps < CLOSE_STEPS ? 1 : WIDE_STEP;
    if (left !== Number.POSITIVE_INFINITY && !files.hasEnded) break;
  }
  expect(expected).toEqual(['2026-11-24 acme 96/960', '2026-11-25 acme 96/960', '2026-11-26 acme 6/60']);
  // Each save has three steps, each sealing two more, and a day is made of 24 hours.
  expect(steps).toBeGreaterThan(30);
});
