import { expect, test } from 'vitest';
import { KnownValues, MAX_KNOWN_VALUES, timestampOf } from '../../../src/conditions/known-values.ts';

test('are kept up to a number, and then read anew', () => {
  const durations = new KnownValues('duration');
  const first = durations.read('0s');
  for (let seconds = 1; seconds < MAX_KNOWN_VALUES; seconds += 1) durations.read(`${seconds}s`);
  expect(durations.read('0s')).toBe(first);
  durations.read(`${MAX_KNOWN_VALUES}s`);
  expect(durations.read('0s')).not.toBe(first);
  expect(durations.read('0s')).toEqual(first);
});

test('are none where the text is none', () => {
  for (const text of ['', 'x', '1', '1y', '--1s', '1s '])
    expect(new KnownValues('duration').read(text), text).toBeUndefined();
  for (const text of ['', 'today', '2026-11-24', '2026-13-24T00:00:00Z']) {
    expect(new KnownValues('timestamp').read(text), text).toBeUndefined();
  }
});

test('a point in time is read to the millisecond, in the object that it is given', () => {
  const first = timestampOf(1_500_999);
  expect(first).toEqual(new Date(1_500));
  expect(timestampOf(2_000_000, first)).toBe(first);
  expect(first).toEqual(new Date(2_000));
});
