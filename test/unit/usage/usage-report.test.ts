import { expect, it } from 'vitest';
import { readStoredUsage } from '../../../src/usage/stored-usage.ts';
import { usageReport } from '../../../src/usage/usage-report.ts';
import { openLog, write } from '../../fakes/audit-logs.ts';
import { callRecord, micros } from '../../fakes/audit-records.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';
import { brief, EVERYTHING, HOUR, stored } from '../../fakes/usage.ts';

/** One call at the end of each of 48 hours, from 2026-11-23T10 on. */
function twoDays(): string {
  const directory = temporaryDirectory();
  const log = openLog(directory);
  for (let hour = 0; hour < 48; hour++)
    write(log, callRecord({ startedAt: micros((hour + 1) * HOUR - 1), durationMicros: 0, requestBytes: 1 }));
  log.close();
  return directory;
}

const at = (text: string): number => Date.parse(text);

it('has days of the zone that was asked for', async () => {
  const directory = twoDays();
  expect(brief(await stored(directory, { by: 'day' }))).toEqual([
    '2026-11-23 acme 14/14',
    '2026-11-24 acme 24/24',
    '2026-11-25 acme 10/10',
  ]);
  expect(brief(await stored(directory, { by: 'day', zone: 'Asia/Tokyo' }))).toEqual([
    '2026-11-23 acme 5/5',
    '2026-11-24 acme 24/24',
    '2026-11-25 acme 19/19',
  ]);
  const [first] = (await stored(directory, { by: 'hour', zone: 'Asia/Kolkata' })).lines;
  expect(first?.time).toBe('2026-11-23T15:30+05:30');
  expect(brief(await stored(directory, { by: 'month' }))).toEqual(['2026-11 acme 48/48']);
});

it('is of the whole hours that touch the time, and says which', async () => {
  const directory = twoDays();
  const report = await stored(directory, {
    sinceMs: at('2026-11-23T12:59:59Z'),
    untilMs: at('2026-11-23T14:00:00Z'),
  });
  expect(brief(report)).toEqual(['2026-11-23T12:00Z acme 1/1', '2026-11-23T13:00Z acme 1/1']);
  expect(report).toMatchObject({ from: '2026-11-23T12:00Z', until: '2026-11-23T14:00Z', complete: true });
  const next = await stored(directory, { sinceMs: at('2026-11-23T13:00:00Z'), untilMs: at('2026-11-23T14:00:01Z') });
  expect(next.lines).toHaveLength(2);
});

it('of a tenant that has used nothing has no line, and a sum of nothing', async () => {
  const report = await stored(twoDays(), { tenant: 'nobody' });
  expect(report).toMatchObject({ lines: [], total: { calls: 0 } });
  expect(await stored(temporaryDirectory())).toMatchObject({ lines: [], from: null, until: null, complete: true });
});

it('ends with the first hour by which it has too many lines, however many hours there are', async () => {
  const { rollUp } = await readStoredUsage(twoDays());
  const hourly = { ...EVERYTHING, by: 'hour' as const };
  expect((await usageReport(rollUp, hourly, 48)).lines).toHaveLength(48);
  expect((await usageReport(rollUp, hourly, 20)).lines).toHaveLength(21);
  rollUp.close();
});
