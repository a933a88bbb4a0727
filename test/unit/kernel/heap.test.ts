import { getHeapStatistics } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { type Collect, collector, settleHeap } from '../../../src/kernel/heap.ts';

it('settling collects the whole heap once, up to 64 MiB as a last resort', () => {
  const asked: Parameters<Collect>[0][] = [];
  settleHeap((options) => void asked.push(options), 64 * 1024 * 1024 + 1);
  expect(asked).toEqual([{ type: 'major', execution: 'sync' }]);
  settleHeap((options) => void asked.push(options), 64 * 1024 * 1024);
  expect(asked.slice(1)).toEqual([{ type: 'major', execution: 'sync', flavor: 'last-resort' }]);
});

it('the collector is V8’s own: what nobody holds is gone when it returns, and nobody else sees it', () => {
  const collect = collector();
  let held: object[] | undefined = Array.from({ length: 200_000 }, (_, n) => ({ n, text: `${n}` }));
  collect({ type: 'major', execution: 'sync' });
  const full = getHeapStatistics().used_heap_size;
  held = held.length > 0 ? undefined : held;
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  expect(getHeapStatistics().used_heap_size).toBeLessThan(full - 5_000_000);
  expect(held).toBeUndefined();
  expect('gc' in globalThis).toBe(false);
});

it('the collector is to be had by threads that start at the same time', async () => {
  const threads = Array.from({ length: 4 }, () => {
    const thread = new Worker(new URL('./collecting-thread.ts', import.meta.url), { workerData: 200 });
    return new Promise((resolve) => {
      thread.once('message', resolve);
      thread.once('error', resolve);
    });
  });
  expect(await Promise.all(threads)).toEqual([200, 200, 200, 200]);
});
