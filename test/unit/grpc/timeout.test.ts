import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatTimeout, MAX_TIMEOUT_MICROS, parseTimeoutMicros } from '../../../src/grpc/timeout.ts';

describe('grpc-timeout', () => {
  it.each([
    ['1H', 3_600_000_000],
    ['2M', 120_000_000],
    ['3S', 3_000_000],
    ['250m', 250_000],
    ['7u', 7],
    ['1999n', 1],
    ['999n', 0],
    ['0S', 0],
    ['00000005S', 5_000_000],
    ['99999999u', 99_999_999],
    // grpc-js reads 600 hours as none at all, because a timer cannot be that long.
    ['600H', 2_160_000_000_000],
  ])('%s is %d microseconds', (text, micros) => {
    expect(parseTimeoutMicros(text)).toBe(micros);
  });

  it.each([
    '',
    'S',
    '5',
    '5s',
    '5 S',
    ' 5S',
    '5S ',
    '5S5',
    '-5S',
    '+5S',
    '5.5S',
    '1e3S',
    '0x5S',
    'evil5S',
    '5SS',
    '٥S',
  ])('is not %j', (text) => {
    expect(parseTimeoutMicros(text)).toBeUndefined();
  });

  it('has eight digits and not nine', () => {
    expect(parseTimeoutMicros('99999999m')).toBe(99_999_999_000);
    expect(parseTimeoutMicros('100000000m')).toBeUndefined();
    expect(parseTimeoutMicros('000000001m')).toBeUndefined();
  });

  it('is read as three years when it is longer', () => {
    expect(parseTimeoutMicros('99999999S')).toBe(MAX_TIMEOUT_MICROS);
    expect(parseTimeoutMicros('99999999M')).toBe(MAX_TIMEOUT_MICROS);
    expect(parseTimeoutMicros('99999999H')).toBe(MAX_TIMEOUT_MICROS);
    expect(Number.isSafeInteger(MAX_TIMEOUT_MICROS)).toBe(true);
  });

  it.each([
    [1, '1u'],
    [0.4, '1u'],
    [0, '1u'],
    [-5, '1u'],
    [Number.NaN, '1u'],
    [99_999_999, '99999999u'],
    [100_000_000, '100000m'],
    [99_999_999_999, '99999999m'],
    [100_000_000_000, '100000S'],
    [MAX_TIMEOUT_MICROS, '99999999S'],
    [Number.POSITIVE_INFINITY, '99999999S'],
  ])('is written for %d microseconds as %s', (micros, text) => {
    expect(formatTimeout(micros)).toBe(text);
  });

  it('read back is never later, and hardly earlier', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: MAX_TIMEOUT_MICROS }), (micros) => {
        const back = parseTimeoutMicros(formatTimeout(micros)) ?? Number.NaN;
        expect(back).toBeLessThanOrEqual(micros);
        expect(back).toBeGreaterThan(micros * 0.99998 - 1);
      }),
    );
  });
});
