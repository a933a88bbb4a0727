/**
 * Redis with another time, without memory, with another password, as a cluster: what three sidecars grant is within what manual/fleet.md says.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  it('has another time, windows follow its clock; within a window nothing is granted twice', async () => {
    const redis = kept(await RedisServer.start({ movableClock: true }));
    const fleet = await fleetOf([redis.address], { calls: AMOUNT, window: '30d' });
    let granted = sum(await fleet.load((count) => count >= 1_000));
    redis.setClock(3_600);
    granted += sum(await fleet.load((count) => count >= 500));
    redis.setClock(0);
    granted += sum(await fleet.exhaust(3_000));
    expect(granted).toBeLessThanOrEqual(AMOUNT + SIDECARS * SLICE);
    expect(granted).toBeGreaterThanOrEqual(AMOUNT - SIDECARS);
    expect(fleet.sidecars[0]?.child.output).toContain('the clock of the store of the fleet’s limits has moved');
  });

  it('forgets scripts, loses the key, or has no memory left, it is as the manual says', async () => {
    const redis = kept(await RedisServer.start());
    const fleet = await fleetOf([redis.address]);
    let granted = sum(await fleet.load((count) => count >= 300));
    await redis.run('SCRIPT', 'FLUSH');
    granted += sum(await fleet.load((count) => count >= 300));
    await redis.run('CONFIG', 'SET', 'maxmemory', '1');
    await until(
      'the metric',
      async () => ((await fleet.metric(0, 'bulkhead_fleet_store_up')) === 0 ? true : undefined),
      10_000,
    );
    expect(fleet.sidecars[0]?.child.output).toContain('"why":"full"');
    await redis.run('CONFIG', 'SET', 'maxmemory', '0');
    await redis.run('FLUSHALL');
    granted += sum(await fleet.exhaust(3_000));
    expect(granted).toBeLessThanOrEqual(AMOUNT + WITHOUT_STORE + SIDECARS * SLICE);
    expect(granted).toBeGreaterThanOrEqual(AMOUNT - SIDECARS);
  });

  it('refuses the password, the log says so without it, each has its share; and with the right one the rest', async () => {
    // The rights that manual/fleet.md asks for, and no others.
    const rights =
      '+evalsha +eval +hgetall +hget +hset +hdel +hexists +get +set +pexpire +persist +time +ping +info +hello';
    const redis = kept(await RedisServer.start({ config: [`user bulkhead on >right-horse ~bulkhead:* ${rights}`] }));
    const password = 'wrong-battery-staple';
    const passwordFile = writtenFile(password);
    const fleet = await fleetOf([redis.address], undefined, {
      redis: { addresses: [redis.address], username: 'bulkhead', passwordFile },
    });
    const granted = sum(await fleet.exhaust(2_000));
    expect(granted).toBe(WITHOUT_STORE);
    const output = fleet.sidecars[0]?.child.output ?? '';
    expect(output).toContain('"why":"refused"');
    expect(output).not.toContain(password);
    writeFileSync(`${passwordFile}.new`, 'right-horse\n');
    renameSync(`${passwordFile}.new`, passwordFile);
    for (const sidecar of [0, 1, 2])
      await until(
        'the store is used',
        async () => ((await fleet.metric(sidecar, 'bulkhead_fleet_store_up')) === 1 ? true : undefined),
        20_000,
      );
    const rest = sum(await fleet.exhaust(3_000));
    expect(granted + rest).toBeLessThanOrEqual(AMOUNT);
    expect(granted + rest).toBeGreaterThanOrEqual(AMOUNT - SIDECARS);
  });
});

describe('three sidecars on a cluster of three nodes', () => {
  it('grant as many calls as there are, also when a node that has nothing of it is gone', async () => {
    const nodes = await RedisServer.cluster();
    for (const node of nodes) kept(node);
    const addresses = nodes.map(({ address }) => address);
    const fleet = await fleetOf(addresses, undefined, { redis: { addresses, cluster: true } });
    let granted = sum(await fleet.load((count) => count >= AMOUNT / 2));
    const sizes = await Promise.all(nodes.map(async (node) => Number(await node.run('DBSIZE'))));
    expect(sum(sizes)).toBe(1);
    await nodes[sizes.indexOf(0)]?.kill();
    granted += sum(await fleet.exhaust(3_000));
    expect(granted).toBeLessThanOrEqual(AMOUNT + WITHOUT_STORE);
    expect(granted).toBeGreaterThanOrEqual(AMOUNT - SIDECARS);
  });
});

function writtenFile(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'bulkhead-fleet-'));
  running.push({ stop: async () => rmSync(directory, { recursive: true, force: true }) });
  const file = join(directory, 'password');
  writeFileSync(file, `${text}\n`, { mode: 0o600 });
  return file;
}
