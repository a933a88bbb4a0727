/**
 * Messages as an attacker cuts and packs them. Whatever the framing, the model server never has the whole of a message that
 * names a model its caller may not use: that is looked at in the bytes that reached it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { UpstreamCall } from '../fakes/fake-upstream.ts';
import { dataFrame, FrameClient, headerFrame, valueOf } from '../fakes/frame-client.ts';
import {
  BALANCED,
  eventually,
  HostileGround,
  INFER,
  inferRequest,
  openTo,
  PERMITTED,
  STREAM_INFER,
} from '../fakes/hostile-ground.ts';
import { field, frame } from '../fakes/raw-grpc-client.ts';

const SECRET = 'globex-secret';

let ground: HostileGround;
beforeEach(async () => {
  ground = await HostileGround.start();
});
afterEach(() => ground.stop());

function block(path: string, ...more: readonly string[]): readonly string[] {
  return [
    ...[':method', 'POST', ':scheme', 'https', ':path', path, ':authority', 'acme.models.test'],
    ...['content-type', 'application/grpc', 'te', 'trailers'],
    ...more,
  ];
}

interface Sent {
  readonly outcome: string;
  readonly reached: UpstreamCall | undefined;
}

/** Sends these pieces, each in a DATA frame of its own, all in one write or each in its own turn. */
async function send(
  path: string,
  pieces: readonly Buffer[],
  more: readonly string[] = [],
  slowly = false,
): Promise<Sent> {
  const before = ground.upstream.calls.length;
  const client = await FrameClient.connect(ground.access(ground.acme));
  const id = client.open(block(path, ...more), pieces.length === 0);
  if (slowly) {
    for (const [i, piece] of pieces.entries()) {
      client.data(id, piece, i === pieces.length - 1);
      await delay(1);
    }
  } else if (pieces.length > 0) {
    client.write(...pieces.map((piece, i) => dataFrame(id, piece, i === pieces.length - 1)));
  }
  const outcome = await client.outcome(id);
  client.close();
  await ground.balanced();
  return { outcome, reached: ground.upstream.calls[before] };
}

/** A request with five fields, and the model named once more at `position`. */
function secondNameAt(position: number, name: string, id = 'id'): Buffer {
  const fields = [field(1, PERMITTED), field(2, '1'), field(3, id), field(7, Buffer.alloc(64)), field(90, 'unknown')];
  fields.splice(position, 0, field(1, name));
  return Buffer.concat(fields);
}

const bytes = (message: Buffer): Buffer[] => Array.from(message, (_, i) => message.subarray(i, i + 1));

describe('a second model name', () => {
  const CUTS: readonly (readonly [string, (message: Buffer) => Buffer[]])[] = [
    ['in one frame', (message) => [message]],
    ['in frames of one byte', bytes],
    ['with its last byte alone', (message) => [message.subarray(0, -1), message.subarray(-1)]],
  ];

  it.each(CUTS)('counts at every position where it is the last, %s', async (_name, cut) => {
    for (let position = 1; position <= 5; position++) {
      const message = frame(secondNameAt(position, SECRET));
      const { outcome, reached } = await send(INFER, cut(message));
      expect([position, outcome]).toEqual([position, 'status 7']);
      // Some of it may have gone ahead; the end of it may not.
      expect(reached?.body.length ?? 0).toBeLessThan(message.length);
    }
    // In front of the permitted one it does not count for the server either (protobuf: the last one wins).
    const first = frame(secondNameAt(0, SECRET));
    const { outcome, reached } = await send(INFER, cut(first));
    expect(outcome).toBe('status 0');
    expect(reached?.body).toEqual(frame(secondNameAt(0, SECRET, 'acme:id')));
  });

  it('gets through at every position when the role has every model', async () => {
    const roles = [{ name: 'all', methods: ['*'], models: ['*'], versions: ['*'], source: 'tenant.yaml:1' }];
    const methods = openTo(ground.acme).roles.flatMap((role) => role.methods);
    ground.sidecar.apply(ground.generation({ acme: { roles: roles.map((role) => ({ ...role, methods })) } }));
    for (let position = 0; position <= 5; position++) {
      const { outcome, reached } = await send(INFER, [frame(secondNameAt(position, SECRET))]);
      expect([position, outcome]).toEqual([position, 'status 0']);
      expect(reached?.body).toEqual(frame(secondNameAt(position, SECRET, 'acme:id')));
    }
  });

  it('counts in a gzip message too', async () => {
    const message = frame(gzipSync(secondNameAt(5, SECRET)), true);
    for (const pieces of [[message], bytes(message), [message.subarray(0, -1), message.subarray(-1)]]) {
      const { outcome, reached } = await send(INFER, pieces, ['grpc-encoding', 'gzip']);
      expect(outcome).toBe('status 7');
      expect(reached?.body.length ?? 0).toBeLessThan(message.length);
    }
    const allowed = frame(gzipSync(secondNameAt(0, SECRET)), true);
    const { outcome, reached } = await send(INFER, bytes(allowed), ['grpc-encoding', 'gzip']);
    expect(outcome).toBe('status 0');
    expect(reached?.body).toEqual(frame(secondNameAt(0, SECRET, 'acme:id')));
  });
});

