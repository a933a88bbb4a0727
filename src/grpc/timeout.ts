/**
 * `grpc-timeout`, both ways: at most 8 ASCII digits and a unit (gRPC over HTTP/2, Call-Definition).
 */

/** A timeout above this (about three years) is read as this: exact as a number, and still far from any real deadline. */
export const MAX_TIMEOUT_MICROS = 99_999_999 * 1_000_000;

/**
 * Parses `250m`, `10S`, … into whole microseconds, rounded down (`999n` is 0: it is over before we could act). Undefined when
 * it is not what the grammar allows: nothing is trimmed, guessed or left over.
 */
export function parseTimeoutMicros(text: string): number | undefined {
  const digits = text.length - 1;
  if (digits < 1 || digits > MAX_DIGITS) return undefined;
  let value = 0;
  for (let i = 0; i < digits; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  const micros = inMicros(value, text.charCodeAt(digits));
  return micros === undefined ? undefined : Math.min(micros, MAX_TIMEOUT_MICROS);
}

/**
 * Formats what is left of a deadline in the finest unit that fits 8 digits, rounded down: the next hop's deadline is never
 * later than ours. Anything below one microsecond is `1u`, since the grammar knows no zero.
 */
export function formatTimeout(micros: number): string {
  if (!(micros >= 1)) return '1u';
  if (micros < FITS) return `${Math.floor(micros)}u`;
  if (micros < FITS * 1_000) return `${Math.floor(micros / 1_000)}m`;
  return `${Math.min(Math.floor(micros / 1_000_000), FITS - 1)}S`;
}

const MAX_DIGITS = 8;
const FITS = 10 ** MAX_DIGITS;

function inMicros(value: number, unit: number): number | undefined {
  switch (unit) {
    case 0x6d: // m
      return value * 1_000;
    case 0x53: // S
      return value * 1_000_000;
    case 0x75: // u
      return value;
    case 0x6e: // n
      return Math.floor(value / 1_000);
    case 0x4d: // M
      return value * 60_000_000;
    case 0x48: // H
      return value * 3_600_000_000;
    default:
      return undefined;
  }
}
