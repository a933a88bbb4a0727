/**
 * Deny rules, conditions and shadow mode over real sockets: what the caller is told, what the model server sees, and what is on record. Every
 * refusal has its counter-proof: the same call gets through once the rule is gone, in shadow, or not met.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { CallRecord } from '../../src/audit/record.ts';
import type { DenyConfig } from '../../src/config/policy-config.ts';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { BALANCED, fresh, HostileGround, INFER, inferRequest, openTo, STREAM_INFER } from '../fakes/hostile-ground.ts';
import type { Answer, RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { RunningStream } from '../fakes/running-stream.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

const RULE = 'tenants/acme.yaml:40 denyRules[0]';
const NAMED = `${RULE} → quarantine`;
const DENIED = [7, 'MODEL_ACCESS_DENIED'];
const LIVE = INFER.replace('ModelInfer', 'ServerLive');

const rule = (changes: Partial<DenyConfig>): DenyConfig => ({ name: 'quarantine', source: RULE, ...changes });

async function start(changes: Partial<TenantConfig>): Promise<RawGrpcClient> {
  ground = await HostileGround.start({ acme: changes });
  return ground.client();
}

const apply = (changes: Partial<TenantConfig>): void => ground.sidecar.apply(ground.generation({ acme: changes }));

interface Asked {
  readonly claims?: object;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly model?: string;
  readonly path?: string;
}

function call(
  client: RawGrpcClient,
  { claims = {}, headers = {}, model = 'digits', path = INFER }: Asked = {},
): Promise<Answer> {
  const authorization = `Bearer ${ground.acme.issuer.token(fresh({ ...claims }))}`;
  return client.call(path, { headers: { authorization, ...headers }, chunks: [inferRequest(model)] });
}

const told = ({ status, reason }: Answer): unknown => [status, reason];

async function lastRecord(count: number): Promise<CallRecord | undefined> {
  return (await ground.records(count)).at(-1);
}

describe('a rule that denies', () => {
  it.each([INFER, STREAM_INFER])(
    'wins over the role that allows it, tells no reason, and is on record: %s',
    async (path) => {
      const client = await start({ denials: [rule({ models: ['digits'] })] });
      const refused = await call(client, { path });
      expect(told(refused)).toEqual(DENIED);
      expect(JSON.stringify([refused.message, refused.headers, refused.trailers])).not.toMatch(
        /quarantine|yaml|denyRules/,
      );
      expect(ground.upstream.calls).toHaveLength(0);
      expect(await lastRecord(1)).toMatchObject({ outcome: 'denied', reason: 'model_denied', rule: NAMED });
      expect((await lastRecord(1))?.detail).toContain(`rule=${NAMED}`);
      expect(await ground.balanced()).toEqual(BALANCED);
    },
  );

  it('lets the same call through when the rule is for another model', async () => {
    const client = await start({ denials: [rule({ models: ['other'] })] });
    expect((await call(client)).status).toBe(0);
    expect(await lastRecord(1)).toMatchObject({ outcome: 'ok' });
  });

  it('is not got around by a request that names no model', async () => {
    const [open] = openTo((ground = await HostileGround.start()).acme).roles;
    if (open === undefined) throw new Error('it has a role');
    const roles = [{ ...open, models: ['*'] }];
    apply({ roles, denials: [rule({ models: ['secret'] })] });
    const client = await ground.client();
    expect(told(await call(client, { model: '' }))).toEqual(DENIED);
    apply({ roles });
    expect((await call(await ground.client(), { model: '' })).status).toBe(0);
  });

  it('is about whom it names: by group, over the same certificate', async () => {
    const who = { subjects: [], keys: [], certificates: [], claims: [{ path: '/groups', values: ['contractors'] }] };
    const client = await start({ denials: [rule({ who })] });
    expect(told(await call(client, { claims: { groups: ['ml', 'contractors'] } }))).toEqual(DENIED);
    expect((await call(client, { claims: { groups: ['ml'] } })).status).toBe(0);
    expect((await call(client)).status).toBe(0);
  });

  it('is about addresses that the connection has, not those that a header says', async () => {
    const here = await start({ denials: [rule({ addresses: ['127.0.0.0/8'] })] });
    expect(told(await call(here, { headers: { 'x-forwarded-for': '10.0.0.1' } }))).toEqual(DENIED);
    apply({ denials: [rule({ addresses: ['10.0.0.0/8'] })] });
    expect((await call(await ground.client(), { headers: { 'x-forwarded-for': '10.0.0.1' } })).status).toBe(0);
  });

  it('ends a stream that runs when it is added, and no stream of another tenant', async () => {
    const client = await start({});
    const authorization = `Bearer ${ground.acme.issuer.token(fresh({}))}`;
    const neighbour = await RunningStream.begin(ground, await ground.client(ground.globex));
    const stream = await RunningStream.begin(ground, client, { authorization });
    apply({ denials: [rule({ models: ['other'] })] });
    await stream.goesOn();
    apply({ denials: [rule({ models: ['digits'] })] });
    expect(await stream.ended).toMatchObject({ status: 16, reason: 'AUTHORIZATION_EXPIRED' });
    await neighbour.goesOn();
    expect(told(await call(await ground.client()))).toEqual(DENIED);
  });
});

describe('a condition', () => {
  const CLAIMS: TenantConfig['claims'] = [{ name: 'department', path: '/org/department', type: 'string' }];

  it('on a header is about what the model server gets, and one that comes twice is refused', async () => {
    const condition = 'call.metadata["x-purpose"] == "examination"';
    const [open] = openTo((ground = await HostileGround.start()).acme).roles;
    if (open === undefined) throw new Error('it has a role');
    apply({ metadata: ['x-purpose'], roles: [{ ...open, condition }] });
    const client = await ground.client();
    const purpose = (value: string | string[]): Asked => ({ headers: { 'x-purpose': value } });
    expect(told(await call(client))).toEqual(DENIED);
    expect(told(await call(client, purpose('test')))).toEqual(DENIED);
    expect(told(await call(client, purpose(['examination', 'test'])))).toEqual(DENIED);
    expect(ground.upstream.calls).toHaveLength(0);
    expect((await lastRecord(3))?.detail).toMatch(/failure=.*role all: the header x-purpose comes twice/);
    expect((await call(client, purpose('examination'))).status).toBe(0);
    expect(ground.upstream.calls).toHaveLength(1);
  });

  it('on a claim that the token does not have counts against the call', async () => {
    const client = await start({ claims: CLAIMS, denials: [rule({ condition: 'claims.department == "sales"' })] });
    expect(told(await call(client))).toEqual(DENIED);
    expect((await lastRecord(1))?.detail).toContain('failure=No such key: department');
    expect(told(await call(client, { claims: { org: { department: 'sales' } } }))).toEqual(DENIED);
    expect((await call(client, { claims: { org: { department: 'research' } } })).status).toBe(0);
  });

  it('on the server name and the address sees those of the connection', async () => {
    const { serverName } = (ground = await HostileGround.start()).acme.pki;
    const met = `call.server_name == "${serverName}" && call.address == "127.0.0.1"`;
    apply({ denials: [rule({ condition: met })] });
    expect(told(await call(await ground.client()))).toEqual(DENIED);
    apply({ denials: [rule({ condition: `!(${met})` })] });
    expect((await call(await ground.client())).status).toBe(0);
  });

  it('on the time is asked of every call of a connection', async () => {
    const client = await start({});
    // On a busy machine the time may have come before the call: then a later one is taken.
    let soon = 0;
    let first: Answer | undefined;
    for (let aheadMs = 300; first?.status !== 7; aheadMs *= 3) {
      soon = Date.now() + aheadMs;
      apply({ denials: [rule({ condition: `call.time < timestamp("${new Date(soon).toISOString()}")` })] });
      first = await call(client);
    }
    expect(told(first)).toEqual(DENIED);
    while (Date.now() <= soon) await delay(10);
    expect((await call(client)).status).toBe(0);
  });
});

describe('in shadow', () => {
  it('a rule refuses nothing, and the record says that it would have', async () => {
    const client = await start({ denials: [rule({ models: ['digits'], mode: 'shadow' })] });
    const passed = await call(client);
    expect(passed.status).toBe(0);
    expect(JSON.stringify([passed.headers, passed.trailers])).not.toMatch(/shadow|quarantine/);
    expect(await lastRecord(1)).toMatchObject({ outcome: 'ok', shadow: { verdict: 'deny', rule: NAMED } });
    expect((await call(client, { path: LIVE })).status).toBe(0);
    expect(await lastRecord(2)).not.toHaveProperty('shadow');
  });

  it('a role gives nothing, and the record says that it would have', async () => {
    const [open] = openTo((ground = await HostileGround.start()).acme).roles;
    if (open === undefined) throw new Error('it has a role');
    const wide = { ...open, name: 'wide', models: ['other'], mode: 'shadow' as const, source: 'tenant.yaml:9' };
    const bindings = ['all', 'wide'].map((name) => ({
      ...{ role: name, subjects: ['*'], keys: [], certificates: [], source: `tenant.yaml:${name}` },
    }));
    apply({ roles: [open, wide], bindings });
    const client = await ground.client();
    expect(told(await call(client, { model: 'other' }))).toEqual(DENIED);
    expect(ground.upstream.calls).toHaveLength(0);
    expect(await lastRecord(1)).toMatchObject({
      outcome: 'denied',
      shadow: { verdict: 'allow', rule: 'tenant.yaml:wide → role wide' },
    });
    const { mode, ...inForce } = wide;
    expect(mode).toBe('shadow');
    apply({ roles: [open, inForce], bindings });
    expect((await call(await ground.client(), { model: 'other' })).status).toBe(0);
  });
});