describe('a stream that changes its model', () => {
  const allowed = inferRequest();
  const denied = inferRequest(SECRET);

  it.each([
    ['in one frame', [Buffer.concat([allowed, allowed, denied, allowed])]],
    ['message by message', [allowed, allowed, denied, allowed]],
    ['in frames of one byte', bytes(Buffer.concat([allowed, allowed, denied, allowed]))],
    ['cut across messages', cutAcross(Buffer.concat([allowed, allowed, denied, allowed]), 7)],
  ])('is ended at the first message that is not allowed, %s', async (_name, pieces) => {
    for (const slowly of [false, true]) {
      const { outcome, reached } = await send(STREAM_INFER, pieces, [], slowly);
      expect(outcome).toBe('status 7');
      // Whole allowed messages may be there, and a part of the denied one; never its end, nor anything after it.
      const body = reached?.body ?? Buffer.alloc(0);
      expect(body.length).toBeLessThan(allowed.length * 2 + denied.length);
      expect(body.equals(Buffer.concat([allowed, allowed, denied]).subarray(0, body.length))).toBe(true);
    }
    const [record] = (await ground.records(2)).slice(-1);
    expect(record).toMatchObject({ outcome: 'denied', model: SECRET, reason: 'model_denied' });
  });

  it('also from gzip to identity and back', async () => {
    const zipped = frame(gzipSync(field(1, PERMITTED)), true);
    const zippedSecret = frame(gzipSync(field(1, SECRET)), true);
    const encoding = ['grpc-encoding', 'gzip'];
    const mixed = [zipped, allowed, zipped, allowed];
    const through = await send(STREAM_INFER, mixed, encoding);
    expect(through.outcome).toBe('status 0');
    expect(through.reached?.body.equals(Buffer.concat(mixed))).toBe(true);
    for (const last of [zippedSecret, denied]) {
      for (const pieces of [
        [...mixed, last],
        [Buffer.concat([...mixed, last])],
        bytes(Buffer.concat([...mixed, last])),
      ]) {
        const { outcome, reached } = await send(STREAM_INFER, pieces, encoding);
        expect(outcome).toBe('status 7');
        expect(reached?.body.length ?? 0).toBeLessThan(Buffer.concat([...mixed, last]).length);
      }
    }
  });
});

