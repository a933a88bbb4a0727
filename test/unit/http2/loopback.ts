/** Engine connections over real sockets on loopback. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Http2Connection } from '../../../src/http2/connection.ts';
import type { ConnectionOptions, HeaderBlock, Stream } from '../../../src/http2/contract.ts';
import { OutputBufferPool } from '../../../src/http2/output-buffer-pool.ts';
import { systemClock } from '../../../src/kernel/clock.ts';
import { Turn } from '../../../src/kernel/turn.ts';
import { RecordingConnectionOwner, type RecordingStreamOwner } from './recording-owner.ts';

export const turn = new Turn(systemClock);
export const buffers = new OutputBufferPool();

export function options(role: 'client' | 'server', over: Partial<ConnectionOptions> = {}): ConnectionOptions {
  return {
    role,
    maxConcurrentStreams: 100,
    streamWindowBytes: 65_535,
    connectionWindowBytes: 1_048_576,
    maxHeaderListBytes: 16_384,
    idleTimeoutMs: 0,
    ...over,
  };
}

export const REQUEST: HeaderBlock = [
  ':method',
  'POST',
  ':scheme',
  'http',
  ':path',
  '/bulkhead.test.Echo/Call',
  ':authority',
  'localhost',
  'content-type',
  'application/grpc',
  'te',
  'trailers',
];

/** Answers 200, what came as it came, and a trailer. */
export function echo(stream: Stream, _block: HeaderBlock, endStream: boolean, owner: RecordingStreamOwner): void {
  stream.sendHeaders([':status', '200', 'content-type', 'application/grpc'], false);
  const finish = (): void => stream.sendHeaders(['grpc-status', '0'], true);
  owner.react = (_stream, event, end, chunk) => {
    if (event === 'data' && chunk !== undefined) stream.sendData(chunk, false);
    if (end) finish();
  };
  if (endStream) finish();
}

export interface ServerSide {
  readonly port: number;
  readonly owners: RecordingConnectionOwner[];
  readonly connections: Http2Connection[];
  readonly sockets: Socket[];
  close(): Promise<void>;
}

/** An engine server on a free port. */
export async function serve(
  answer: RecordingConnectionOwner['answer'],
  over: Partial<ConnectionOptions> = {},
): Promise<ServerSide> {
  const owners: RecordingConnectionOwner[] = [];
  const connections: Http2Connection[] = [];
  const sockets: Socket[] = [];
  const server = createServer({ noDelay: true }, (socket) => {
    const owner = new RecordingConnectionOwner();
    owner.answer = answer;
    owners.push(owner);
    sockets.push(socket);
    connections.push(new Http2Connection(socket, options('server', over), owner, turn, buffers));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    owners,
    connections,
    sockets,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

export interface ClientSide {
  readonly connection: Http2Connection;
  readonly owner: RecordingConnectionOwner;
  readonly socket: Socket;
}

/** An engine client to a port on loopback, once it has the peer's SETTINGS. */
export async function dial(port: number, over: Partial<ConnectionOptions> = {}): Promise<ClientSide> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await new Promise((resolve) => socket.once('connect', resolve));
  const owner = new RecordingConnectionOwner();
  const connection = new Http2Connection(socket, options('client', over), owner, turn, buffers);
  await eventually(() => owner.capacityCalls > 0);
  return { connection, owner, socket };
}

/** Waits until `condition` holds, at most 5 s. */
export async function eventually(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 2_500; round++) {
    if (condition()) return;
    await delay(2);
  }
  throw new Error('did not happen within five seconds');
}
