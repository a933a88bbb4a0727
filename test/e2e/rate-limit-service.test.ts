/**
 * Envoy's own rate limit service as a tenant's: its answers are ours, a call waits no longer than it may, and its absence and return are
 * as the configuration says.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ModelUpstream } from './harness/model-upstream.ts';
import { RateLimitService } from './harness/rate-limit-service.ts';
import { RedisServer } from './harness/redis.ts';
import { Sidecar } from './harness/sidecar.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

const PER_DAY = 20;
const running: { stop(): unknown }[] = [];
let service: RateLimitService;
let sidecar: Sidecar;

function kept<T extends { stop(): unknown }>(one: T): T {
  running.push(one);
  return one;
}

beforeAll(async () => {
  const upstream = kept(await ModelUpstream.start());
  const redis = kept(await RedisServer.start());
  const perDay = { unit: 'day', requests_per_unit: PER_DAY };
  const rules = {
    domain: 'models',
    descriptors: [
      { key: 'tenant', value: 'acme', rate_limit: perDay },
      { key: 'tenant', value: 'other', rate_limit: { unit: 'day', requests_per_unit: 1_000_000 } },
    ],
  };
  service = kept(await RateLimitService.start(redis.address, rules));
  const quota = (more: object) => ({
    quota: {
      service: { address: `http://127.0.0.1:${service.port}`, domain: 'models', descriptors: [['tenant']], ...more },
    },
  });
  sidecar = kept(
    await Sidecar.start({
      tenants: [
        { id: 'acme', upstream: upstream.address, extra: quota({ timeout: '2s' }) },
        { id: 'other', upstream: upstream.address, extra: quota({ timeout: '300ms' }) },
        { id: 'lax', upstream: upstream.address, extra: quota({ timeout: '300ms', whenUnavailable: 'allow' }) },
      ],
    }),
  );
});
afterAll(async () => {
  for (const one of running.splice(0).reverse()) await one.stop();
});

async function call(tenant: string): Promise<string> {
  const client = tenantClient(sidecar, tenant);
  try {
    return (await client.infer({ modelName: 'digits', id: 'delay:0', inputs: [] })).code;
  } finally {
    client.close();
  }
}

it('grants as many calls as it says, and refuses the next with its own limit', async () => {
  const codes = await Promise.all(Array.from({ length: PER_DAY + 5 }, () => call('acme')));
  expect(codes.filter((code) => code === 'OK')).toHaveLength(PER_DAY);
  expect(codes.filter((code) => code === 'RESOURCE_EXHAUSTED')).toHaveLength(5);
  const counted = 'bulkhead_rate_service_answers_total{tenant="acme",answer="over_limit"} 5';
  await until(
    'counted',
    async () => ((await sidecar.admin('/metrics')).text.includes(counted) ? true : undefined),
    10_000,
  );
});

it('has no say over a tenant of which it knows no limit', async () => {
  expect(await call('lax')).toBe('OK');
});

it('that stands still keeps a call no longer than its timeout, and no other call', async () => {
  expect(await call('other')).toBe('OK');
  service.signal('SIGSTOP');
  try {
    const from = performance.now();
    expect(await Promise.all([call('other'), call('other'), call('lax')])).toEqual([
      'UNAVAILABLE',
      'UNAVAILABLE',
      'OK',
    ]);
    expect(performance.now() - from).toBeLessThan(5_000);
  } finally {
    service.signal('SIGCONT');
  }
});

it('that is gone refuses or allows, as configured, and is asked again when it is back', async () => {
  await service.kill();
  expect(await call('other')).toBe('UNAVAILABLE');
  expect(await call('lax')).toBe('OK');
  await service.restart();
  await until('it is asked again', async () => ((await call('other')) === 'OK' ? true : undefined), 20_000);
  // What it counts outlives it, in its Redis.
  expect(await call('acme')).toBe('RESOURCE_EXHAUSTED');
});
