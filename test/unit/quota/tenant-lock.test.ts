import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { acquire, isHeldBy, release } from '../../../src/quota/tenant-lock.ts';

describe('the tenant lock', () => {
  it('is held by one at a time, and knows by whom', () => {
    const ints = new Int32Array(new SharedArrayBuffer(8));
    expect(acquire(ints, 1, 0)).toBe(true);
    expect(isHeldBy(ints, 1, 0)).toBe(true);
    expect(isHeldBy(ints, 1, 1)).toBe(false);
    release(ints, 1);
    expect(isHeldBy(ints, 1, 0)).toBe(false);
    expect(acquire(ints, 1, 7)).toBe(true);
    expect(ints[0]).toBe(0);
  });

  it('is refused after a short wait when the holder does not give it back, and still names the holder', () => {
    const ints = new Int32Array(new SharedArrayBuffer(4));
    acquire(ints, 0, 3);
    const started = performance.now();
    expect(acquire(ints, 0, 4)).toBe(false);
    expect(performance.now() - started).toBeLessThan(1000);
    expect(isHeldBy(ints, 0, 3)).toBe(true);
    release(ints, 0);
    expect(acquire(ints, 0, 4)).toBe(true);
  });

  it('wakes a thread that sleeps for it', async () => {
    const ints = new Int32Array(new SharedArrayBuffer(8));
    acquire(ints, 0, 0);
    const source = `
      const { workerData } = require('node:worker_threads');
      import(workerData.url).then(({ acquire }) => {
        for (let tries = 0; tries < 500 && !acquire(workerData.ints, 0, 1); tries++);
        Atomics.store(workerData.ints, 1, 1);
      });`;
    const url = new URL('../../../src/quota/tenant-lock.ts', import.meta.url).href;
    const worker = new Worker(source, { eval: true, workerData: { ints, url } });
    while ((Atomics.load(ints, 0) & (1 << 30)) === 0) await sleep(1);
    expect(Atomics.load(ints, 1)).toBe(0);
    release(ints, 0);
    while (Atomics.load(ints, 1) === 0) await sleep(1);
    expect(isHeldBy(ints, 0, 1)).toBe(true);
    await worker.terminate();
  });
});
