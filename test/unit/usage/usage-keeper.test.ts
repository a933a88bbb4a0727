import { copyFileSync, cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readCursor } from '../../../src/audit/cursor.ts';
import type { CallRecord } from '../../../src/audit/record.ts';
import { usageDirectory } from '../../../src/usage/usage-files.ts';
import { openLog, write, writeCursor } from '../../fakes/audit-logs.ts';
import { callRecord, eventRecord, micros } from '../../fakes/audit-records.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';
import { asked, brief, HOUR, openKeeper, stored, verified } from '../../fakes/usage.ts';

/** A call that ended so long after the records' begin. */
function callAt(after: number, different: Partial<CallRecord> = {}): CallRecord {
  return callRecord({ startedAt: micros(after), durationMicros: 0, requestBytes: 10, ...different });
}

it('counts every call once, by tenant, caller and model, in the hour in which it ended', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory);
  write(
    log,
    callAt(0),
    callRecord({ startedAt: micros(HOUR - 5), durationMicros: 10, requestBytes: 7, responseBytes: 3 }),
    callAt(1, { tenant: 'umbra', model: 'faces', outcome: 'denied', grpcStatus: 7 }),
    callAt(2, { tenant: 'umbra', model: '', caller: '', outcome: 'denied', grpcStatus: 16 }),
  );
  const test = openKeeper(directory);
  expect(brief(await asked(test))).toEqual([
    '2026-11-23T10:00Z acme 1/10',
    '2026-11-23T10:00Z umbra 2/20',
    '2026-11-23T11:00Z acme 1/7',
  ]);
  const { lines } = await asked(test, { per: 'caller+model', by: 'total', tenant: 'umbra' });
  expect(lines.map(({ caller, model, used }) => [caller, model, used.denied, used.deniedPermission])).toEqual([
    ['', '', 1, 0],
    ['token:alice@acme.example', 'faces', 1, 1],
  ]);
  // What is written after a question is in the answer to the next, of a new writer too.
  const other = openLog(directory, { writer: 'worker-1' });
  write(other, callAt(3));
  expect(brief(await asked(test, { by: 'total' }))).toEqual([' acme 3/27', ' umbra 2/20']);
  expect(brief(await stored(directory, { by: 'total' }))).toEqual([' acme 3/27', ' umbra 2/20']);
  for (const end of [log, other]) end.close();
  await test.keeper.close();
  expect(await verified(directory)).toMatchObject({ ok: true, calls: 5, differences: [], notComparable: [] });
  expect(test.warnings).toEqual([]);
});

it('counts what a call consumed beside its bytes', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory);
  const consumed = { tensorElements: 784, inputTokens: 12, outputTokens: 34, computeMicros: 5_678 };
  write(log, callAt(0, { consumed }), callAt(1), callAt(2, { consumed }));
  const test = openKeeper(directory);
  expect((await asked(test)).total).toMatchObject({
    calls: 3,
    tensorElements: 1_568,
    inputTokens: 24,
    outputTokens: 68,
    computeMicros: 11_356,
  });
  log.close();
  await test.keeper.close();
  expect(await verified(directory)).toMatchObject({ ok: true, calls: 3 });
});

it('goes on where it was saved, whenever it is killed', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory, { segmentBytes: 2_000 });
  const killed: string[] = [];
  // Each round is a life of the process that ends at another point: with or without saving, and after more was written.
  for (let round = 0; round < 12; round++) {
    const test = openKeeper(directory);
    test.at = round * HOUR;
    write(log, callAt(round * HOUR), callAt(round * HOUR + 1, { tenant: 'umbra' }));
    if (round % 3 !== 0) await test.keeper.tick();
    write(log, callAt(round * HOUR + 2));
    if (round % 2 === 0) await test.keeper.tick();
    // Nobody closes it.
    killed.push(...test.warnings);
  }
  log.close();
  const last = openKeeper(directory);
  const report = await asked(last, { by: 'total' });
  expect(brief(report)).toEqual([' acme 24/240', ' umbra 12/120']);
  await last.keeper.close();
  expect(brief(await stored(directory))).toHaveLength(24);
  expect(await verified(directory)).toMatchObject({ ok: true, calls: 36 });
  expect(killed).toEqual([]);
});

it('counts nothing twice when it is killed between the files that it writes', async () => {
  const directory = temporaryDirectory();
  const usage = usageDirectory(directory);
  const log = openLog(directory);
  write(log, callAt(0), callAt(1));
  const test = openKeeper(directory);
  await test.keeper.tick();
  write(log, callAt(2));
  test.at = 2 * HOUR;
  const before = readFileSync(join(usage, 'open.json'));
  await test.keeper.tick();
  expect(readdirSync(usage).sort()).toEqual(['2026-11-23T10.json', 'open.json']);
  // The hour has its file, and the other file still has the hour and an older cursor.
  writeFileSync(join(usage, 'open.json'), before);
  const next = openKeeper(directory);
  next.at = 2 * HOUR;
  expect(brief(await asked(next))).toEqual(['2026-11-23T10:00Z acme 3/30']);
  await next.keeper.tick();
  // A record that comes late, of an hour that is sealed, is added to it.
  write(log, callAt(3));
  const late = openKeeper(directory);
  late.at = 2 * HOUR;
  await late.keeper.tick();
  log.close();
  await late.keeper.close();
  expect(brief(await stored(directory))).toEqual(['2026-11-23T10:00Z acme 4/40']);
  expect(await verified(directory)).toMatchObject({ ok: true, calls: 4 });
});

