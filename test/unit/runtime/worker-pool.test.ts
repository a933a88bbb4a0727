import { connect, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { verifyDirectory } from '../../../src/audit/verify.ts';
import type { Generation, ListenerConfig } from '../../../src/config/generation.ts';
import {
  attachSharedState,
  createSharedState,
  IN_PROGRESS,
  type SharedState,
  SUPERVISOR,
} from '../../../src/quota/shared-state.ts';
import { WorkerPool } from '../../../src/runtime/worker-pool.ts';
import { until } from '../../e2e/harness/until.ts';
import { generationOf } from '../../fakes/in-process-sidecar.ts';
import { temporaryDirectory } from '../../fakes/temporary-directory.ts';

/** Threads are started, on a machine that may have other things to do. */
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

interface Death {
  readonly index: number;
  readonly restartInMs: number | undefined;
}

const LISTEN: ListenerConfig = { address: '127.0.0.1', port: 0, minTlsVersion: 'TLSv1.3' };

let pool: WorkerPool;
let shared: SharedState;
let generation: Generation;
let deaths: Death[];
let retired: number[];
/** Happens at once, before a successor is born. */
let whenDead: (() => void) | undefined;
/** Calls that dead workers had in progress. */
let left: number[];

function make(workers: number, capacity = 18): void {
  const audit = { ...generationOf([]).audit, directory: temporaryDirectory() };
  generation = { ...generationOf([]), workers, audit, listener: LISTEN };
  shared = createSharedState({ tenantSlots: 2, workers: capacity });
  deaths = [];
  retired = [];
  left = [];
  whenDead = undefined;
  pool = new WorkerPool(generation, shared, {
    died: (index, _, restartInMs, { calls }) => {
      deaths.push({ index, restartInMs });
      left.push(calls);
      whenDead?.();
    },
    retired: (index) => retired.push(index),
    asked: () => undefined,
    metrics: () => undefined,
  });
}

afterEach(async () => {
  await pool.drain(1_000);
});

const indexes = (): number[] => pool.workers.map(({ index }) => index).toSorted((a, b) => a - b);

/** How far sums over workers go. */
const span = (): number | undefined => new Int32Array(shared.span)[0];

const eventually = (what: string, condition: () => boolean): Promise<true> =>
  until(what, () => (condition() ? true : undefined), 30_000, 5);

/** Ends a worker's thread as a crash would. */
function crash(index: number): void {
  const handle = pool.workers.find((worker) => worker.index === index);
  void handle?.ended(0);
}

function accepted(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const say = (answer: boolean) => (): void => {
      resolve(answer);
      socket.destroy();
    };
    socket.once('connect', say(true));
    socket.once('error', say(false));
  });
}

async function taken(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return { server, port: typeof address === 'object' && address !== null ? address.port : 0 };
}

