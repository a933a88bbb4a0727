/**
 * The engine alone, without other programs: what its codecs cost, and what a whole call costs when client, relay and server are
 * three engines in this one process, over cleartext loopback. `node test/bench/engine.ts`
 *
 * It shows whether a change made the engine slower; how the product compares with others is `npm run bench`. CPU time, not wall
 * time: user and system, of the whole process.
 */
import { type AddressInfo, connect, createServer } from 'node:net';
import { Http2Connection } from '../../src/http2/connection.ts';
import type {
  Connection,
  ConnectionOptions,
  ConnectionOwner,
  HeaderBlock,
  Stream,
  StreamOwner,
} from '../../src/http2/contract.ts';
import { HpackDecoder } from '../../src/http2/hpack-decoder.ts';
import { HpackEncoder } from '../../src/http2/hpack-encoder.ts';
import { OutputBufferPool } from '../../src/http2/output-buffer-pool.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import { Turn } from '../../src/kernel/turn.ts';

const turn = new Turn(systemClock);
const buffers = new OutputBufferPool();
const options = (role: 'client' | 'server'): ConnectionOptions => ({
  role,
  maxConcurrentStreams: 1_000,
  streamWindowBytes: 262_144,
  connectionWindowBytes: 1_048_576,
  maxHeaderListBytes: 16_384,
  idleTimeoutMs: 0,
});

const REQUEST = Object.freeze([
  ...[':method', 'POST', ':scheme', 'http', ':path', '/inference.GRPCInferenceService/ModelInfer'],
  ...[':authority', 'models.example', 'content-type', 'application/grpc', 'te', 'trailers'],
  ...['user-agent', 'grpc-node-js/1.14.7', 'authorization', `Bearer ${'abcdefghij'.repeat(57)}`],
]);
const RESPONSE = Object.freeze([':status', '200', 'content-type', 'application/grpc']);
const TRAILERS = Object.freeze(['grpc-status', '0']);

function microsOf(work: () => unknown, times: number): number {
  for (let index = 0; index < times / 5; index++) work();
  const before = process.cpuUsage();
  for (let index = 0; index < times; index++) work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / times;
}

function report(what: string, micros: number, unit: string): void {
  process.stdout.write(`${what.padEnd(64)} ${micros.toFixed(3).padStart(10)} µs per ${unit}\n`);
}

function codecs(): void {
  const limits = { maxHeaderListBytes: 16_384, maxHeaderFields: 128 };
  const encode = (encoder: HpackEncoder, block: HeaderBlock): Buffer => {
    const into = Buffer.alloc(encoder.bound(block));
    return into.subarray(0, encoder.encode(block, into, 0));
  };
  const encoder = new HpackEncoder(4_096);
  const decoder = new HpackDecoder(limits);
  const first = encode(encoder, REQUEST);
  decoder.decode(first, 0, first.length);
  const again = encode(encoder, REQUEST);
  report(
    'decode a request that repeats',
    microsOf(() => decoder.decode(again, 0, again.length), 500_000),
    'block',
  );
  const literal = encode(new HpackEncoder(0), REQUEST);
  const fresh = new HpackDecoder({ ...limits, maxHeaderFields: 6 });
  report(
    'decode a request of literals, too many to be remembered',
    microsOf(() => fresh.decode(literal, 0, literal.length), 100_000),
    'block',
  );
  const timed = new HpackDecoder(limits);
  let timeout = 0;
  const withTimeout = (): Buffer => {
    const field = Buffer.concat([
      Buffer.from([0x40, 12]),
      Buffer.from('grpc-timeout'),
      Buffer.from([6]),
      Buffer.from(`${(timeout++ % 90_000) + 10_000}m`),
    ]);
    return Buffer.concat([field, literal]);
  };
  const timedBlocks = Array.from({ length: 1_000 }, withTimeout);
  report(
    'decode a request with a timeout of its own',
    microsOf(() => {
      const block = timedBlocks[timeout++ % 1_000] ?? literal;
      timed.decode(block, 0, block.length);
    }, 100_000),
    'block',
  );
  const into = Buffer.alloc(encoder.bound(REQUEST));
  report(
    'encode a request whose fields are known',
    microsOf(() => encoder.encode([...REQUEST], into, 0), 500_000),
    'block',
  );
  let call = 0;
  const traced = (): HeaderBlock => [...REQUEST, 'traceparent', `00-${(++call).toString(16).padStart(32, '0')}-01`];
  const roomy = Buffer.alloc(4_096);
  report(
    'encode a request with a trace of its own',
    microsOf(() => encoder.encode(traced(), roomy, 0), 500_000),
    'block',
  );
}

