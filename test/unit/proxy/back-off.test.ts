import { describe, expect, it } from 'vitest';
import { BackOff } from '../../../src/proxy/back-off.ts';

const failedTimes = (times: number, random: number): BackOff => {
  const backOff = new BackOff(() => random);
  for (let index = 0; index < times; index++) backOff.failed(1_000);
  return backOff;
};

describe('what has failed', () => {
  it('may be tried at once as long as it has not', () => {
    expect(new BackOff(() => 0.5).leftMs(1_000)).toBeLessThanOrEqual(0);
  });

  it.each([
    [1, 100],
    [2, 200],
    [7, 6_400],
    [8, 10_000],
    [2_000, 10_000],
  ])('is not tried again for longer each time: %i failures, %i ms', (times, ms) => {
    expect(failedTimes(times, 0.5).leftMs(1_000)).toBe(ms);
    expect(failedTimes(times, 0.5).leftMs(1_000 + ms)).toBe(0);
  });

  it('waits half as long at least, and half as long again at most', () => {
    expect(failedTimes(1, 0).leftMs(1_000)).toBe(50);
    expect(failedTimes(1, 1).leftMs(1_000)).toBe(150);
  });

  it('begins anew when it has worked, and waits no more when it is forgiven', () => {
    const backOff = failedTimes(5, 0.5);
    backOff.worked();
    expect(backOff.leftMs(1_000)).toBe(1_600);
    backOff.forgive();
    expect(backOff.leftMs(1_000)).toBeLessThanOrEqual(0);
    backOff.failed(1_000);
    expect(backOff.leftMs(1_000)).toBe(100);
  });
});
