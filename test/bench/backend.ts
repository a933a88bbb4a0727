/**
 * The model server of the bench: answers every call with 100 bytes and `grpc-status: 0`, on our own engine, since it must cost
 * less than what is measured. The same for every subject.
 *
 * usage: node test/bench/backend.ts PORT [ANSWER_BYTES]
 */
import { createServer } from 'node:net';
import { Http2Connection } from '../../src/http2/connection.ts';
import type { ConnectionOwner, Stream, StreamOwner } from '../../src/http2/contract.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import { Turn } from '../../src/kernel/turn.ts';
import { PlainBuffers } from './plain-buffers.ts';

const [port = '9001', bytes = '100'] = process.argv.slice(2);
const message = Buffer.alloc(5 + Number(bytes));
message.writeUInt32BE(Number(bytes), 1);

const HEADERS = [':status', '200', 'content-type', 'application/grpc'];
const TRAILERS = ['grpc-status', '0'];

function answer(stream: Stream): void {
  stream.sendHeaders(HEADERS, false);
  stream.sendData(message, false);
  stream.sendHeaders(TRAILERS, true);
}

const owner: StreamOwner = {
  onHeaders: () => undefined,
  onData: (stream, chunk, endStream) => {
    stream.credit(chunk.length);
    if (endStream) answer(stream);
  },
  onReset: () => undefined,
  onWritten: () => undefined,
  onLocalEnd: () => undefined,
};
const connectionOwner: ConnectionOwner = {
  onStream: (stream, _block, endStream) => {
    if (endStream) answer(stream);
    return owner;
  },
  onGoaway: () => undefined,
  onCapacity: () => undefined,
  onEnd: () => undefined,
};

const turn = new Turn(systemClock);
const buffers = new PlainBuffers();
createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  const options = {
    role: 'server',
    maxConcurrentStreams: 100_000,
    streamWindowBytes: 1024 * 1024,
    connectionWindowBytes: 16 * 1024 * 1024,
    maxHeaderListBytes: 16_384,
    idleTimeoutMs: 0,
  } as const;
  new Http2Connection(socket, options, connectionOwner, turn, buffers);
}).listen({ host: '127.0.0.1', port: Number(port) });