const silent = { onGoaway: () => {}, onCapacity: () => {}, onEnd: () => {} };
const deaf = { onReset: () => {}, onWritten: () => {}, onLocalEnd: () => {} };

/** Answers a hundred bytes, or as much as it was sent. */
const server: ConnectionOwner = {
  ...silent,
  onStream: (stream) => {
    stream.sendHeaders(RESPONSE, false);
    return {
      ...deaf,
      onHeaders: () => {},
      onData: (_stream, chunk, endStream) => {
        stream.sendData(chunk, false);
        stream.credit(chunk.length);
        if (endStream) stream.sendHeaders(TRAILERS, true);
      },
    };
  },
};

class Relay implements StreamOwner {
  readonly #down: Stream;
  #up: Stream | undefined;

  constructor(down: Stream) {
    this.#down = down;
  }

  begin(upstream: Connection, block: HeaderBlock, endStream: boolean): void {
    this.#up = upstream.open(block, endStream, this);
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    this.#other(stream)?.sendHeaders(block, endStream);
  }

  onData(stream: Stream, chunk: Buffer, endStream: boolean): void {
    this.#other(stream)?.sendData(chunk, endStream);
  }

  onWritten(stream: Stream, bytes: number): void {
    this.#other(stream)?.credit(bytes);
  }

  onReset(): void {
    throw new Error('a call of the bench was reset');
  }

  onLocalEnd(): void {}

  #other(stream: Stream): Stream | undefined {
    return stream === this.#down ? this.#up : this.#down;
  }
}

async function listen(owner: () => ConnectionOwner): Promise<{ port: number; close: () => void }> {
  const listener = createServer({ noDelay: true }, (socket) => {
    new Http2Connection(socket, options('server'), owner(), turn, buffers);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return { port: (listener.address() as AddressInfo).port, close: () => listener.close() };
}

async function dial(port: number): Promise<Connection> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return new Promise((resolve) => {
    const owner: ConnectionOwner = {
      ...silent,
      onStream: () => {
        throw new Error('a server opened a stream');
      },
      onCapacity: (connection) => resolve(connection),
    };
    new Http2Connection(socket, options('client'), owner, turn, buffers);
  });
}

/** Keeps `atOnce` calls going on each connection until `count` have ended. */
function callAll(connections: readonly Connection[], atOnce: number, body: Buffer, count: number): Promise<void> {
  return new Promise((resolve) => {
    let begun = 0;
    let ended = 0;
    const next = (connection: Connection): void => {
      if (begun++ >= count) return;
      const owner: StreamOwner = {
        ...deaf,
        onReset: () => {
          throw new Error('a call of the bench was reset');
        },
        onData: (stream, chunk) => stream.credit(chunk.length),
        onHeaders: (_stream, _block, endStream) => {
          if (!endStream) return;
          if (++ended === count) resolve();
          next(connection);
        },
      };
      connection.open(REQUEST, false, owner).sendData(body, true);
    };
    for (const connection of connections) for (let index = 0; index < atOnce; index++) next(connection);
  });
}

async function calls(): Promise<void> {
  const backend = await listen(() => server);
  const upstream = await dial(backend.port);
  const relay = await listen(() => ({
    ...silent,
    onStream: (stream, block, endStream) => {
      const owner = new Relay(stream);
      owner.begin(upstream, block, endStream);
      return owner;
    },
  }));
  const connections = await Promise.all(Array.from({ length: 10 }, () => dial(relay.port)));
  const cases: [string, number, number, Buffer, number][] = [
    ['a call of 100 bytes through three engines, 10 connections × 50', 10, 50, Buffer.alloc(100), 300_000],
    ['a call of 100 bytes through three engines, 10 connections × 1', 10, 1, Buffer.alloc(100), 100_000],
    ['a call of 100 bytes through three engines, 1 connection × 1', 1, 1, Buffer.alloc(100), 30_000],
    ['a call of 1 MiB through three engines, 4 connections × 4', 4, 4, Buffer.alloc(1_048_576), 1_000],
  ];
  for (const [what, used, atOnce, body, count] of cases) {
    await callAll(connections.slice(0, used), atOnce, body, Math.ceil(count / 5));
    const before = process.cpuUsage();
    await callAll(connections.slice(0, used), atOnce, body, count);
    const { user, system } = process.cpuUsage(before);
    report(what, (user + system) / count, 'call');
  }
  relay.close();
  backend.close();
  process.exit(0);
}

codecs();
await calls();
