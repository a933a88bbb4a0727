/**
 * Redis killed, standing still, failed over: what three sidecars grant is within what manual/fleet.md says, and nobody waits.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { AMOUNT, fleetOn, SIDECARS, SLICE, sum, WITHOUT_STORE } from './harness/fleet.ts';
import { RedisServer } from './harness/redis.ts';
import { until } from './harness/until.ts';

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

describe('when Redis', () => {
  it('is killed, each goes on with its share; when it is back with nothing in it, it is told what was used', async () => {
    const redis = kept(await RedisServer.start());
    const fleet = await fleetOf([redis.address]);
    const before = sum(await fleet.load((granted) => granted >= 300));
    await redis.kill();
    const away = sum(await fleet.exhaust(3_000));
    expect(before + away).toBeLessThanOrEqual(before + SIDECARS * SLICE + WITHOUT_STORE);
    expect(await fleet.metric(0, 'bulkhead_fleet_store_up')).toBe(0);
    const [sidecar] = fleet.sidecars;
    expect((await sidecar?.admin('/readyz'))?.status).toBe(200);
    await redis.restart();
    const granted = before + away + sum(await fleet.exhaust(3_000));
    expect(granted).toBeLessThanOrEqual(AMOUNT + WITHOUT_STORE + SIDECARS * SLICE);
    expect(granted).toBeGreaterThanOrEqual(AMOUNT - SIDECARS);
    expect(await fleet.metric(0, 'bulkhead_fleet_store_up')).toBe(1);
    expect(sidecar?.child.output).toContain('the store of the fleet’s limits answers again');
  });

  it('stands still, calls are answered as before until the leases end, and none waits', async () => {
    const redis = kept(await RedisServer.start());
    const fleet = await fleetOf([redis.address], undefined, { localShare: '0%' });
    const before = sum(await fleet.load((granted) => granted >= 300));
    redis.signal('SIGSTOP');
    let slowest = 0;
    const loaded = await fleet.exhaust(3_000);
    for (let call = 0; call < 20; call++) {
      const from = performance.now();
      expect(await fleet.call(call % SIDECARS)).toBe('RESOURCE_EXHAUSTED');
      slowest = Math.max(slowest, performance.now() - from);
    }
    // Far below what an answer of Redis may take, were one waited for twenty times.
    expect(slowest).toBeLessThan(2_000);
    expect(sum(loaded)).toBeLessThanOrEqual(SIDECARS * SLICE);
    redis.signal('SIGCONT');
    const granted = before + sum(loaded) + sum(await fleet.exhaust(3_000));
    expect(granted).toBeLessThanOrEqual(AMOUNT);
    expect(granted).toBeGreaterThanOrEqual(AMOUNT - SIDECARS);
  });

  it('fails over to its replica, the replica is used, with what it knows', async () => {
    const main = kept(await RedisServer.start());
    const replica = kept(await RedisServer.start({ config: [`replicaof 127.0.0.1 ${main.port}`] }));
    await until(
      'the replica follows',
      async () =>
        String(await replica.run('INFO', 'replication')).includes('master_link_status:up') ? true : undefined,
      20_000,
    );
    const fleet = await fleetOf([main.address, replica.address]);
    const before = sum(await fleet.load((granted) => granted >= 600));
    await main.kill();
    // Until then it says READONLY.
    const between = sum(await fleet.load((granted) => granted >= 50));
    await replica.run('REPLICAOF', 'NO', 'ONE');
    const granted = before + between + sum(await fleet.exhaust(3_000));
    expect(granted).toBeLessThanOrEqual(AMOUNT + WITHOUT_STORE + SIDECARS * SLICE);
    expect(granted).toBeGreaterThanOrEqual(AMOUNT - SIDECARS);
  });
});
