/**
 * A call ends in each of its phases, by its client's leave, its deadline, or the end of its client's connection. Each time
 * everything comes back, there is one record, and a neighbour on another connection is served as if nothing had been.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import type { TenantConfig } from '../../src/config/tenant-config.ts';
import { FrameType } from '../../src/http2/frame.ts';
import { dataFrame, FrameClient, headerFrame } from '../fakes/frame-client.ts';
import {
  BALANCED,
  eventually,
  fresh,
  HostileGround,
  INFER,
  inferRequest,
  PERMITTED,
  STREAM_INFER,
} from '../fakes/hostile-ground.ts';
import { field, frame } from '../fakes/raw-grpc-client.ts';

let ground: HostileGround;
let silent: SilentServer;
afterEach(async () => {
  await ground.stop();
  await silent.stop();
});

/** Accepts, and says nothing. */
class SilentServer {
  readonly #sockets: Socket[] = [];
  readonly #server: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    this.#sockets.push(socket);
  });
  port = 0;

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    if (typeof address === 'object' && address !== null) this.port = address.port;
  }

  get asked(): number {
    return this.#sockets.length;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

interface Phase {
  readonly name: string;
  readonly path?: string;
  readonly acme?: () => Partial<TenantConfig>;
  readonly headers?: () => readonly string[];
  readonly chunk?: Buffer;
  readonly end?: boolean;
  /** True when the call stands in the phase. */
  readonly reached: () => boolean;
  /** What the model server does. */
  readonly answers?: boolean;
}

const bomb = frame(gzipSync(Buffer.concat([field(1, PERMITTED), field(90, Buffer.alloc(900 * 1000))])), true);

const PHASES: readonly Phase[] = [
  {
    name: 'while its token is verified',
    acme: () => ({
      issuers: ground.acme.config.issuers.map((issuer) => ({
        ...issuer,
        jwks: { kind: 'url', url: `http://127.0.0.1:${silent.port}/jwks`, caPem: undefined } as const,
      })),
    }),
    headers: () => ['authorization', `Bearer ${ground.acme.issuer.token(fresh())}`],
    reached: () => silent.asked === 1,
  },
  {
    name: 'while the model server is connected to',
    acme: () => ({
      upstream: {
        ...ground.upstream.config,
        target: { kind: 'tcp', host: '127.0.0.1', port: silent.port } as const,
        tls: { caPem: undefined, serverName: 'model', clientCertificate: undefined },
        connectTimeoutMs: 5_000,
      },
    }),
    reached: () => silent.asked === 1,
  },
  {
    name: 'before its first message',
    chunk: Buffer.alloc(0),
    end: false,
    reached: () => ground.usage(0).callsInProgress === 1,
  },
  {
    name: 'in the middle of its message',
    chunk: inferRequest().subarray(0, 9),
    end: false,
    // Its head is held back until the names in it are known.
    reached: () => ground.usage(0).callsInProgress === 1,
  },
  {
    name: 'in the middle of a message that the model server has a part of',
    acme: () => ({ namespaces: 'off' as const }),
    chunk: inferRequest().subarray(0, 9),
    end: false,
    reached: () => ground.upstream.calls.length === 1,
  },
  { name: 'while its message is inflated', headers: () => ['grpc-encoding', 'gzip'], chunk: bomb, reached: () => true },
  { name: 'while the model server thinks', reached: () => ground.upstream.calls[0]?.ended === true },
  {
    name: 'between two messages of a stream',
    path: STREAM_INFER,
    end: false,
    reached: () => ground.upstream.calls[0]?.body.length === inferRequest().length,
  },
  { name: 'after the response has begun', answers: true, reached: () => ground.upstream.calls[0]?.ended === true },
];

const block = (path: string, more: readonly string[]): readonly string[] => [
  ...[':method', 'POST', ':scheme', 'https', ':path', path, ':authority', 'acme.models.test'],
  ...['content-type', 'application/grpc', 'te', 'trailers'],
  ...more,
];

const ENDS = ['cancel', 'cancel in the same turn', 'deadline', 'hang up'] as const;

async function run(phase: Phase, how: (typeof ENDS)[number]): Promise<void> {
  silent = new SilentServer();
  await silent.start();
  ground = await HostileGround.start();
  if (phase.acme !== undefined) ground.sidecar.apply(ground.generation({ acme: phase.acme() }));
  ground.upstream.answer = (stream) => {
    if (phase.answers !== true) return;
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.write(Buffer.alloc(5));
  };
  const client = await FrameClient.connect(ground.access(ground.acme));
  await delay(20);
  const more = [...(phase.headers?.() ?? []), ...(how === 'deadline' ? ['grpc-timeout', '150m'] : [])];
  const frames = [
    headerFrame(1, block(phase.path ?? INFER, more), false),
    dataFrame(1, phase.chunk ?? inferRequest(), phase.end ?? true),
  ];
  const cancel = Buffer.from([0, 0, 4, FrameType.RST_STREAM, 0, 0, 0, 0, 1, 0, 0, 0, 8]);
  if (how === 'cancel in the same turn') client.write(...frames, cancel);
  else client.write(...frames);
  if (how === 'cancel' || how === 'hang up') {
    await eventually(phase.name, phase.reached);
    if (how === 'cancel') client.write(cancel);
    else client.close();
  }
  if (how === 'deadline') expect(await client.outcome(1)).toBe('status 4');
  const [record, ...others] = await ground.records(1);
  expect(others).toEqual([]);
  expect([record?.outcome, record?.grpcStatus]).toEqual(how === 'deadline' ? ['failed', 4] : ['cancelled', 1]);
  expect(await ground.balanced()).toEqual(BALANCED);
  const neighbour = await ground.client(ground.globex);
  ground.upstream.answer = undefined;
  expect(await neighbour.call(INFER, { chunks: [inferRequest()] })).toMatchObject({ status: 0 });
  client.close();
}

describe.each(ENDS)('a call that ends by %s', (how) => {
  it.each(PHASES)('$name', (phase) => run(phase, how));
});

describe('a flood of calls by one tenant', () => {
  it('is refused beyond its limits, each on record, and the other tenant’s calls are served meanwhile', async () => {
    silent = new SilentServer();
    await silent.start();
    ground = await HostileGround.start({
      acme: { quota: { perTenant: { callsPerSecond: 1, burst: 10 }, perCaller: undefined, maxConcurrentCalls: 5 } },
    });
    const clients = await Promise.all(Array.from({ length: 4 }, () => ground.client()));
    const neighbour = await ground.client(ground.globex);
    const flood = clients.flatMap((client) =>
      Array.from({ length: 200 }, () => client.call(INFER, { chunks: [inferRequest()] })),
    );
    const served = [];
    for (let i = 0; i < 20; i++) served.push((await neighbour.call(INFER, { chunks: [inferRequest()] })).status);
    expect(new Set(served)).toEqual(new Set([0]));
    const reasons = Object.groupBy(await Promise.all(flood), ({ status, reason }) => `${status} ${reason}`.trim());
    // The burst, and what the second that it took has refilled.
    expect(reasons['0']?.length ?? 0).toBeLessThanOrEqual(12);
    expect(Object.keys(reasons).every((key) => ['0', '8 RATE_LIMITED', '8 CONCURRENCY_LIMITED'].includes(key))).toBe(
      true,
    );
    const records = await ground.records(820);
    expect(records.filter(({ tenant }) => tenant === 'acme')).toHaveLength(800);
    expect(records.filter(({ tenant }) => tenant === 'globex').every(({ outcome }) => outcome === 'ok')).toBe(true);
    expect(await ground.balanced()).toEqual(BALANCED);
  });
});