it('keeps hours, then days, and what was used in them is never less', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory);
  const test = openKeeper(directory, { hourlyDays: 1, dailyDays: 2 });
  for (let hour = 0; hour < 4 * 24; hour++) {
    write(log, callAt(hour * HOUR, { caller: `key:k${hour % 5}` }));
    test.at = hour * HOUR;
    await test.keeper.tick();
  }
  const files = readdirSync(usageDirectory(directory)).filter((name) => name !== 'open.json');
  const days = files.filter((name) => name.length === '2026-11-23.json'.length);
  // The first day is 14 hours; it has gone when there were more than two days.
  expect(days).toEqual(['2026-11-24.json', '2026-11-25.json']);
  expect(files.length - days.length).toBeLessThan(48);
  expect(brief(await asked(test, { by: 'day' }))).toEqual([
    '2026-11-24 acme 24/240',
    '2026-11-25 acme 24/240',
    '2026-11-26 acme 24/240',
    '2026-11-27 acme 10/100',
  ]);
  // A record of a day that is kept as one, by a clock that was wrong.
  write(log, callAt(24 * HOUR));
  await test.keeper.tick();
  const report = await asked(test, { by: 'hour' });
  expect(brief(report)[0]).toBe('2026-11-24 acme 25/250');
  expect(report.notes).toEqual(['until 2026-11-25 usage is kept by the day only']);
  log.close();
  await test.keeper.close();
  expect((await verified(directory)).differences).toEqual([]);
});

it('is not made to forget by a clock that was in the next century for a while', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory);
  const test = openKeeper(directory, { hourlyDays: 1, dailyDays: 1 });
  write(log, callAt(0));
  test.at = 3 * HOUR;
  await test.keeper.tick();
  test.at = 100 * 366 * 24 * HOUR;
  write(log, callAt(test.at));
  await test.keeper.tick();
  test.at = 4 * HOUR;
  write(log, callAt(test.at));
  await test.keeper.tick();
  expect(brief(await asked(test)).map((line) => line.slice(0, 13))).toEqual([
    '2026-11-23T10',
    '2026-11-23T14',
    '2127-02-07T10',
  ]);
  log.close();
  await test.keeper.close();
});

it('lets segments be removed only when their calls are in the usage on disk', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory, { segmentBytes: 1_000, maxBytes: 16_000 });
  let written = 0;
  const fill = (): void => {
    for (; written < 1_000; written++) {
      log.append(callAt(written));
      if (!log.flush()) return;
    }
  };
  fill();
  expect(log.blocked).toContain('no more of it is delivered');
  const delivered = { sequence: 9_999, offset: 0, record: 0, hash: '0'.repeat(64) };
  for (const signal of ['logs', 'traces'] as const) writeCursor(directory, 'worker-0', signal, delivered);
  // The collector has all of it; the usage does not.
  await new Promise((resolve) => setTimeout(resolve, 120));
  expect(log.blocked).toBeDefined();
  const test = openKeeper(directory);
  await test.keeper.tick();
  await expect.poll(() => log.blocked, { timeout: 5_000 }).toBeUndefined();
  written += 1;
  expect(readCursor(directory, 'worker-0', 'usage')?.sequence).toBeGreaterThan(1);
  for (let more = 0; more < 20 && written < 500; more++) {
    fill();
    await test.keeper.tick();
    await expect.poll(() => log.blocked, { timeout: 5_000 }).toBeUndefined();
    written += 1;
  }
  log.close();
  expect((await asked(test, { by: 'total' })).total.calls).toBe(written);
  expect(test.warnings).toEqual([]);
  await test.keeper.close();
});

it('says which records were taken away before they were counted', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory, { segmentBytes: 1_000 });
  const test = openKeeper(directory);
  write(log, callAt(0));
  await test.keeper.tick();
  for (let i = 1; i < 12; i++) write(log, callAt(i));
  log.close();
  rmSync(join(directory, 'worker-0-0000000002.bkal'));
  const report = await asked(test, { by: 'total' });
  expect(report.complete).toBe(false);
  expect(report.notes).toEqual([
    expect.stringMatching(
      /^audit records of worker-0 after record \d+ of segment 1 and before segment 3 .* are not there/,
    ),
  ]);
  expect(test.warnings).toEqual(report.notes);
  await test.keeper.close();
  const verification = await verified(directory);
  expect(verification.ok).toBe(false);
  expect(verification.problems[0]).toBe('worker-0-0000000002.bkal was removed, and the segments before it were not');
});

