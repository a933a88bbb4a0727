import { expect, test } from 'vitest';
import { Turnstile } from '../../../src/authn/turnstile.ts';

/** Jobs that run until they are told to end, in the order in which they began. */
function stage(places: number): {
  start(name: string): void;
  end(name: string): Promise<void>;
  readonly begun: string[];
} {
  const turnstile = new Turnstile(places);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    begun,
    start(name) {
      void turnstile.run(async () => {
        begun.push(name);
        await new Promise<void>((resolve) => ends.set(name, resolve));
      });
    },
    async end(name) {
      ends.get(name)?.();
      await new Promise(setImmediate);
    },
  };
}

test('n jobs run at once, the next one waits for a place, in order', async () => {
  const s = stage(2);
  for (const name of ['a', 'b', 'c', 'd']) s.start(name);
  await new Promise(setImmediate);
  expect(s.begun).toEqual(['a', 'b']);
  await s.end('b');
  expect(s.begun).toEqual(['a', 'b', 'c']);
  await s.end('a');
  await s.end('c');
  expect(s.begun).toEqual(['a', 'b', 'c', 'd']);
  await s.end('d');
  for (const name of ['e', 'f', 'g']) s.start(name);
  await new Promise(setImmediate);
  expect(s.begun.slice(4)).toEqual(['e', 'f']);
});

test('a job that fails gives its place back', async () => {
  const turnstile = new Turnstile(1);
  for (let round = 0; round < 3; round += 1) {
    await expect(turnstile.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  }
  expect(await turnstile.run(() => Promise.resolve(7))).toBe(7);
});
