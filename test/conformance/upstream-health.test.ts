/**
 * Model servers that say how they are (grpc.health.v1): while one is unhealthy its tenants' callers are told at once, calls that run
 * are left alone, and nobody's quota, record or stream is spent on asking.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import type { HealthCheckConfig } from '../../src/config/upstream-config.ts';
import type { Health } from '../../src/proxy/upstream-health.ts';
import { FakeUpstream, respond } from '../fakes/fake-upstream.ts';
import { HealthService, NOT_SERVING, SERVING, wordOf } from '../fakes/health-service.ts';
import { BALANCED, eventually, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import type { Answer, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { GRPC_HEADERS, RawUpstream } from '../fakes/raw-upstream.ts';

const CHECK: HealthCheckConfig = {
  service: '',
  intervalMs: 50,
  timeoutMs: 1_000,
  unhealthyThreshold: 2,
  healthyThreshold: 1,
};

let ground: HostileGround;
let upstream: FakeUpstream;
let health: HealthService;
let client: RawGrpcClient;
let stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops) await stop();
  stops = [];
});

async function start(
  healthCheck: Partial<HealthCheckConfig> | undefined,
  changes: Partial<TenantConfig['upstream']> = {},
): Promise<void> {
  upstream = await FakeUpstream.start();
  health = new HealthService(upstream);
  ground = await HostileGround.start({ acme: { upstream: checked(healthCheck, changes) } });
  stops = [() => ground.stop(), () => upstream.stop()];
  client = await ground.client();
}

/** The model server's configuration, with this health check. */
function checked(
  healthCheck: Partial<HealthCheckConfig> | undefined,
  changes: Partial<TenantConfig['upstream']> = {},
): TenantConfig['upstream'] {
  const check = healthCheck === undefined ? {} : { healthCheck: { ...CHECK, ...healthCheck } };
  return { ...upstream.config, ...check, ...changes };
}

const infer = (): Promise<Answer> => client.call(INFER, { chunks: [inferRequest()], cancelAfterMs: 5_000 });

/** What the sidecar holds of acme's model server. */
function known(): Health['at'] | undefined {
  const { config, pool } = ground.sidecar.tenants.runtime(ground.acme.config.id) ?? {};
  const watch = config === undefined ? undefined : ground.sidecar.tenants.probes.join(config.upstream);
  watch?.leave();
  return pool === undefined ? undefined : watch?.now.at;
}

const unhealthy = { status: 14, reason: 'UPSTREAM_UNAVAILABLE' };

