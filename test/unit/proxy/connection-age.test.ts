import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ConnectionAge } from '../../../src/proxy/connection-age.ts';
import { TEST_LIMITS } from '../../fakes/in-process-sidecar.ts';

let said: string[] = [];
const connection = {
  drain: () => said.push('drain'),
  destroy: () => said.push('destroy'),
};
const age = (ageMs: number | undefined, graceMs: number | undefined, random = 0.5): ConnectionAge =>
  new ConnectionAge(
    { ...TEST_LIMITS, maxConnectionAgeMs: ageMs, maxConnectionAgeGraceMs: graceMs },
    { drain: () => void connection.drain(), destroy: () => void connection.destroy() },
    () => random,
  );

beforeEach(() => {
  vi.useFakeTimers();
  said = [];
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a connection', () => {
  it.each([
    [0, 900],
    [0.5, 1_000],
    [1, 1_100],
  ])('is asked to end at its age, give or take a tenth (random %d: %d ms)', (random, ms) => {
    age(1_000, undefined, random);
    vi.advanceTimersByTime(ms - 1);
    expect(said).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(said).toEqual(['drain']);
    vi.advanceTimersByTime(1_000_000_000);
    expect(said).toEqual(['drain']);
  });

  it('is ended after the grace, not before', () => {
    age(1_000, 500);
    vi.advanceTimersByTime(1_499);
    expect(said).toEqual(['drain']);
    vi.advanceTimersByTime(1);
    expect(said).toEqual(['drain', 'destroy']);
  });

  it('has no age where none is set', () => {
    age(undefined, undefined);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([
    ['before its age', 10],
    ['in its grace', 1_200],
  ])('that ends by itself %s is left alone', (_, ms) => {
    const counted = age(1_000, 500);
    vi.advanceTimersByTime(ms);
    counted.stop();
    const before = [...said];
    vi.advanceTimersByTime(10_000);
    expect(said).toEqual(before);
    expect(vi.getTimerCount()).toBe(0);
  });
});
