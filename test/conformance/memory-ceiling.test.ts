/**
 * All tenants together hold no more than they may, over real sockets: who is furthest over its share loses calls, and its
 * neighbours lose none.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { FrameType } from '../../src/http2/frame.ts';
import { CALL_BYTES } from '../../src/proxy/held-bytes.ts';
import { totalHeldBytes } from '../../src/quota/shared-state.ts';
import { respond } from '../fakes/fake-upstream.ts';
import { FrameClient } from '../fakes/frame-client.ts';
import { BALANCED, eventually, HostileGround, INFER, inferRequest, STREAM_INFER } from '../fakes/hostile-ground.ts';
import { frame, type RawGrpcClient } from '../fakes/raw-grpc-client.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Eighty of them are less than a session of node:http2 may hold, which is the model server here. */
const ANSWER = frame(Buffer.alloc(100 * KIB));
const SHED = 'buffer_exceeded';
/** Windows that bound nobody: it is the ceiling that is tried. */
const WIDE = { connectionWindowBytes: 64 * MIB, streamWindowBytes: MIB };

let ground: HostileGround;
let hogs: FrameClient[] = [];
afterEach(async () => {
  for (const hog of hogs) hog.close();
  hogs = [];
  await ground.stop();
});

const block = (path: string): readonly string[] => [
  ...[':method', 'POST', ':scheme', 'https', ':path', path, ':authority', 'acme.models.test'],
  ...['content-type', 'application/grpc', 'te', 'trailers'],
];
const held = (): number => totalHeldBytes(ground.sidecar.shared);

/** Starts with room for everything; a large answer for acme, and a small one for globex. */
async function start(maxHeldBytes = 1024 * MIB): Promise<void> {
  ground = await HostileGround.start({ limits: { ...WIDE, maxHeldBytes } });
  ground.upstream.answer = (stream, call) => {
    const isHogs = String(call.headers[':authority']) !== '' && call.headers['x-large'] === '1';
    stream.on('end', () => !call.reset && respond(stream, 0, isHogs ? ANSWER : undefined));
  };
}

/** A client of acme's that calls for large answers and never opens a window. Its calls, by stream id. */
async function hog(calls: number): Promise<{ readonly client: FrameClient; readonly ids: readonly number[] }> {
  const client = await FrameClient.connect(ground.access(ground.acme));
  hogs.push(client);
  const ids = Array.from({ length: calls }, () => {
    const id = client.open([...block(INFER), 'x-large', '1']);
    client.data(id, inferRequest(), true);
    return id;
  });
  return { client, ids };
}

/** Calls again and again until told to stop. */
function neighbour(client: RawGrpcClient): { readonly stop: () => Promise<readonly number[]> } {
  let over = false;
  const statuses: number[] = [];
  const done = (async () => {
    while (!over || statuses.length === 0) {
      statuses.push((await client.call(INFER, { chunks: [inferRequest()] })).status);
    }
    return statuses;
  })();
  return {
    stop: () => {
      over = true;
      return done;
    },
  };
}

const endsOf = ({ client, ids }: Awaited<ReturnType<typeof hog>>): readonly number[] =>
  ids.filter((id) => client.stream(id).ended || client.stream(id).resetCode !== undefined);