describe('a model server that is asked how it is', () => {
  it('has no calls while it says that it does not serve, and has them again as soon as it says that it does', async () => {
    await start({});
    await eventually('that it serves', () => known() === 'healthy');
    expect(await infer()).toMatchObject({ status: 0 });
    health.say(NOT_SERVING);
    await eventually('that it does not', () => known() === 'unhealthy');
    const before = health.calls.length;
    const refused = await Promise.all(Array.from({ length: 20 }, () => infer()));
    expect(refused).toEqual(Array.from({ length: 20 }, () => expect.objectContaining(unhealthy)));
    expect(health.calls).toHaveLength(before);
    // The neighbour's model server is another one.
    const neighbour = await ground.client(ground.globex);
    expect(await neighbour.call(INFER, { chunks: [inferRequest()] })).toMatchObject({ status: 0 });
    health.say(SERVING);
    await eventually('that it serves again', () => known() === 'healthy');
    expect(await infer()).toMatchObject({ status: 0 });
    expect(await ground.balanced()).toEqual(BALANCED);
    const records = (await ground.records(23)).filter(({ outcome }) => outcome !== 'ok');
    expect(records.map(({ reason, outcome, detail }) => [reason, outcome, detail])).toEqual(
      Array.from({ length: 20 }, () => [
        'upstream_unavailable',
        'failed',
        `upstream=${upstream.config.display} why=unhealthy: NOT_SERVING`,
      ]),
    );
  });

  it('that says that it does not serve has calls all the same when it is not asked', async () => {
    await start(undefined);
    health.status = NOT_SERVING;
    for (let i = 0; i < 3; i++) expect(await infer()).toMatchObject({ status: 0 });
    expect(health.asked).toEqual([]);
  });

  it('keeps the calls that it has when it says that it does not serve', async () => {
    await start({});
    const answers: (() => void)[] = [];
    const { answer } = upstream;
    upstream.answer = (stream, call) => {
      if (call.path === INFER) stream.on('end', () => answers.push(() => respond(stream)));
      else answer?.(stream, call);
    };
    const running = infer();
    await eventually('the call', () => answers.length === 1);
    health.say(NOT_SERVING);
    await eventually('that it does not serve', () => known() === 'unhealthy');
    expect(await infer()).toMatchObject(unhealthy);
    for (const finish of answers) finish();
    expect(await running).toMatchObject({ status: 0 });
  });

  it('and hangs is found so, by as many questions as the threshold says, and found well again', async () => {
    await start({ timeoutMs: 40 });
    await eventually('that it serves', () => known() === 'healthy');
    health.status = undefined;
    await eventually('that it hangs', () => known() === 'unhealthy');
    expect(await infer()).toMatchObject(unhealthy);
    health.status = SERVING;
    await eventually('that it serves', () => known() === 'healthy');
    expect(await infer()).toMatchObject({ status: 0 });
  });

  it('and has no health service has calls, and is known to have none', async () => {
    await start({});
    health.hasWatch = false;
    health.hasCheck = false;
    await eventually('that it has none', () => known() === 'no_service');
    expect(await infer()).toMatchObject({ status: 0 });
  });

  it('and has only Check is asked by it', async () => {
    await start({});
    health.hasWatch = false;
    await eventually('that it serves', () => known() === 'healthy');
    health.status = NOT_SERVING;
    await eventually('that it does not', () => known() === 'unhealthy');
    expect(await infer()).toMatchObject(unhealthy);
  });

  it('is forgiven what it failed before when it says that it is well', async () => {
    await start({}, { circuit: { failures: 1, openMs: 3_600_000, maxOpenMs: 3_600_000 } });
    await eventually('that it serves', () => known() === 'healthy');
    const { answer } = upstream;
    upstream.answer = (stream) => stream.session?.destroy();
    expect(await infer()).toMatchObject(unhealthy);
    upstream.answer = answer;
    expect(await infer()).toMatchObject({ status: 14, reason: 'CIRCUIT_OPEN' });
    health.say(NOT_SERVING);
    await eventually('that it does not serve', () => known() === 'unhealthy');
    health.say(SERVING);
    await eventually('that it serves', () => known() === 'healthy');
    expect(await infer()).toMatchObject({ status: 0 });
  });

  it('spends no stream, quota or record of its tenant on that', async () => {
    const raw = await RawUpstream.start({ maxConcurrentStreams: 1 });
    const healthCheck = { ...CHECK, intervalMs: 20 };
    ground = await HostileGround.start({
      acme: {
        upstream: raw.config({ healthCheck, maxConnections: 1, maxConcurrentCalls: 1, maxPendingCalls: 1 }),
        quota: { perTenant: { callsPerSecond: 0.001, burst: 2 }, perCaller: undefined, maxConcurrentCalls: 1 },
      },
    });
    stops = [() => ground.stop(), () => raw.stop()];
    // The first connection is the one that asks; its Watch stands.
    raw.script = (up, id) => {
      if (up !== raw.connections[0]) return up.answer(id);
      up.headers(id, GRPC_HEADERS, false);
      up.data(id, wordOf(SERVING));
    };
    client = await ground.client();
    await eventually('some questions', () => (raw.connections[0]?.opened.length ?? 0) > 5);
    expect([await infer(), await infer()]).toEqual([
      expect.objectContaining({ status: 0 }),
      expect.objectContaining({ status: 0 }),
    ]);
    expect(await infer()).toMatchObject({ status: 8, reason: 'RATE_LIMITED' });
    expect(await ground.records(3)).toHaveLength(3);
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});

describe('a change of the configuration', () => {
  it('that turns the health check off has calls pass again, and nobody asks any more', async () => {
    await start({});
    health.status = NOT_SERVING;
    await eventually('that it does not serve', () => known() === 'unhealthy');
    expect(await infer()).toMatchObject(unhealthy);
    ground.sidecar.apply(ground.generation({ acme: { upstream: checked(undefined) } }));
    expect(await infer()).toMatchObject({ status: 0 });
    await eventually('the end of the Watch', () => health.watches.size === 0);
    expect(ground.sidecar.tenants.probes.size).toBe(0);
    const { length } = health.asked;
    await delay(150);
    expect(health.asked).toHaveLength(length);
  });

  it('of something else keeps what is known', async () => {
    await start({ intervalMs: 50 });
    health.status = NOT_SERVING;
    await eventually('that it does not serve', () => known() === 'unhealthy');
    const runtime = ground.sidecar.tenants.runtime(ground.acme.config.id);
    ground.sidecar.apply(ground.generation({ acme: { upstream: checked({ intervalMs: 50 }, { maxConnections: 2 }) } }));
    expect(ground.sidecar.tenants.runtime(ground.acme.config.id)?.pool).not.toBe(runtime?.pool);
    expect(await infer()).toMatchObject(unhealthy);
  });

  it('to another service asks for that one, on a Watch in place of the old', async () => {
    await start({ service: 'one' });
    await eventually('an answer', () => known() === 'healthy');
    ground.sidecar.apply(ground.generation({ acme: { upstream: checked({ service: 'two' }) } }));
    await eventually('an answer', () => known() === 'healthy');
    const last = (): string => health.questions.at(-1)?.body.toString('latin1').slice(7) ?? '';
    await eventually('the question', () => last() === 'two' && health.watches.size === 1);
  });
});