it('says so when a writer’s chain began anew, and counts it', async () => {
  const directory = temporaryDirectory();
  for (let life = 0; life < 3; life++) {
    const log = openLog(directory);
    write(log, callAt(life));
    log.close();
  }
  const test = openKeeper(directory);
  await test.keeper.tick();
  await test.keeper.close();
  for (const name of readdirSync(directory)) if (/\.(?:bkal|cursor)$/.test(name)) rmSync(join(directory, name));
  const log = openLog(directory);
  write(log, callAt(9));
  const next = openKeeper(directory);
  expect((await asked(next, { by: 'total' })).total.calls).toBe(4);
  expect(next.warnings).toEqual([expect.stringContaining('after record 1 of segment 3 and before segment 1')]);
  log.close();
  await next.keeper.close();
});

it('is made anew from the records when its file was damaged, and counts nothing twice', async () => {
  const directory = temporaryDirectory();
  const usage = usageDirectory(directory);
  const log = openLog(directory);
  write(log, callAt(0), callAt(1));
  const test = openKeeper(directory);
  test.at = 2 * HOUR;
  await test.keeper.tick();
  write(log, callAt(2 * HOUR));
  await test.keeper.close();
  const path = join(usage, 'open.json');
  writeFileSync(path, readFileSync(path, 'utf8').replace('"calls"', '"balls"'));
  const next = openKeeper(directory);
  expect(next.keeper.totals).toBeUndefined();
  await next.keeper.tick();
  expect(brief(await asked(next))).toEqual(['2026-11-23T10:00Z acme 2/20', '2026-11-23T12:00Z acme 1/10']);
  expect(next.warnings).toEqual([
    expect.stringMatching(/open\.json: its checksum is wrong.*open\.json\.damaged, and usage is made anew/),
  ]);
  expect(next.keeper.totals?.get('acme')?.[0]).toBe(3);
  log.close();
  await next.keeper.close();
  expect(await verified(directory)).toMatchObject({ ok: true, calls: 3 });
});

it('ignores what a power cut left of a file that was being written', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory);
  write(log, callAt(0));
  const test = openKeeper(directory);
  await test.keeper.close();
  writeFileSync(join(usageDirectory(directory), 'open.json.new'), 'bulkhead-us');
  expect(brief(await stored(directory))).toEqual(['2026-11-23T10:00Z acme 1/10']);
  log.close();
});

it('says how many calls are on no record', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory, { writer: 'main' });
  write(
    log,
    eventRecord({ event: 'worker_died', detail: 'worker-0: out of memory, calls in progress: 3' }),
    eventRecord({ event: 'audit.records_lost', detail: '17 records were not written: ENOSPC' }),
  );
  const test = openKeeper(directory);
  expect(await asked(test)).toMatchObject({ interruptedCalls: 3, lostRecords: 17, lines: [] });
  log.close();
  await test.keeper.close();
});

it('has the sums of all time after a restart, so that counters never go back', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory);
  write(log, callAt(0));
  const test = openKeeper(directory);
  await test.keeper.tick();
  const since = test.keeper.sinceMicros;
  await test.keeper.close();
  write(log, callAt(1));
  const next = openKeeper(directory);
  next.at = HOUR;
  await next.keeper.tick();
  expect(next.keeper.totals?.get('acme')?.[0]).toBe(2);
  expect(next.keeper.sinceMicros).toBe(since);
  log.close();
  await next.keeper.close();
});

it('says why, and goes on later, when the files cannot be written', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory);
  write(log, callAt(0));
  const usage = usageDirectory(directory);
  writeFileSync(usage, 'in the way');
  expect(() => openKeeper(directory)).toThrow('ENOTDIR');
  rmSync(usage);
  const test = openKeeper(directory);
  writeFileSync(usage, 'in the way');
  await test.keeper.tick();
  await test.keeper.tick();
  expect(test.warnings).toEqual([expect.stringContaining('usage cannot be kept: EEXIST')]);
  rmSync(usage);
  await test.keeper.tick();
  expect(brief(await stored(directory))).toEqual(['2026-11-23T10:00Z acme 1/10']);
  log.close();
  await test.keeper.close();
});

it('reads a copy of a directory in which nothing was ever saved', async () => {
  const directory = temporaryDirectory();
  const log = openLog(directory);
  write(log, callAt(0));
  log.close();
  const copy = temporaryDirectory();
  cpSync(directory, copy, { recursive: true });
  copyFileSync(join(directory, 'worker-0-0000000001.bkal'), join(copy, 'worker-0-0000000001.bkal'));
  expect(brief(await stored(copy))).toEqual(['2026-11-23T10:00Z acme 1/10']);
  expect(readdirSync(copy)).toEqual(['worker-0-0000000001.bkal']);
});
