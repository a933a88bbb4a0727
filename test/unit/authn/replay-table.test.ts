import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { MAX_REMEMBERED_TOKENS, newReplayMemory, ReplayTable } from '../../../src/authn/replay-table.ts';
import { micros } from '../../fakes/trust.ts';

const claim = (table: ReplayTable, id: string, holder = 'a', at = 0, until = 100): string =>
  table.claim({ issuer: 'https://idp.test', id, holder, expiresAt: micros(until) }, micros(at));

describe('a token', () => {
  test('is its first holder’s, as often as it likes, and nobody else’s', () => {
    const table = new ReplayTable(newReplayMemory());
    expect(claim(table, 'one')).toBe('own');
    expect(claim(table, 'one')).toBe('own');
    expect(claim(table, 'one', 'b')).toBe('replay');
    expect(claim(table, 'one')).toBe('own');
    expect(claim(table, 'two', 'b')).toBe('own');
  });

  test('of the same id from another issuer is another', () => {
    const table = new ReplayTable(newReplayMemory());
    const use = { id: 'one', expiresAt: micros(100) };
    expect(table.claim({ ...use, issuer: 'x', holder: 'a' }, micros(0))).toBe('own');
    expect(table.claim({ ...use, issuer: 'y', holder: 'b' }, micros(0))).toBe('own');
  });

  test('is remembered until a minute after its end, and not beyond', () => {
    const table = new ReplayTable(newReplayMemory());
    claim(table, 'one');
    expect(claim(table, 'one', 'b', 159.999)).toBe('replay');
    expect(claim(table, 'one', 'b', 160, 200)).toBe('own');
    expect(claim(table, 'one', 'a', 161, 200)).toBe('replay');
  });

  test('whose issuer says later that it ends later, is remembered until then', () => {
    const table = new ReplayTable(newReplayMemory());
    claim(table, 'one');
    expect(claim(table, 'one', 'a', 99, 200)).toBe('own');
    expect(claim(table, 'one', 'a', 99, 150)).toBe('own');
    expect(claim(table, 'one', 'b', 259.999, 300)).toBe('replay');
    expect(claim(table, 'one', 'b', 260, 300)).toBe('own');
  });

  test('is known to every table over the same memory', () => {
    const memory = newReplayMemory();
    claim(new ReplayTable(memory), 'one');
    expect(claim(new ReplayTable(memory), 'one', 'b')).toBe('replay');
    expect(claim(new ReplayTable(newReplayMemory()), 'one', 'b')).toBe('own');
  });
});

describe('a table', () => {
  test.each([1, 4, 100])('of %i takes so many tokens and not one more, until some have ended', (most) => {
    const table = new ReplayTable(newReplayMemory(most));
    for (let index = 0; index < most; index += 1) expect(claim(table, String(index))).toBe('own');
    expect(claim(table, 'one more')).toBe('full');
    for (let index = 0; index < most; index += 1) expect(claim(table, String(index), 'b', 159)).toBe('replay');
    for (let index = 0; index < most; index += 1) {
      expect(claim(table, `new ${String(index)}`, 'a', 160, 300)).toBe('own');
    }
    expect(claim(table, 'one more', 'a', 161, 300)).toBe('full');
  });

  test('as large as a tenant’s is filled, and found again, whole', () => {
    const table = new ReplayTable(newReplayMemory());
    const all = Array.from({ length: MAX_REMEMBERED_TOKENS }, (_, index) => String(index));
    expect(new Set(all.map((id) => claim(table, id)))).toEqual(new Set(['own']));
    expect(claim(table, 'one more')).toBe('full');
    expect(new Set(all.map((id) => claim(table, id, 'b')))).toEqual(new Set(['replay']));
  });

  test('lets tokens come and go for ever', () => {
    const table = new ReplayTable(newReplayMemory(70));
    for (let round = 0; round < 2_000; round += 1) {
      expect(claim(table, `token ${String(round)}`, 'a', round, round + 8)).toBe('own');
      expect(claim(table, `token ${String(round)}`, 'b', round + 1)).toBe('replay');
    }
  });

  test('holds nothing that a token could be told by', () => {
    const memory = newReplayMemory();
    claim(new ReplayTable(memory), 'a-very-secret-id');
    expect(Buffer.from(new Uint8Array(memory)).includes('secret')).toBe(false);
  });
});

test('of two threads that present the same tokens at once, no token is both’s', async () => {
  const tokens = 20_000;
  // Places are taken, let go and taken again all the time.
  const memory = newReplayMemory(250);
  const start = new SharedArrayBuffer(12);
  const threads = ['a', 'b'].map(
    (holder) =>
      new Worker(new URL('../../fakes/replay-thread.ts', import.meta.url), {
        workerData: { memory, start, threads: 2, holder, tokens },
      }),
  );
  const [a, b] = await Promise.all(
    threads.map(async (thread) => {
      // Boundary: what the thread says.
      const [own] = (await once(thread, 'message')) as [readonly number[]];
      return new Set(own);
    }),
  );
  expect(a?.intersection(b ?? new Set()).size).toBe(0);
  expect((a?.size ?? 0) + (b?.size ?? 0)).toBeGreaterThan(tokens * 0.99);
}, 60_000);
