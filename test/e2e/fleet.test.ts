/**
 * Three sidecars and one real Redis: what they grant together is within the limit, and nothing of it is lost.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { AMOUNT, fleetOn, SIDECARS, sum } from './harness/fleet.ts';
import { RedisServer } from './harness/redis.ts';

const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});

function kept<T extends { stop(): Promise<void> }>(one: T): T {
  running.push(one);
  return one;
}

async function fleetOf(...setup: Parameters<typeof fleetOn>): ReturnType<typeof fleetOn> {
  return kept(await fleetOn(...setup));
}

describe('three sidecars on one Redis', () => {
  it('grant as many calls as there are, and not one more', async () => {
    const redis = kept(await RedisServer.start());
    const fleet = await fleetOf([redis.address]);
    const granted = sum(await fleet.exhaust(2_500));
    expect(granted).toBeLessThanOrEqual(AMOUNT);
    expect(granted).toBeGreaterThanOrEqual(AMOUNT - SIDECARS);
  });

  it('leave what they do not use to the one that does', async () => {
    const redis = kept(await RedisServer.start());
    const fleet = await fleetOf([redis.address], { calls: 600, window: 'day' });
    const [granted = 0] = await fleet.exhaust(2_500, [0]);
    expect(granted).toBeLessThanOrEqual(600);
    expect(granted).toBeGreaterThanOrEqual(600 - 2);
  });

  it('share a rate: no more than the bucket, its refill, and what each has in hand', async () => {
    const redis = kept(await RedisServer.start());
    const fleet = await fleetOf([redis.address], { rate: '200/s', burst: 100 });
    const from = performance.now();
    const granted = sum(await fleet.load(() => performance.now() - from > 3_000));
    const seconds = (performance.now() - from) / 1_000;
    expect(granted).toBeLessThanOrEqual(100 + 200 * (seconds + 1) + 100);
    expect(granted).toBeGreaterThanOrEqual(200 * 3 * 0.8);
  });

  it('tell what was used before they end, and find it when they come back', async () => {
    const redis = kept(await RedisServer.start());
    const first = await fleetOf([redis.address]);
    const before = sum(await first.load((granted) => granted >= AMOUNT / 2));
    running.splice(running.indexOf(first), 1);
    await first.stop();
    const second = await fleetOf([redis.address]);
    const granted = before + sum(await second.exhaust(2_500));
    expect(granted).toBeLessThanOrEqual(AMOUNT);
    expect(granted).toBeGreaterThanOrEqual(AMOUNT - SIDECARS);
  });
});