describe('the ceiling on what all tenants hold', () => {
  it('leaves everybody alone at n bytes, and at one less sheds the hog until the low mark', async () => {
    await start();
    const greedy = await hog(20);
    await eventually('all answers are held', () => ground.usage(0).bytesInFlight >= 20 * ANSWER.length - 70 * KIB);
    const quiet = await ground.client(ground.globex);
    await quiet.call(INFER, { chunks: [inferRequest()] });
    await delay(20);
    const n = held();
    ground.sidecar.apply(ground.generation({ limits: { ...WIDE, maxHeldBytes: n } }));
    await delay(20);
    // What it can do without has been taken back; no call was ended.
    expect(endsOf(greedy)).toEqual([]);
    const rest = held();
    ground.sidecar.apply(ground.generation({ limits: { ...WIDE, maxHeldBytes: rest } }));
    await delay(20);
    expect([endsOf(greedy), held()]).toEqual([[], rest]);
    ground.sidecar.apply(ground.generation({ limits: { ...WIDE, maxHeldBytes: rest - 1 } }));
    await eventually('calls are ended', () => endsOf(greedy).length > 0);
    expect(held()).toBeLessThanOrEqual(Math.floor(((rest - 1) * 7) / 8));
    // No more than it takes: an eighth, in calls of 100 KiB.
    expect(endsOf(greedy).length).toBeLessThanOrEqual(Math.ceil(rest / 8 / ANSWER.length) + 1);
    expect((await quiet.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
  });

  it('ends the calls of the hog with RESOURCE_EXHAUSTED, on record, while no call of a neighbour fails', async () => {
    await start(2 * MIB);
    const neighbours = [neighbour(await ground.client(ground.globex)), neighbour(await ground.client(ground.globex))];
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, held());
    }, 1);
    const greedy = [await hog(40), await hog(40)];
    await eventually('it is shed', () => greedy.flatMap(endsOf).length >= 60);
    clearInterval(watch);
    const statuses = (await Promise.all(neighbours.map(({ stop }) => stop()))).flat();
    expect(new Set(statuses)).toEqual(new Set([0]));
    // Above it is only what one turn of the loop brought.
    expect(most).toBeLessThan(2 * MIB + MIB);
    const outcomes = await Promise.all(
      greedy.flatMap(({ client, ids }) =>
        ids.filter((id) => endsOf({ client, ids }).includes(id)).map((id) => client.outcome(id)),
      ),
    );
    // gRPC reads a reset with ENHANCE_YOUR_CALM (11) as RESOURCE_EXHAUSTED: of that call, a message had left in part.
    expect(outcomes.filter((outcome) => outcome !== 'status 8' && outcome !== 'reset 11')).toEqual([]);
    expect(outcomes.filter((outcome) => outcome === 'reset 11').length).toBeLessThanOrEqual(2);
    const records = (await ground.sidecar.calls()).filter(({ reason }) => reason === SHED);
    expect(records.length).toBe(outcomes.length);
    expect(records.every((record) => record.tenant === 'acme' && record.grpcStatus === 8)).toBe(true);
    expect(records[0]?.outcome).toBe('denied');
    expect(records[0]?.detail).toMatch(/heldBytes=\d+ limitBytes=\d+/);
  });

  it('is what holds them: without it the same calls are all held', async () => {
    await start();
    const greedy = [await hog(40), await hog(40)];
    await eventually('all is held', () => held() > 7 * MIB);
    expect(greedy.flatMap(endsOf)).toEqual([]);
  });

  it('gives back all that was held when the clients are gone', async () => {
    await start(2 * MIB);
    await hog(40);
    await eventually('it is shed', () => hogs[0] !== undefined && held() > 0);
    for (const client of hogs) client.close();
    expect(await ground.balanced()).toEqual(BALANCED);
    // What stands then is slabs: two connections' at most.
    await eventually('the rest is slabs', () => held() % (64 * KIB) === 0 && held() <= 16 * 64 * KIB);
  });

  it('counts calls that send nothing, and sheds those, too', async () => {
    await start(MIB);
    ground.upstream.answer = () => undefined;
    const quiet = neighbour(await ground.client(ground.globex));
    ground.upstream.answer = (stream, call) => {
      if (call.headers['x-idle'] !== '1') stream.on('end', () => !call.reset && respond(stream));
    };
    const clients: { client: FrameClient; ids: number[] }[] = [];
    for (let n = 0; n < 4; n++) {
      const client = await FrameClient.connect(ground.access(ground.acme));
      hogs.push(client);
      const ids = Array.from({ length: 100 }, () => client.open([...block(STREAM_INFER), 'x-idle', '1']));
      clients.push({ client, ids });
    }
    await eventually('calls are ended', () => clients.flatMap(endsOf).length > 0);
    await eventually('the sum is below', () => held() <= MIB);
    expect(new Set(await quiet.stop())).toEqual(new Set([0]));
  });

  it('counts the headers of answers, which may wait for a client that does not read', async () => {
    await start();
    ground.upstream.answer = (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'x-long': 'x'.repeat(9_000) });
    };
    const { client, ids } = await hog(100);
    await eventually('the answers', () => ids.every((id) => client.stream(id).fields.length > 0));
    const each = CALL_BYTES + 9_000;
    await eventually('what is held', () => held() >= 100 * each);
    expect(held()).toBeLessThan(100 * (each + KIB) + 16 * 64 * KIB);
    client.close();
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('ends connections whose output is not read, when there are no calls left to end', async () => {
    await start();
    const quiet = await ground.client(ground.globex);
    const windows = Buffer.alloc(6);
    windows.writeUInt16BE(4, 0);
    windows.writeUInt32BE(2 ** 30, 2);
    const increment = Buffer.from([0x3f, 0xff, 0xff, 0xff]);
    const outputs = (): readonly number[] => ground.sidecar.listener.connectionsOf(0).map((each) => each.heldBytes);
    for (let n = 0; n < 4; n++) {
      const client = await FrameClient.connect(ground.access(ground.acme));
      hogs.push(client);
      client.frame(FrameType.SETTINGS, 0, 0, windows);
      client.frame(FrameType.WINDOW_UPDATE, 0, 0, increment);
      client.stopReading();
      // Until the kernel's buffers are full, and ours.
      for (let stuck = 0, round = 0; stuck < 3 && round < 200; round++) {
        for (let call = 0; call < 10; call++) {
          const id = client.open([...block(INFER), 'x-large', '1']);
          client.data(id, inferRequest(), true);
        }
        await delay(20);
        stuck = (outputs()[n] ?? 0) > 64 * KIB ? stuck + 1 : 0;
      }
    }
    expect(outputs().filter((bytes) => bytes > 64 * KIB)).toHaveLength(4);
    ground.sidecar.apply(ground.generation({ limits: { ...WIDE, maxHeldBytes: 700 * KIB } }));
    await eventually('no call is left', () => ground.usage(0).callsInProgress === 0);
    await eventually('a connection is ended', () => outputs().length < 4);
    const [refusal] = await ground.sidecar.refusals();
    expect(refusal).toMatchObject({ reason: 'TENANT_BUFFER_EXCEEDED', tenantClaim: 'acme' });
    await eventually('the sum is below', () => held() <= 700 * KIB);
    expect((await quiet.call(INFER, { chunks: [inferRequest()] })).status).toBe(0);
  });

  it('admits a tenant that comes within its share while the hog is being shed', async () => {
    await start(2 * MIB);
    await hog(60);
    await eventually('the ceiling is reached', () => held() > 1.5 * MIB);
    const late = await ground.client(ground.globex);
    const statuses = await Promise.all(
      Array.from({ length: 50 }, async () => (await late.call(INFER, { chunks: [inferRequest()] })).status),
    );
    expect(new Set(statuses)).toEqual(new Set([0]));
  });
});