describe('framing', () => {
  it.each([
    ['END_STREAM on HEADERS', INFER, [], 'status 3'],
    ['half close without a message', INFER, [Buffer.alloc(0)], 'status 3'],
    ['half close within the prefix', INFER, [inferRequest().subarray(0, 3)], 'status 3'],
    ['half close within the message', INFER, [inferRequest().subarray(0, -1)], 'status 3'],
    ['two messages in a unary call', INFER, [inferRequest(), inferRequest()], 'status 3'],
    ['an empty message, which names no model', INFER, [frame(Buffer.alloc(0))], 'status 7'],
    ['a flag of 2', INFER, [Buffer.concat([Buffer.from([2]), inferRequest().subarray(1)])], 'status 3'],
    ['a length of 4 GiB', INFER, [Buffer.from([0, 255, 255, 255, 255]), Buffer.alloc(9)], 'status 8'],
    ['a compressed flag without an encoding', INFER, [frame(gzipSync(field(1, PERMITTED)), true)], 'status 12'],
    ['END_STREAM on HEADERS of a stream', STREAM_INFER, [], 'status 0'],
  ] as const)('%s', async (_name, path, pieces, expected) => {
    const { outcome, reached } = await send(path, pieces);
    expect(outcome).toBe(expected);
    if (expected !== 'status 0') expect(reached?.ended ?? false).toBe(false);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it.each([
    ['deflate', 'status 12'],
    ['snappy', 'status 12'],
    ['GZIP', 'status 12'],
    ['gzip, gzip', 'status 12'],
    ['', 'status 12'],
    ['identity', 'status 0'],
    ['gzip', 'status 0'],
  ])('grpc-encoding %s over an uncompressed message: %s', async (encoding, expected) => {
    expect((await send(INFER, [inferRequest()], ['grpc-encoding', encoding])).outcome).toBe(expected);
  });

  it('empty DATA between the bytes changes nothing', async () => {
    const pieces = bytes(inferRequest()).flatMap((piece) => [Buffer.alloc(0), piece]);
    const { outcome, reached } = await send(INFER, pieces);
    expect(outcome).toBe('status 0');
    expect(reached?.body.equals(inferRequest())).toBe(true);
  });

  it('trailers of the client end its request as END_STREAM would, and are not passed on', async () => {
    const client = await FrameClient.connect(ground.access(ground.acme));
    const id = client.open(block(INFER));
    client.write(dataFrame(id, inferRequest()), headerFrame(id, ['x-tenant-id', 'globex', 'x-own', '1'], true));
    expect(await client.outcome(id)).toBe('status 0');
    // In the middle of a message they end it there.
    const cut = client.open(block(INFER));
    client.write(dataFrame(cut, inferRequest().subarray(0, 8)), headerFrame(cut, ['x-own', '1'], true));
    expect(await client.outcome(cut)).toBe('status 3');
    client.close();
  });

  it('trailers with a pseudo-field are malformed', async () => {
    const client = await FrameClient.connect(ground.access(ground.acme));
    const id = client.open(block(INFER));
    client.write(dataFrame(id, inferRequest().subarray(0, 8)), headerFrame(id, [':path', '/a.B/C'], true));
    expect(await client.outcome(id)).toBe('reset 1');
    client.close();
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});

describe('a gzip bomb', () => {
  it('in a later message of a stream ends it at the inflation limit, and every bomb does', async () => {
    const bomb = frame(gzipSync(Buffer.concat([field(1, PERMITTED), field(90, Buffer.alloc(8 * 1024 * 1024))])), true);
    const zipped = frame(gzipSync(field(1, PERMITTED)), true);
    for (const pieces of [
      [zipped, bomb],
      [bomb],
      [zipped, ...cutAcross(Buffer.concat([zipped, bomb, bomb]), 16_000)],
    ]) {
      const { outcome, reached } = await send(STREAM_INFER, pieces, ['grpc-encoding', 'gzip']);
      expect(outcome).toBe('status 8');
      expect(reached?.body.includes(bomb) ?? false).toBe(false);
    }
  });

  it('that is cancelled while it is inflated leaves nothing behind', async () => {
    const bomb = frame(gzipSync(Buffer.concat([field(1, PERMITTED), field(90, Buffer.alloc(1000 * 1000))])), true);
    const client = await ground.client();
    const calls = [];
    for (let i = 0; i < 50; i++) {
      const headers = { 'grpc-encoding': 'gzip' };
      calls.push(client.call(INFER, { headers, chunks: [bomb], cancelAfterMs: i % 5 }));
    }
    await Promise.all(calls);
    expect(await ground.balanced()).toEqual(BALANCED);
    expect(await client.call(INFER, { chunks: [inferRequest()] })).toMatchObject({ status: 0 });
  });
});

describe('an answer', () => {
  it('names the model that was refused to nobody but the caller who asked for it', async () => {
    const client = await FrameClient.connect(ground.access(ground.acme));
    const id = client.open(block(INFER));
    client.data(id, inferRequest(SECRET), true);
    expect(await client.outcome(id)).toBe('status 7');
    const { fields } = client.stream(id);
    expect(valueOf(fields, 'grpc-message')).not.toContain('globex');
    client.close();
    await eventually('the record', () => ground.sidecar.listener.calls === 0);
  });
});

function cutAcross(message: Buffer, length: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < message.length; at += length) pieces.push(message.subarray(at, at + length));
  return pieces;
}
