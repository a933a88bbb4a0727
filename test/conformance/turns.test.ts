/**
 * Calls that wait for their turn, through the whole sidecar: shares hold under a flood, bounds are kept, and who waits leaves at once for
 * whatever reason, with nothing left behind. Model servers answer when the test says so, so nothing here goes by time.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TenantScheduling } from '../../src/config/scheduling-config.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { SeatTable } from '../../src/quota/seat-table.ts';
import { SUPERVISOR } from '../../src/quota/shared-state.ts';
import { HeldCalls } from '../fakes/held-calls.ts';
import {
  BALANCED,
  eventually,
  HostileGround,
  INFER,
  inferRequest,
  openTo,
  STREAM_INFER,
} from '../fakes/hostile-ground.ts';
import { type Answer, field, frame, type RawGrpcClient } from '../fakes/raw-grpc-client.ts';

let ground: HostileGround;
let calls: HeldCalls;
beforeEach(async () => {
  calls = await HeldCalls.start(['acme', 'globex']);
});
afterEach(async () => {
  await ground.stop();
  await calls.stop();
});

function scheduling(changes: Partial<TenantScheduling> = {}): TenantScheduling {
  return {
    concurrentCalls: 2,
    maxQueuedCalls: 1_000,
    maxQueuedCallsPerTenant: 200,
    maxWaitMs: 60_000,
    classes: [
      { name: 'interactive', weight: 4 },
      { name: 'batch', weight: 1 },
    ],
    weight: 1,
    defaultClass: 0,
    rules: [],
    ...changes,
  };
}

type Terms = Partial<TenantScheduling>;

function tenants(acme: Terms = {}, globex: Terms = {}): { acme: Partial<TenantConfig>; globex: Partial<TenantConfig> } {
  return {
    acme: { upstream: calls.config('acme'), scheduling: scheduling(acme) },
    globex: { upstream: calls.config('globex'), scheduling: scheduling({ ...acme, weight: 1, ...globex }) },
  };
}

async function start(acme: Terms = {}, globex: Terms = {}): Promise<void> {
  ground = await HostileGround.start(tenants(acme, globex));
}

function table(): SeatTable {
  return new SeatTable(ground.sidecar.shared.seats, SUPERVISOR);
}

async function waits(slot: 0 | 1, count: number): Promise<void> {
  await eventually(`${count} calls wait`, () => table().waiting(slot) === count);
}

function infer(client: RawGrpcClient, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return client.call(INFER, { headers, chunks: [inferRequest()] });
}

function verdict({ status, reason }: Answer): string {
  return reason === '' ? String(status) : `${status} ${reason}`;
}

/** Answers everything until nobody waits, and sees the books balance. */
async function finish(): Promise<void> {
  await eventually('all calls are answered', () => {
    calls.answer();
    return ground.sidecar.listener.calls === 0;
  });
  expect(await ground.balanced()).toEqual(BALANCED);
  for (const slot of [0, 1]) expect([table().running(slot), table().waiting(slot)]).toEqual([0, 0]);
}

/** Two calls that take both seats. */
async function takeSeats(client: RawGrpcClient): Promise<void> {
  void infer(client);
  void infer(client);
  await calls.holds(2);
}

describe('shares', () => {
  it('hold against a flood of ten times as much, call by call', async () => {
    await start({ concurrentCalls: 4 });
    const [acme, globex] = [await ground.client(), await ground.client(ground.globex)];
    const flood = Array.from({ length: 80 }, () => infer(acme));
    await waits(0, 76);
    const modest = Array.from({ length: 8 }, () => infer(globex));
    await waits(1, 8);
    const from = calls.came.length;
    for (let n = 0; n < 16; n++) {
      calls.answer();
      await calls.holds(4);
    }
    // Of 16 turns one half each, as long as both have calls that wait.
    expect(calls.came.slice(from).filter((tenant) => tenant === 'globex')).toHaveLength(8);
    await finish();
    expect(new Set((await Promise.all([...flood, ...modest])).map(({ status }) => status))).toEqual(new Set([0]));
  });

  it('go by weight, and by another weight as soon as it is configured', async () => {
    await start({ concurrentCalls: 1, weight: 3 });
    const [acme, globex] = [await ground.client(), await ground.client(ground.globex)];
    void infer(acme);
    await calls.holds(1);
    for (let n = 0; n < 40; n++) void Promise.all([infer(acme), infer(globex)]);
    await waits(0, 40);
    await waits(1, 40);
    const turns = async (count: number): Promise<number> => {
      const from = calls.came.length;
      for (let n = 0; n < count; n++) {
        calls.answer();
        await calls.holds(1);
      }
      return calls.came.slice(from).filter((tenant) => tenant === 'acme').length;
    };
    expect(await turns(16)).toBe(12);
    await ground.sidecar.applied(ground.generation(tenants({ concurrentCalls: 1 }, { weight: 3 })));
    expect(Math.abs((await turns(16)) - 4)).toBeLessThanOrEqual(1);
    await finish();
  });

  it('of a tenant go by the weights of its classes, here by method', async () => {
    const rules = [{ class: 1, methods: ['*/ModelStreamInfer'] }];
    await start({ concurrentCalls: 1, rules });
    const client = await ground.client();
    void infer(client);
    await calls.holds(1);
    const order: string[] = [];
    const run = async (path: string): Promise<void> => {
      await client.call(path, { chunks: [inferRequest()] });
      order.push(path);
    };
    for (let n = 0; n < 10; n++) void run(STREAM_INFER);
    await waits(0, 10);
    for (let n = 0; n < 10; n++) void run(INFER);
    await waits(0, 20);
    for (let n = 0; n < 11; n++) {
      calls.answer();
      await calls.holds(1);
    }
    await eventually('ten have ended', () => order.length >= 10);
    expect(order.slice(0, 10).filter((path) => path === INFER)).toHaveLength(8);
    await finish();
  });
});

