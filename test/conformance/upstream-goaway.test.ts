/**
 * Model servers that go away under load, as they do when they limit a connection's age or are replaced: every call is answered,
 * once, and reaches the model once. Servers are node:http2 and grpc-js, which count streams in their own ways.
 */
import { createServer, type Http2Session, type ServerHttp2Stream } from 'node:http2';
import { setTimeout as delay } from 'node:timers/promises';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { type InferRequest, type InferResponse, loadInferenceService } from '../../src/demo/inference-protocol.ts';
import { respond } from '../fakes/fake-upstream.ts';
import { BALANCED, HostileGround, INFER, inferRequest } from '../fakes/hostile-ground.ts';
import { type Answer, field, frame, type RawGrpcClient } from '../fakes/raw-grpc-client.ts';
import { GRPC_HEADERS, RawUpstream } from '../fakes/raw-upstream.ts';

let ground: HostileGround | undefined;
let stopUpstream: () => Promise<void> = async () => undefined;
afterEach(async () => {
  await ground?.stop();
  await stopUpstream();
  ground = undefined;
});

/** A request that names its model and has an id, so that the server can say which it has seen. */
const request = (id: string, padding = 0): Buffer =>
  frame(Buffer.concat([field(1, 'digits'), field(3, id), field(3, id.padEnd(padding, '.'))]));

/** Calls without a pause; each has its own id. */
class Load {
  readonly answers: Answer[] = [];
  #running = true;
  readonly #loops: readonly Promise<void>[];

  constructor(clients: readonly RawGrpcClient[], perClient: number, bytes: number) {
    this.#loops = clients.flatMap((client, index) =>
      Array.from({ length: perClient }, (_, loop) => this.#loop(client, `${index}-${loop}`, bytes)),
    );
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#loops);
  }

  async #loop(client: RawGrpcClient, name: string, bytes: number): Promise<void> {
    for (let call = 0; this.#running && call < 10_000; call++) {
      const chunks = [request(`${name}-${call}`, bytes)];
      this.answers.push(await client.call(INFER, { chunks, cancelAfterMs: 10_000 }));
    }
  }
}

async function loadFor(ms: number, upstream: TenantConfig['upstream'], bytes = 0): Promise<Load> {
  ground = await HostileGround.start({ acme: { upstream } });
  const load = new Load([await ground.client(), await ground.client()], 16, bytes);
  await delay(ms);
  await load.stop();
  return load;
}

/** One session of the leaving server. */
interface Leaving {
  /** Requests that have come and are not answered. */
  running: number;
  /** Since it has said that it goes away: the answers that wait until the client must have heard it. */
  held: (() => void)[] | undefined;
}

/**
 * A server on node:http2 that goes away from each of its sessions every 100 ms: GOAWAY of 2^31-1 first, and the last id when the
 * client has answered a PING. It does so only while a call runs, and answers that one last: after a GOAWAY nghttp2 stops reading a
 * session that has no stream, and requests that were on their way would be lost with the socket.
 */
async function leavingServer(): Promise<{ seen: Map<string, number>; port: number; left: () => number }> {
  const seen = new Map<string, number>();
  const sessions = new Map<Http2Session, Leaving>();
  let left = 0;
  const server = createServer();
  server.on('session', (session) => {
    sessions.set(session, { running: 0, held: undefined });
    session.on('error', () => undefined);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream: ServerHttp2Stream) => {
    const session = stream.session === undefined ? undefined : sessions.get(stream.session);
    if (session === undefined) return;
    session.running++;
    const chunks: Buffer[] = [];
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const id = /\d+-\d+-\d+/.exec(Buffer.concat(chunks).toString('latin1'))?.[0] ?? '';
      seen.set(id, (seen.get(id) ?? 0) + 1);
      const answer = (): void => {
        session.running--;
        if (!stream.destroyed) respond(stream);
      };
      // Some are still running when the server goes away.
      setTimeout(() => (session.held === undefined ? answer() : session.held.push(answer)), seen.size % 20);
    });
  });
  const timer = setInterval(() => {
    for (const [session, leaving] of sessions) {
      if (session.destroyed || leaving.held !== undefined || leaving.running === 0) continue;
      left++;
      leaving.held = [];
      session.goaway(0, 2 ** 31 - 1);
      // Its answer comes after every request that was sent before the client had heard.
      session.ping(() => {
        const held = leaving.held ?? [];
        leaving.held = undefined;
        session.close();
        for (const answer of held) answer();
      });
    }
  }, 100);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  stopUpstream = async () => {
    clearInterval(timer);
    for (const session of sessions.keys()) session.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { seen, port, left: () => left };
}

