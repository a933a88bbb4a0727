import { expect, it, onTestFinished } from 'vitest';
import { MAX_LINES, MAX_WAITING, usageQuery } from '../../../src/runtime/admin-usage.ts';
import { openLog, write } from '../../fakes/audit-logs.ts';
import { callRecord, micros } from '../../fakes/audit-records.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';
import { HOUR, openKeeper, type TestKeeper } from '../../fakes/usage.ts';

const HOURS = 40;
const ALL = new URLSearchParams({ since: '2026-11-01', by: 'hour', per: 'caller' });

/** So many callers in each of the hours, one call each. */
function usageOf(callersPerHour: number): { readonly test: TestKeeper; oneMore(): void } {
  const directory = temporaryDirectory();
  const log = openLog(directory);
  const call = (hour: number, caller: string): void =>
    write(log, callRecord({ startedAt: micros(hour * HOUR), durationMicros: 0, caller }));
  for (let hour = 0; hour < HOURS; hour++) for (let i = 0; i < callersPerHour; i++) call(hour, `key:k${i}`);
  const test = openKeeper(directory);
  onTestFinished(async () => {
    log.close();
    await test.keeper.close();
  });
  return { test, oneMore: () => call(0, 'key:more') };
}

it('an answer has so many lines, and with one more it asks for a narrower question', async () => {
  const { test, oneMore } = usageOf(MAX_LINES / HOURS);
  expect(await usageQuery(ALL, test.keeper)).toMatchObject({ ok: true, value: { lines: { length: MAX_LINES } } });
  oneMore();
  expect(await usageQuery(ALL, test.keeper)).toEqual({
    ok: false,
    error: `the answer has more than the ${MAX_LINES} lines that it may have: ask for a tenant, a shorter time or a longer span`,
  });
});

it('so many questions wait for one another, and one more is asked to come again', async () => {
  const { test } = usageOf(1);
  const answers = await Promise.all(Array.from({ length: MAX_WAITING + 1 }, () => usageQuery(ALL, test.keeper)));
  expect(answers.map(({ ok }) => ok)).toEqual([...Array.from({ length: MAX_WAITING }, () => true), false]);
  expect(answers.at(-1)).toMatchObject({ error: expect.stringContaining('ask again') });
  expect(await usageQuery(ALL, test.keeper)).toMatchObject({ ok: true });
});

it('a question with a parameter that is not known, or comes twice, is refused', async () => {
  const { test } = usageOf(1);
  expect(await usageQuery(new URLSearchParams('tenants=acme'), test.keeper)).toMatchObject({ ok: false });
  expect(await usageQuery(new URLSearchParams('by=day&by=hour'), test.keeper)).toEqual({
    ok: false,
    error: 'by comes twice',
  });
});
