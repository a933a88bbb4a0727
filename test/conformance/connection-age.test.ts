/** Clients whose connections grow old, and clients that PING too often (gRFC A9, A8), through the whole sidecar. */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { respond } from '../fakes/fake-upstream.ts';
import { BALANCED, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';

let ground: HostileGround;
afterEach(() => ground.stop());

describe('a connection of the greatest age', () => {
  it('gets GOAWAY, lets its calls end, takes no new ones, and is closed', async () => {
    ground = await HostileGround.start({ limits: { maxConnectionAgeMs: 200 } });
    ground.upstream.answer = (stream) => void setTimeout(() => respond(stream), 400);
    const client = await ground.client();
    const goaway = once(client.session, 'goaway');
    const running = client.call(INFER, { chunks: [inferRequest()] });
    const [code] = await goaway;
    expect(code).toBe(0);
    expect(await running).toMatchObject({ status: 0 });
    if (!client.session.closed) await once(client.session, 'close');
    expect(await ground.sidecar.refusals()).toEqual([]);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('is cut after the grace, and what ran on it is on record', async () => {
    ground = await HostileGround.start({ limits: { maxConnectionAgeMs: 100, maxConnectionAgeGraceMs: 150 } });
    ground.upstream.answer = () => undefined;
    const client = await ground.client();
    const from = performance.now();
    const answer = await client.call(INFER, { chunks: [inferRequest()], cancelAfterMs: 5_000 });
    expect(answer.status).toBe(-1);
    expect(performance.now() - from).toBeLessThan(1_000);
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ outcome: 'cancelled', detail: 'connection: destroyed' });
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});

describe('a client that PINGs', () => {
  const ping = (client: Awaited<ReturnType<HostileGround['client']>>): void =>
    void client.session.ping(() => undefined);

  it('too often without a call is told so in the words that gRPC clients know', async () => {
    ground = await HostileGround.start({ limits: { keepalive: { minTimeMs: 60_000, permitWithoutCalls: true } } });
    const client = await ground.client();
    const goaway = once(client.session, 'goaway');
    for (let index = 0; index < 4; index++) ping(client);
    const [code, , text] = await goaway;
    expect([code, String(text)]).toEqual([11, 'too_many_pings']);
    await delay(20);
    expect(await ground.sidecar.refusals()).toMatchObject([{ reason: 'HTTP2_LIMIT_maxPingStrikes' }]);
  });

  it('at the permitted interval is left alone', async () => {
    ground = await HostileGround.start({ limits: { keepalive: { minTimeMs: 20, permitWithoutCalls: true } } });
    const client = await ground.client();
    for (let index = 0; index < 10; index++) {
      ping(client);
      await delay(25);
    }
    expect(client.session.closed).toBe(false);
    expect(await client.call(INFER, { chunks: [inferRequest()] })).toMatchObject({ status: 0 });
  });

  it('with no calls is told so where that is not permitted', async () => {
    ground = await HostileGround.start({ limits: { keepalive: { minTimeMs: 10, permitWithoutCalls: false } } });
    const client = await ground.client();
    const goaway = once(client.session, 'goaway');
    for (let index = 0; index < 4; index++) {
      ping(client);
      await delay(20);
    }
    const [code] = await goaway;
    expect(code).toBe(11);
  });
});
