/**
 * Durations and sizes as people write them in configuration: a number with its unit, never a bare number.
 */

const DURATION = /^(\d{1,9})(us|ms|s|m|h|d)$/;
const DURATION_MICROS: Readonly<Record<string, number>> = {
  us: 1,
  ms: 1_000,
  s: 1_000_000,
  m: 60_000_000,
  h: 3_600_000_000,
  d: 86_400_000_000,
};

/** Parses `30s`, `250ms`, `5m`, … into milliseconds (a fraction for `us`). Undefined when it is not a duration. */
export function parseDurationMs(text: string): number | undefined {
  const match = DURATION.exec(text);
  const unit = match?.[2] === undefined ? undefined : DURATION_MICROS[match[2]];
  return match === null || unit === undefined ? undefined : (Number(match[1]) * unit) / 1_000;
}

const SIZE = /^(\d{1,12})(B|KiB|MiB|GiB)$/;
const SIZE_BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** Parses `64KiB`, `1GiB`, `100B` into bytes. Undefined when it is not a size. */
export function parseSizeBytes(text: string): number | undefined {
  const match = SIZE.exec(text);
  const unit = match?.[2] === undefined ? undefined : SIZE_BYTES[match[2]];
  const bytes = match === null || unit === undefined ? undefined : Number(match[1]) * unit;
  return bytes !== undefined && Number.isSafeInteger(bytes) ? bytes : undefined;
}
