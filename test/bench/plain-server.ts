/**
 * A cleartext HTTP/2 server on our own engine, for what stands behind the subjects: it must cost less than what is measured.
 */
import { createServer } from 'node:net';
import { Http2Connection } from '../../src/http2/connection.ts';
import type { ConnectionOwner, Stream, StreamOwner } from '../../src/http2/contract.ts';
import { OutputBufferPool } from '../../src/http2/output-buffer-pool.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import { Turn } from '../../src/kernel/turn.ts';

export interface PlainService {
  onData(chunk: Buffer): void;
  /** The request has ended. */
  answer(stream: Stream): void;
}

const PLENTY = { burst: 1_000_000, perSecond: 1_000_000, perUsefulFrame: 0 };

/** No limit that a load's end could reach: it leaves hundreds of calls, which the subject then resets at once. */
const OPTIONS = {
  role: 'server',
  maxConcurrentStreams: 100_000,
  streamWindowBytes: 1024 * 1024,
  connectionWindowBytes: 16 * 1024 * 1024,
  maxHeaderListBytes: 16_384,
  idleTimeoutMs: 0,
  limits: { youngResets: PLENTY, provokedResets: PLENTY, lateFrames: PLENTY, windowUpdates: PLENTY },
} as const;

/** Serves on a loopback port until the process ends. */
export function serveHttp2(port: number, service: PlainService): void {
  const owner: StreamOwner = {
    onHeaders: () => undefined,
    onData: (stream, chunk, endStream) => {
      stream.credit(chunk.length);
      service.onData(chunk);
      if (endStream) service.answer(stream);
    },
    onReset: () => undefined,
    onWritten: () => undefined,
    onLocalEnd: () => undefined,
  };
  const connectionOwner: ConnectionOwner = {
    onStream: (stream, _block, endStream) => {
      if (endStream) service.answer(stream);
      return owner;
    },
    onGoaway: () => undefined,
    onCapacity: () => undefined,
    onEnd: () => undefined,
  };
  const turn = new Turn(systemClock);
  const buffers = new OutputBufferPool();
  createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    new Http2Connection(socket, OPTIONS, connectionOwner, turn, buffers);
  }).listen({ host: '127.0.0.1', port, backlog: 4_096 });
}