describe('a call of a tenant at its own limit', () => {
  it('waits instead of being refused, and holds up nobody else', async () => {
    const { acme, globex } = tenants({ concurrentCalls: undefined });
    const quota = { perTenant: undefined, perCaller: undefined, maxConcurrentCalls: 1 };
    ground = await HostileGround.start({ acme: { ...acme, quota }, globex });
    const [first, other] = [await ground.client(), await ground.client(ground.globex)];
    const answers = [infer(first), infer(first)];
    await waits(0, 1);
    void infer(other);
    await calls.holds(2);
    expect(calls.came.toSorted()).toEqual(['acme', 'globex']);
    await finish();
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([0, 0]);
  });

  it('is refused where calls do not wait', async () => {
    const quota = { perTenant: undefined, perCaller: undefined, maxConcurrentCalls: 1 };
    ground = await HostileGround.start({ acme: { upstream: calls.config('acme'), quota } });
    const client = await ground.client();
    void infer(client);
    await calls.holds(1);
    expect(verdict(await infer(client))).toBe('8 CONCURRENCY_LIMITED');
    await finish();
  });
});

describe('a line', () => {
  it('holds n calls of a tenant, and refuses n + 1 as its tenant’s own limit', async () => {
    await start({ maxQueuedCallsPerTenant: 2 });
    const client = await ground.client();
    await takeSeats(client);
    for (let n = 0; n < 2; n++) void infer(client);
    await waits(0, 2);
    const refused = await infer(client);
    expect(verdict(refused)).toBe('8 QUEUE_FULL');
    expect(Number(refused.headers['grpc-retry-pushback-ms'])).toBeGreaterThanOrEqual(50);
    await finish();
  });

  it('that is full of all tenants’ calls is nobody’s limit, and has room for a tenant that has none in it', async () => {
    await start({ maxQueuedCalls: 4, maxQueuedCallsPerTenant: 4 });
    const [acme, globex] = [await ground.client(), await ground.client(ground.globex)];
    await takeSeats(acme);
    for (let n = 0; n < 2; n++) void infer(acme);
    await waits(0, 2);
    expect(verdict(await infer(acme))).toBe('14 QUEUE_FULL');
    void infer(globex);
    await waits(1, 1);
    await finish();
  });

  it('refuses at once who could not end in time by what is measured, and says when to come again', async () => {
    await start({ concurrentCalls: 1 });
    const client = await ground.client();
    void infer(client);
    await calls.holds(1);
    for (let n = 0; n < 8; n++) void infer(client);
    await waits(0, 8);
    for (let n = 0; n < 4; n++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      calls.answer();
      await calls.holds(1);
    }
    // Five places at 20 ms each or more, however slow this machine is.
    const late = await infer(client, { 'grpc-timeout': '30m' });
    expect(verdict(late)).toBe('14 QUEUE_TOO_SLOW');
    expect(Number(late.headers['grpc-retry-pushback-ms'])).toBeGreaterThan(30);
    void infer(client, { 'grpc-timeout': '100S' });
    await waits(0, 5);
    await finish();
  });

  it('is left by who has waited as long as a call may', async () => {
    await start({ maxWaitMs: 100 });
    const client = await ground.client();
    await takeSeats(client);
    expect(verdict(await infer(client))).toBe('14 QUEUE_TOO_SLOW');
    await finish();
  });
});

