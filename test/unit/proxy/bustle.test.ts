import { expect, it } from 'vitest';
import { Bustle, LULL_MS } from '../../../src/proxy/bustle.ts';

it('is there while a call runs, however long ago it began', () => {
  const traffic = { running: 1, begun: 1 };
  const bustle = new Bustle(traffic);
  expect(bustle.isThere(0)).toBe(true);
  expect(bustle.isThere(60_000)).toBe(true);
});

it('is there for a while after a call that had ended before somebody asked, and not a millisecond longer', () => {
  const traffic = { running: 0, begun: 0 };
  const bustle = new Bustle(traffic);
  expect(bustle.isThere(0)).toBe(false);
  traffic.begun = 1;
  expect(bustle.isThere(1_000)).toBe(true);
  expect(bustle.isThere(1_000 + LULL_MS - 1)).toBe(true);
  expect(bustle.isThere(1_000 + LULL_MS)).toBe(false);
});
