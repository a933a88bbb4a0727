/** Model servers that fail call after call: their tenant's callers are told at once, and nobody else is touched. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { BALANCED, eventually, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import { type Answer, frame, type RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { RawUpstream, type Script } from '../fakes/raw-upstream.ts';

let ground: HostileGround;
let upstream: RawUpstream;
let client: RawGrpcClient;
afterEach(async () => {
  await ground.stop();
  await upstream.stop();
});

const circuit = { failures: 3, openMs: 200, maxOpenMs: 200 };

async function start(script: Script, changes: Parameters<RawUpstream['config']>[0] = { circuit }): Promise<void> {
  upstream = await RawUpstream.start();
  upstream.script = script;
  ground = await HostileGround.start({ acme: { upstream: upstream.config(changes) } });
  client = await ground.client();
}

const infer = (request = inferRequest()): Promise<Answer> =>
  client.call(INFER, { chunks: [request], cancelAfterMs: 3_000 });
const opened = (): number => upstream.connections.reduce((sum, connection) => sum + connection.opened.length, 0);

const FAILURES: readonly (readonly [string, Script])[] = [
  ['ends the connection', (up) => up.socket.destroy()],
  ['answers with HTTP 503', (up, id) => up.headers(id, [':status', '503'], true)],
  ['refuses every stream', (up, id) => up.reset(id, 7)],
];

describe('a model server that', () => {
  it.each(FAILURES)('%s is not asked any more after so many calls, and is again when it is well', async (_, script) => {
    await start(script);
    const failed: Answer[] = [];
    for (let i = 0; i < 3; i++) failed.push(await infer());
    expect(failed.map(({ status, reason }) => [status, reason])).toEqual(
      Array.from({ length: 3 }, () => [14, 'UPSTREAM_UNAVAILABLE']),
    );
    const asked = opened();
    const refused = await Promise.all(Array.from({ length: 20 }, () => infer()));
    expect(new Set(refused.map(({ status, reason }) => `${status} ${reason}`))).toEqual(new Set(['14 CIRCUIT_OPEN']));
    expect(opened()).toBe(asked);
    // The neighbour's model server is another one, and its circuit too.
    const neighbour = await ground.client(ground.globex);
    expect(await neighbour.call(INFER, { chunks: [inferRequest()] })).toMatchObject({ status: 0 });
    upstream.script = (up, id) => up.answer(id);
    await delay(320);
    expect(await infer()).toMatchObject({ status: 0 });
    expect((await Promise.all(Array.from({ length: 20 }, () => infer()))).map(({ status }) => status)).toEqual(
      Array.from({ length: 20 }, () => 0),
    );
    expect(await ground.balanced()).toEqual(BALANCED);
    const records = await ground.records(45);
    expect(records.filter(({ reason }) => reason === 'circuit_open').map(({ outcome }) => outcome)).toEqual(
      Array.from({ length: 20 }, () => 'failed'),
    );
  });

  it('is asked for by one call only when the time is over', async () => {
    await start((up) => up.socket.destroy());
    for (let i = 0; i < 3; i++) await infer();
    upstream.script = () => undefined;
    await delay(320);
    const asked = opened();
    const calls = Array.from({ length: 5 }, () => infer());
    await eventually('one has gone ahead', () => opened() === asked + 1);
    await delay(50);
    expect(opened()).toBe(asked + 1);
    upstream.script = (up, id) => up.answer(id);
    for (const connection of upstream.connections) for (const id of connection.opened) connection.answer(id);
    const reasons = (await Promise.all(calls)).map(({ reason }) => reason);
    expect(reasons.filter((reason) => reason === 'CIRCUIT_OPEN')).toHaveLength(4);
    expect(await infer()).toMatchObject({ status: 0 });
  });

  it('answers with errors of its own is well: so are calls that a rule of ours refuses', async () => {
    await start((up, id) =>
      up.headers(id, [':status', '200', 'content-type', 'application/grpc', 'grpc-status', '14'], true),
    );
    for (let i = 0; i < 10; i++) expect((await infer()).status).toBe(14);
    upstream.script = () => undefined;
    for (let i = 0; i < 10; i++) expect(await infer(inferRequest('forbidden'))).toMatchObject({ status: 7 });
    for (let i = 0; i < 10; i++) expect(await infer(frame(Buffer.from([0xff])))).toMatchObject({ status: 3 });
    upstream.script = (up, id) => up.answer(id);
    expect(await infer()).toMatchObject({ status: 0 });
  });

  it('has as many calls as it may is sent no more, and they are told so', async () => {
    await start(() => undefined, { maxConcurrentCalls: 3 });
    const calls = Array.from({ length: 3 }, () => infer());
    await eventually('three are there', () => opened() === 3);
    expect(await infer()).toMatchObject({ status: 14, reason: 'OVERLOADED' });
    upstream.script = (up, id) => up.answer(id);
    for (const connection of upstream.connections) for (const id of connection.opened) connection.answer(id);
    expect((await Promise.all(calls)).map(({ status }) => status)).toEqual([0, 0, 0]);
    expect(await infer()).toMatchObject({ status: 0 });
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});