describe('workers', () => {
  it('become more and fewer, and leave whole audit logs and nothing reserved', async () => {
    make(1);
    const port = await pool.start();
    expect([port === 0, indexes(), span()]).toEqual([false, [0], 1]);
    await pool.grow(3);
    expect([pool.listening, indexes(), span()]).toEqual([3, [0, 1, 2], 3]);
    // Nobody made it: it stands for what a bookkeeping error would leave.
    const tables = attachSharedState(shared, SUPERVISOR);
    tables.bytes[2 * shared.tenantSlots] = 7;
    pool.shrink(2);
    expect([pool.listening, pool.leaving, span()]).toEqual([2, 1, 3]);
    await eventually('its end', () => retired.length === 1);
    expect([indexes(), span(), tables.bytes[2 * shared.tenantSlots]]).toEqual([[0, 1], 2, 0]);
    pool.shrink(1);
    await eventually('its end', () => retired.length === 2);
    expect([indexes(), span(), retired, deaths]).toEqual([[0], 1, [2, 1], []]);
    expect(await verifyDirectory(generation.audit.directory)).toMatchObject({ ok: true });
  });

  it('get the lowest index that nobody has, also not one who leaves', async () => {
    make(3);
    await pool.start();
    pool.shrink(1);
    await pool.grow(3);
    expect(pool.listening).toBe(3);
    await eventually('two have left', () => retired.length === 2);
    expect([indexes(), span()]).toEqual([[0, 3, 4], 5]);
    pool.shrink(1);
    await eventually('all others have left', () => retired.length === 4);
    await pool.grow(2);
    expect([indexes(), span()]).toEqual([[0, 1], 2]);
  });

  it('wait for one who leaves when there is no room for another', async () => {
    make(2, 2);
    await pool.start();
    pool.shrink(1);
    await pool.grow(2);
    expect([indexes(), retired]).toEqual([[0, 1], [1]]);
    await expect(pool.grow(3)).rejects.toThrow('there is room for 2 workers');
    expect(indexes()).toEqual([0, 1]);
  });

  it('that are not wanted any more are not replaced when they are dead', async () => {
    make(3);
    await pool.start();
    whenDead = () => pool.shrink(2);
    crash(2);
    await eventually('its death', () => deaths.length === 1);
    expect(deaths).toEqual([{ index: 2, restartInMs: 0 }]);
    expect([indexes(), span()]).toEqual([[0, 1], 2]);
    whenDead = undefined;
    pool.shrink(1);
    crash(1);
    await eventually('one is left', () => indexes().length === 1);
    // It may have drained before it was ended.
    expect(deaths.slice(1).map(({ restartInMs }) => restartInMs)).toEqual(retired.length === 0 ? [undefined] : []);
    await pool.grow(2);
    expect(pool.listening).toBe(2);
  });

  it('that dies is reported with the calls that it had in progress, which are nobody’s any more', async () => {
    make(2);
    await pool.start();
    const tables = attachSharedState(shared, SUPERVISOR);
    const { ints } = tables;
    const own = tables.cellBase(1) + IN_PROGRESS + 1;
    ints[own] = 3;
    crash(1);
    await eventually('its death', () => deaths.length === 1);
    expect([left, ints[own]]).toEqual([[3], 0]);
    await eventually('its successor', () => pool.listening === 2);
  });

  it('that died while a generation came are born with it', async () => {
    make(2);
    const port = await pool.start();
    for (let times = 1; times < 3; times++) {
      crash(1);
      await eventually('its death', () => deaths.length === times);
      if (times === 1) await eventually('its successor', () => pool.listening === 2);
    }
    expect(deaths.at(-1)).toEqual({ index: 1, restartInMs: 50 });
    await pool.apply({ ...generation, number: 2 });
    await eventually('its successor', () => pool.listening === 2);
    // Whoever has another generation would not take this one.
    await pool.apply({ ...generation, number: 3 });
    expect([pool.port, deaths.length]).toEqual([port, 2]);
  });
});

describe('another address', () => {
  it('is bound by all before the first leaves the old one', async () => {
    make(2);
    const before = await pool.start();
    await pool.prepare(LISTEN);
    expect(pool.port).toBe(before);
    await pool.apply({ ...generation, number: 2 });
    expect(pool.port).not.toBe(before);
    expect(await accepted(pool.port ?? 0)).toBe(true);
    expect(await accepted(before ?? 0)).toBe(false);
  });

  it('that is taken is not moved to, and can be had when it is free', async () => {
    make(2);
    const before = await pool.start();
    const { server, port } = await taken();
    await expect(pool.prepare({ ...LISTEN, port })).rejects.toThrow('EADDRINUSE');
    pool.abandon();
    expect([await accepted(before ?? 0), pool.port]).toEqual([true, before]);
    await new Promise((resolve) => server.close(resolve));
    await pool.prepare({ ...LISTEN, port });
    await pool.apply({ ...generation, number: 2, listener: { ...LISTEN, port } });
    expect([pool.port, await accepted(port), await accepted(before ?? 0)]).toEqual([port, true, false]);
  });

  it('is bound by whoever is born while it is prepared', async () => {
    make(1);
    const before = await pool.start();
    await pool.prepare(LISTEN);
    crash(0);
    await eventually('its death', () => deaths.length === 1);
    await eventually('its successor', () => pool.listening === 1);
    await pool.apply({ ...generation, number: 2 });
    expect(await accepted(pool.port ?? 0)).toBe(true);
    expect(await accepted(before ?? 0)).toBe(false);
  });
});

describe('an address that is not moved to after all', () => {
  it('is not kept by whoever was being born while it was prepared', async () => {
    make(1);
    const before = await pool.start();
    await pool.prepare(LISTEN);
    crash(0);
    await eventually('its death', () => deaths.length === 1);
    await eventually('its successor’s birth', () => pool.workers.length === 1);
    // Its thread has not even begun.
    pool.abandon();
    await eventually('its successor', () => pool.listening === 1);
    await pool.apply({ ...generation, number: 2 });
    expect([pool.port, await accepted(before ?? 0)]).toEqual([before, true]);
  });
});

describe('a drain', () => {
  it('ends who is being born, and lets nobody be born afterwards', async () => {
    make(1);
    await pool.start();
    const growth = pool.grow(3).then(
      () => 'grown',
      () => 'refused',
    );
    await pool.drain(1_000);
    expect(await growth).toBe('refused');
    expect(pool.workers).toEqual([]);
    await expect(pool.grow(2)).rejects.toThrow('stopping');
  });
});
