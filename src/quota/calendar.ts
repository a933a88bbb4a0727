/**
 * Windows by the calendar of a time zone: the minute, hour, day or month that a moment falls into.
 *
 * Days and months are as long as the zone makes them: 23 or 25 hours when clocks change, 28 to 31 days. Minutes and hours are cut by the
 * offset in force, so that a zone half an hour off has its hours where its people see them; the hour that is repeated in
 * autumn is two windows.
 */
import type { CalendarUnit } from '../config/quota-config.ts';

/** Milliseconds since the Unix epoch; `startMs <= now < endMs`. */
export interface CalendarWindow {
  readonly startMs: number;
  readonly endMs: number;
}

/** The window that a moment falls into. Throws a RangeError for a zone that is not known. */
export function calendarWindow(unit: CalendarUnit, zone: string, nowMs: number): CalendarWindow {
  const whole = Math.floor(nowMs);
  const local = Temporal.Instant.fromEpochMilliseconds(whole).toZonedDateTimeISO(zone);
  switch (unit) {
    case 'minute':
      return evenWindow(whole, local.offsetNanoseconds, 60_000);
    case 'hour':
      return evenWindow(whole, local.offsetNanoseconds, 3_600_000);
    case 'day':
      return { startMs: startOf(local), endMs: startOf(local.add({ days: 1 })) };
    case 'month': {
      const first = local.with({ day: 1 });
      return { startMs: startOf(first), endMs: startOf(first.add({ months: 1 })) };
    }
  }
}

function evenWindow(nowMs: number, offsetNanos: number, lengthMs: number): CalendarWindow {
  const intoIt = (nowMs + Math.round(offsetNanos / 1_000_000)) % lengthMs;
  const startMs = nowMs - (intoIt < 0 ? intoIt + lengthMs : intoIt);
  return { startMs, endMs: startMs + lengthMs };
}

function startOf(day: Temporal.ZonedDateTime): number {
  return day.startOfDay().epochMilliseconds;
}
