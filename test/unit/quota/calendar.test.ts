import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CalendarUnit } from '../../../src/config/quota-config.ts';
import { calendarWindow } from '../../../src/quota/calendar.ts';

const HOUR = 3_600_000;

function windowAt(unit: CalendarUnit, zone: string, moment: string): readonly [start: string, hours: number] {
  const { startMs, endMs } = calendarWindow(unit, zone, Date.parse(moment));
  return [new Date(startMs).toISOString(), (endMs - startMs) / HOUR];
}

describe('a window by the calendar', () => {
  it.each([
    ['minute', 'UTC', '2027-01-31T23:59:59.999Z', '2027-01-31T23:59:00.000Z', 1 / 60],
    ['hour', 'UTC', '2027-01-31T23:59:59Z', '2027-01-31T23:00:00.000Z', 1],
    ['day', 'UTC', '2027-01-31T23:59:59Z', '2027-01-31T00:00:00.000Z', 24],
    ['month', 'UTC', '2027-01-31T23:59:59Z', '2027-01-01T00:00:00.000Z', 31 * 24],
  ] as const)('is the %s in %s that %s falls into', (unit, zone, moment, start, hours) => {
    expect(windowAt(unit, zone, moment)).toEqual([start, hours]);
  });

  it('has a day of 23 hours when clocks go forward, and one of 25 when they go back', () => {
    expect(windowAt('day', 'Europe/Berlin', '2027-03-28T12:00:00Z')).toEqual(['2027-03-27T23:00:00.000Z', 23]);
    expect(windowAt('day', 'Europe/Berlin', '2027-10-31T12:00:00Z')).toEqual(['2027-10-30T22:00:00.000Z', 25]);
  });

  it('has a month as long as the clocks make it', () => {
    expect(windowAt('month', 'Europe/Berlin', '2027-03-15T12:00:00Z')).toEqual(['2027-02-28T23:00:00.000Z', 743]);
    expect(windowAt('month', 'Europe/Berlin', '2027-10-15T12:00:00Z')).toEqual(['2027-09-30T22:00:00.000Z', 745]);
  });

  it('has 29 days in the February of a leap year, and 28 in the others', () => {
    expect(windowAt('month', 'UTC', '2028-02-29T23:00:00Z')).toEqual(['2028-02-01T00:00:00.000Z', 29 * 24]);
    expect(windowAt('day', 'UTC', '2028-02-29T23:00:00Z')).toEqual(['2028-02-29T00:00:00.000Z', 24]);
    expect(windowAt('month', 'UTC', '2027-02-28T23:00:00Z')).toEqual(['2027-02-01T00:00:00.000Z', 28 * 24]);
  });

  it('takes the hour that is repeated in autumn for two', () => {
    expect(windowAt('hour', 'Europe/Berlin', '2027-10-31T00:30:00Z')).toEqual(['2027-10-31T00:00:00.000Z', 1]);
    expect(windowAt('hour', 'Europe/Berlin', '2027-10-31T01:30:00Z')).toEqual(['2027-10-31T01:00:00.000Z', 1]);
  });

  it('has its hours where the people of the zone see them', () => {
    expect(windowAt('hour', 'Asia/Kathmandu', '2027-01-01T00:20:00Z')).toEqual(['2027-01-01T00:15:00.000Z', 1]);
    expect(windowAt('day', 'Asia/Kathmandu', '2027-01-01T00:20:00Z')).toEqual(['2026-12-31T18:15:00.000Z', 24]);
  });

  it('begins a day where it begins when there is no midnight, and leaves out a day that there was not', () => {
    expect(windowAt('day', 'America/Sao_Paulo', '2018-11-04T12:00:00Z')).toEqual(['2018-11-04T03:00:00.000Z', 23]);
    expect(windowAt('day', 'Pacific/Apia', '2011-12-30T09:59:00Z')).toEqual(['2011-12-29T10:00:00.000Z', 24]);
  });

  it('of a zone that is not known is an error', () => {
    expect(() => calendarWindow('day', 'Mars/Olympus', 0)).toThrow(RangeError);
  });

  it('holds its moment, and those after it never come before it', () => {
    const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'Pacific/Apia'];
    const units = ['minute', 'hour', 'day', 'month'] as const;
    const moment = fc.integer({ min: Date.parse('2010-01-01'), max: Date.parse('2035-01-01') });
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.constantFrom(...units),
        moment,
        fc.integer({ min: 0, max: 3 * 86_400_000 }),
        (zone, unit, now, later) => {
          const window = calendarWindow(unit, zone, now);
          expect(window.startMs).toBeLessThanOrEqual(now);
          expect(window.endMs).toBeGreaterThan(now);
          expect(calendarWindow(unit, zone, window.startMs)).toEqual(window);
          expect(calendarWindow(unit, zone, now + later).startMs).toBeGreaterThanOrEqual(window.startMs);
        },
      ),
      { numRuns: 500 },
    );
  });
});
