/**
 * Limits of every level through the whole sidecar: n calls pass and call n + 1 does not, nothing of it reaches the model server, and
 * its client and the record are told which limit it was. Each has its counter-proof: the same calls where the limit is one higher.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { LimitConfig, OrganisationConfig, QuotaConfig } from '../../src/config/quota-config.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import {
  BALANCED,
  HostileGround,
  INFER,
  inferRequest,
  openTo,
  PERMITTED,
  STREAM_INFER,
} from '../fakes/hostile-ground.ts';
import type { Answer, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { RawUpstream } from '../fakes/raw-upstream.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

const total = (amount: number) => ({ kind: 'total', amount, sinceSeconds: 0 }) as const;

function quota(...limits: readonly LimitConfig[]): QuotaConfig {
  return { perTenant: undefined, perCaller: undefined, maxConcurrentCalls: undefined, limits };
}

/** A role for two models, where the ground's own has one. */
function twoModels(tenant: Parameters<typeof openTo>[0]): Partial<TenantConfig> {
  const roles = openTo(tenant).roles.map((role) => ({ ...role, models: [PERMITTED, 'letters'] }));
  return { roles };
}

async function infer(client: RawGrpcClient, model = PERMITTED): Promise<string> {
  return verdict(await client.call(INFER, { chunks: [inferRequest(model)] }));
}

function verdict({ status, reason }: Answer): string {
  return reason === '' ? String(status) : `${status} ${reason}`;
}

describe.each(['tenant', 'caller'] as const)('a total of the %s', (level) => {
  it.each([
    [2, '8 QUOTA_EXHAUSTED'],
    [3, '0'],
  ])('of %i has the third call end in %s', async (amount, third) => {
    ground = await HostileGround.start({ acme: { quota: quota({ name: 'contract', level, bound: total(amount) }) } });
    const client = await ground.client();
    expect([await infer(client), await infer(client), await infer(client)]).toEqual(['0', '0', third]);
    expect(ground.upstream.calls).toHaveLength(amount);
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});

it('a refused call is told its limit in every way there is, and so is the record', async () => {
  const daily: LimitConfig = {
    name: 'in-a-day',
    level: 'tenant',
    bound: { kind: 'sliding', amount: 1, lengthMs: 86_400_000 },
  };
  ground = await HostileGround.start({ acme: { quota: quota(daily) } });
  const client = await ground.client();
  expect(await infer(client)).toBe('0');
  const { headers, status } = await client.call(INFER, { chunks: [inferRequest()] });
  expect(status).toBe(8);
  expect(headers['ratelimit-policy']).toBe('"in-a-day";q=1;w=86400');
  expect(headers['ratelimit']).toMatch(/^"in-a-day";r=0;t=[89]\d{4}$/);
  expect(headers['grpc-retry-pushback-ms']).toBe('-1');
  expect(headers['retry-after']).toMatch(/^[89]\d{4}$/);
  const records = await ground.records(2);
  expect(records[1]).toMatchObject({ outcome: 'denied', reason: 'quota_exhausted', requestMessages: 0 });
  expect(records[1]?.detail).toMatch(/"name":"in-a-day","level":"tenant","unit":"calls","amount":1/);
  expect(records[1]?.gates.at(-1)).toMatchObject({ gate: 'reserve', verdict: 'deny' });
});

describe('a limit of a model', () => {
  const perModel: LimitConfig = { name: 'per-model', level: 'model', bound: total(2) };

  it('holds for each model by itself, and its refusal costs no other window', async () => {
    ground = await HostileGround.start({
      acme: { quota: quota(perModel, { name: 'contract', level: 'tenant', bound: total(5) }) },
    });
    const { acme } = ground;
    ground.sidecar.apply({
      ...ground.generation({
        acme: { ...twoModels(acme), quota: quota(perModel, { name: 'contract', level: 'tenant', bound: total(5) }) },
      }),
      number: 2,
    });
    const client = await ground.client();
    const letters = (): Promise<string> => infer(client, 'letters');
    expect([await infer(client), await infer(client)]).toEqual(['0', '0']);
    for (let n = 0; n < 5; n++) expect(await infer(client)).toBe('8 QUOTA_EXHAUSTED');
    // Had those five been charged to the tenant, nothing would be left of its five.
    expect([await letters(), await letters(), await letters()]).toEqual(['0', '0', '8 QUOTA_EXHAUSTED']);
    expect(ground.upstream.calls).toHaveLength(4);
    const records = await ground.records(10);
    const refused = records.find(({ outcome }) => outcome === 'denied');
    expect(refused).toMatchObject({ model: PERMITTED, reason: 'quota_exhausted' });
    expect(refused?.gates.map(({ gate, verdict: passed }) => `${gate} ${passed}`)).toEqual([
      'identify pass',
      'authenticate pass',
      'authorize pass',
      'reserve pass',
      'inspect pass',
      'reserve deny',
    ]);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('counts a stream once, however many messages it has', async () => {
    ground = await HostileGround.start({ acme: { quota: quota({ ...perModel, bound: total(1) }) } });
    const client = await ground.client();
    const chunks = [inferRequest(), inferRequest(), inferRequest()];
    expect(verdict(await client.call(STREAM_INFER, { chunks }))).toBe('0');
    expect(verdict(await client.call(STREAM_INFER, { chunks }))).toBe('8 QUOTA_EXHAUSTED');
  });
});

describe('an organisation', () => {
  const organisation: OrganisationConfig = {
    name: 'group',
    slot: 0,
    limits: [{ name: 'group-total', level: 'organisation', bound: total(3) }],
  };

  it.each([
    ['both belong to', { organisation }, '8 QUOTA_EXHAUSTED'],
    ['one is not of', {}, '0'],
  ])('that %s has room for three calls of both', async (_, globex, fourth) => {
    ground = await HostileGround.start({ acme: { organisation }, globex });
    const [acme, other] = [await ground.client(), await ground.client(ground.globex)];
    expect([await infer(acme), await infer(acme), await infer(other)]).toEqual(['0', '0', '0']);
    expect(await infer(other)).toBe(fourth);
  });
});

describe('calls in progress of a caller', () => {
  it('are counted out when a call ends, is cancelled, or fails at the model server', async () => {
    const upstream = await RawUpstream.start();
    const atOnce: LimitConfig = { name: 'at-once', level: 'caller', bound: { kind: 'concurrency', calls: 1 } };
    ground = await HostileGround.start({ acme: { quota: quota(atOnce), upstream: upstream.config() } });
    const client = await ground.client();
    for (const ending of ['cancelled', 'failed', 'cancelled']) {
      upstream.script = (up, id) => {
        if (ending === 'failed') up.reset(id, 2);
      };
      const first = client.call(INFER, { chunks: [inferRequest()], cancelAfterMs: 300 });
      if (ending === 'cancelled') {
        while (ground.usage(0).callsInProgress === 0) await new Promise((resolve) => setImmediate(resolve));
        expect(await infer(client)).toBe('8 CONCURRENCY_LIMITED');
      }
      await first;
      expect(await ground.balanced()).toEqual(BALANCED);
    }
    await upstream.stop();
  });
});