describe('a call that is shed', () => {
  it('ends after its last whole message when none has left in part', async () => {
    await start();
    let send: ((message: Buffer) => void) | undefined;
    ground.upstream.answer = (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      send = (message) => void stream.write(message);
    };
    const client = await FrameClient.connect(ground.access(ground.acme));
    hogs.push(client);
    const id = client.open(block(STREAM_INFER));
    client.data(id, inferRequest());
    await eventually('the call', () => send !== undefined);
    // The window of a stream and a connection, to the byte; then a message of which nothing may leave.
    const whole = frame(Buffer.alloc(65_535 - 5));
    send?.(whole);
    await eventually('the first message', () => client.stream(id).body.length === whole.length);
    send?.(ANSWER);
    await eventually('the second is held', () => ground.usage(0).bytesInFlight >= ANSWER.length);
    ground.sidecar.apply(ground.generation({ limits: { ...WIDE, maxHeldBytes: 100 * KIB } }));
    expect(await client.outcome(id)).toBe('status 8');
    expect(client.stream(id).body.equals(whole)).toBe(true);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('is reset with the code that gRPC reads as RESOURCE_EXHAUSTED when a message has left in part', async () => {
    await start();
    const { client, ids } = await hog(1);
    await eventually('a part has left', () => client.stream(1).body.length === 65_535);
    ground.sidecar.apply(ground.generation({ limits: { ...WIDE, maxHeldBytes: 32 * KIB } }));
    expect(await client.outcome(ids[0] ?? 0)).toBe('reset 11');
    const [record] = await ground.records(1);
    expect(record).toMatchObject({ reason: SHED, outcome: 'denied', grpcStatus: 8 });
    expect(record?.detail).toContain('not delivered');
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});
