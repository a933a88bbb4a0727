/** Which hour, and which day, a moment belongs to: in UTC, where no hour is missing and none comes twice. */
import type { BucketKey } from './bucket.ts';

export const HOUR_MICROS = 3_600_000_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const KEY = /^\d{4,6}-\d\d-\d\d(?:T\d\d)?$/;
/** 9999-12-31T23. A record that says to be later is of no clock that can be believed, and is counted there. */
const LAST_HOUR = Date.UTC(9999, 11, 31, 23) / HOUR_MS;

/** Number of the hour since the Unix epoch. */
export function hourOf(micros: number): number {
  return Math.min(LAST_HOUR, Math.max(0, Math.floor(micros / HOUR_MICROS)));
}

/** `2026-11-24T13` of such a number. */
export function hourKey(hour: number): BucketKey {
  return new Date(hour * HOUR_MS).toISOString().slice(0, 13);
}

/** `2026-11-24` of an hour or a day. */
export function dayKey(key: BucketKey): BucketKey {
  return key.slice(0, 10);
}

export function isDay(key: BucketKey): boolean {
  return key.length === 10;
}

/** Whether a text names a bucket. */
export function isBucketKey(text: string): boolean {
  return KEY.test(text) && !Number.isNaN(startMs(text));
}

/** When it begins, in milliseconds since the Unix epoch. */
export function startMs(key: BucketKey): number {
  return Date.parse(isDay(key) ? `${key}T00:00:00Z` : `${key}:00:00Z`);
}

/** When it is over. */
export function endMs(key: BucketKey): number {
  return startMs(key) + (isDay(key) ? DAY_MS : HOUR_MS);
}
