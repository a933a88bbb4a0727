/**
 * Requests that are no gRPC: heard out as HTTP would, up to a limit, and answered with 415 and a line of text. None reaches the
 * model server, and each is on record.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FrameClient, frameBytes, valueOf } from '../fakes/frame-client.ts';
import { BALANCED, HostileGround } from '../fakes/hostile-ground.ts';

const GET = [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', 'acme.test'];
const LIMIT_BYTES = 64 * 1024;

let ground: HostileGround;
let client: FrameClient;
beforeEach(async () => {
  ground = await HostileGround.start();
  client = await FrameClient.connect(ground.access(ground.acme));
});
afterEach(async () => {
  client.close();
  await ground.stop();
});

function sendBody(id: number, bytes: number): void {
  for (let left = bytes; left > 0; left -= 16_384) client.data(id, Buffer.alloc(Math.min(left, 16_384)));
}

describe('a request that is no gRPC', () => {
  it('is told so when it has ended', async () => {
    const id = client.open(GET);
    await delay(50);
    expect(client.stream(id).fields).toEqual([]);
    client.data(id, Buffer.from('body'), true);
    const { fields, body, ended } = await client.settled(id);
    expect([valueOf(fields, ':status'), String(body), ended]).toEqual(['415', 'This is a gRPC server.\n', true]);
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ outcome: 'denied', reason: 'content_type_unsupported' });
    expect(ground.upstream.calls).toEqual([]);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('is heard out up to a limit, and told so at one byte more', async () => {
    const id = client.open(GET);
    sendBody(id, LIMIT_BYTES);
    await delay(100);
    expect(client.stream(id).fields).toEqual([]);
    client.data(id, Buffer.from('x'));
    const { fields } = await client.settled(id);
    expect(valueOf(fields, ':status')).toBe('415');
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('is on record as refused when its client leaves before', async () => {
    const id = client.open(GET);
    await delay(20);
    client.write(frameBytes(0x3, 0, id, Buffer.of(0, 0, 0, 8)));
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ outcome: 'denied', reason: 'content_type_unsupported' });
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});