describe('who waits leaves at once, and leaves nothing behind', () => {
  it('when its client cancels it', async () => {
    await start();
    const client = await ground.client();
    await takeSeats(client);
    const cancelled = client.call(INFER, { chunks: [inferRequest()], cancelAfterMs: 50 });
    await waits(0, 1);
    await cancelled;
    await waits(0, 0);
    await finish();
    expect(calls.came).toHaveLength(2);
  });

  it('when its client’s connection ends', async () => {
    await start();
    const [staying, leaving] = [await ground.client(), await ground.client()];
    await takeSeats(staying);
    for (let n = 0; n < 5; n++) void infer(leaving);
    await waits(0, 5);
    leaving.close();
    await waits(0, 0);
    await finish();
    expect(calls.came).toHaveLength(2);
  });

  it('when its deadline passes', async () => {
    await start();
    const client = await ground.client();
    await takeSeats(client);
    const late = infer(client, { 'grpc-timeout': '80m' });
    await waits(0, 1);
    expect((await late).status).toBe(4);
    await waits(0, 0);
    await finish();
  });

  it('when what it was admitted by is withdrawn', async () => {
    await start();
    const client = await ground.client();
    await takeSeats(client);
    const waiting = infer(client);
    await waits(0, 1);
    const options = tenants();
    await ground.sidecar.applied(ground.generation({ ...options, acme: { ...options.acme, bindings: [] } }));
    expect(verdict(await waiting)).toBe('16 AUTHORIZATION_EXPIRED');
    await waits(0, 0);
    await finish();
    expect(calls.came).toHaveLength(2);
  });

  it('when its tenant is taken out', async () => {
    await start();
    const client = await ground.client();
    await takeSeats(client);
    const waiting = infer(client);
    await waits(0, 1);
    const generation = ground.generation(tenants());
    await ground.sidecar.applied({ ...generation, tenants: generation.tenants.filter(({ slot }) => slot === 1) });
    expect(verdict(await waiting)).toBe('16 AUTHORIZATION_EXPIRED');
    await waits(0, 0);
    await finish();
  });

  it('when the sidecar ends, and has its turn if there is time', async () => {
    await start();
    const client = await ground.client();
    await takeSeats(client);
    const waiting = infer(client);
    await waits(0, 1);
    const drained = ground.sidecar.listener.drain(5_000);
    calls.answer();
    await eventually('the one that waited has its turn', () => calls.came.length === 3);
    await finish();
    expect((await waiting).status).toBe(0);
    expect(await drained).toBe(0);
  });

  it('when the sidecar ends and there is no time', async () => {
    await start();
    const client = await ground.client();
    await takeSeats(client);
    const waiting = infer(client);
    await waits(0, 1);
    expect(await ground.sidecar.listener.drain(50)).toBe(3);
    await waiting;
    expect(await ground.balanced()).toEqual(BALANCED);
    expect([table().running(0), table().waiting(0)]).toEqual([0, 0]);
    expect(calls.came).toHaveLength(2);
  });
});

describe('a call that waits', () => {
  it('has reserved nothing, sends nothing, and holds no more than its window', async () => {
    const { acme, globex } = tenants();
    const total = { name: 'contract', level: 'tenant', bound: { kind: 'total', amount: 3, sinceSeconds: 0 } } as const;
    const quota = { perTenant: undefined, perCaller: undefined, maxConcurrentCalls: undefined, limits: [total] };
    const limits = { streamWindowBytes: 64 * 1024 };
    ground = await HostileGround.start({ acme: { ...acme, quota }, globex, limits });
    const client = await ground.client();
    await takeSeats(client);
    const large = frame(Buffer.concat([field(1, 'digits'), field(9, Buffer.alloc(1024 * 1024))]));
    const cancelled = client.call(INFER, { chunks: [large], cancelAfterMs: 300 });
    await waits(0, 1);
    await eventually('its window is full', () => ground.usage(0).bytesInFlight >= 64 * 1024);
    expect(ground.usage(0).bytesInFlight).toBeLessThanOrEqual(64 * 1024);
    await cancelled;
    // Two of three were used: had the one that waited taken the third, this would be refused.
    const third = infer(client);
    await waits(0, 1);
    await finish();
    expect((await third).status).toBe(0);
    expect(verdict(await infer(client))).toBe('8 QUOTA_EXHAUSTED');
  });

  it('is judged again when something has changed meanwhile, and goes on where it still may', async () => {
    await start();
    const client = await ground.client();
    await takeSeats(client);
    const waiting = infer(client);
    await waits(0, 1);
    const { roles } = openTo(ground.acme);
    const options = tenants();
    const renamed = roles.map((role) => ({ ...role, source: 'tenant.yaml:9' }));
    await ground.sidecar.applied(ground.generation({ ...options, acme: { ...options.acme, roles: renamed } }));
    await finish();
    expect((await waiting).status).toBe(0);
  });

  it('is on record with how long it waited, between what it may and what it reserved', async () => {
    await start();
    const client = await ground.client();
    await takeSeats(client);
    const waiting = infer(client);
    await waits(0, 1);
    await finish();
    await waiting;
    const gates = (await ground.records(3)).map((record) => record.gates.map(({ gate }) => gate).join(' '));
    expect(gates.toSorted()).toEqual([
      'identify authenticate authorize queue reserve inspect upstream',
      'identify authenticate authorize reserve inspect upstream',
      'identify authenticate authorize reserve inspect upstream',
    ]);
  });
});