const configOf = (port: number): TenantConfig['upstream'] => ({
  target: { kind: 'tcp', host: '127.0.0.1', port },
  tls: undefined,
  display: `http://127.0.0.1:${port}`,
  connectTimeoutMs: 1_000,
  maxConnections: 4,
  maxPendingCalls: 1_000,
  authority: `127.0.0.1:${port}`,
});

const failed = (load: Load): readonly string[] =>
  load.answers.filter(({ status }) => status !== 0).map(({ status, reason }) => `${status} ${reason}`);

describe('a model server that goes away under load', () => {
  it.each([
    ['with small requests', 0],
    ['with requests of 16 KiB', 16_384],
  ])('every 100 ms fails not one call: %s', async (_, bytes) => {
    const { seen, port, left } = await leavingServer();
    const load = await loadFor(2_500, configOf(port), bytes);
    expect(failed(load)).toEqual([]);
    expect(left()).toBeGreaterThan(10);
    expect(load.answers.length).toBeGreaterThan(1_000);
    // Each reached the model once, none twice.
    expect(seen.size).toBe(load.answers.length);
    expect([...seen.values()].filter((times) => times !== 1)).toEqual([]);
    expect(await ground?.balanced()).toEqual(BALANCED);
  });

  it('after 200 ms, as grpc-js does by max_connection_age, fails not one call', async () => {
    let seen = 0;
    const server = new Server({ 'grpc.max_connection_age_ms': 200, 'grpc.max_connection_age_grace_ms': 2_000 });
    server.addService(loadInferenceService(), {
      ModelInfer: (call: ServerUnaryCall<InferRequest, InferResponse>, done: sendUnaryData<InferResponse>) => {
        seen++;
        const answer = {
          modelName: call.request.modelName,
          modelVersion: '1',
          id: '',
          outputs: [],
          rawOutputContents: [],
        };
        setTimeout(() => done(null, answer), seen % 20);
      },
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    stopUpstream = async () => server.forceShutdown();
    const load = await loadFor(3_000, configOf(port));
    expect(failed(load)).toEqual([]);
    expect(load.answers.length).toBeGreaterThan(500);
    expect(seen).toBe(load.answers.length);
    expect(await ground?.balanced()).toEqual(BALANCED);
  });
});

describe('a call that is sent again', () => {
  it('costs its tenant one call of its quota, and is one record', async () => {
    const upstream = await RawUpstream.start();
    stopUpstream = () => upstream.stop();
    upstream.script = (up, id) => {
      if (id === 1) up.reset(id, 7);
      else up.answer(id);
    };
    ground = await HostileGround.start({
      acme: {
        upstream: upstream.config(),
        quota: { perTenant: { callsPerSecond: 0.001, burst: 2 }, perCaller: undefined, maxConcurrentCalls: 1 },
      },
    });
    const client = await ground.client();
    const call = (): Promise<Answer> => client.call(INFER, { chunks: [inferRequest()], cancelAfterMs: 5_000 });
    expect([(await call()).status, (await call()).status]).toEqual([0, 0]);
    // The third is one too many: the retry was not counted.
    expect(await call()).toMatchObject({ status: 8, reason: 'RATE_LIMITED' });
    expect(upstream.connections[0]?.opened).toEqual([1, 3, 5]);
    expect(await ground.records(3)).toHaveLength(3);
    expect(await ground.balanced()).toEqual(BALANCED);
  });

  it('is none that the model has begun to answer', async () => {
    const upstream = await RawUpstream.start();
    stopUpstream = () => upstream.stop();
    upstream.script = (up, id) => {
      up.headers(id, GRPC_HEADERS, false);
      up.reset(id, 7);
    };
    ground = await HostileGround.start({ acme: { upstream: upstream.config() } });
    const client = await ground.client();
    const answer = await client.call(INFER, { chunks: [inferRequest()], cancelAfterMs: 5_000 });
    expect(answer).toMatchObject({ status: 14, reason: 'UPSTREAM_UNAVAILABLE' });
    expect(upstream.connections[0]?.opened).toEqual([1]);
  });
});
