/**
 * The engine without the product: TLS in, cleartext HTTP/2 out, every stream relayed, no tenant, no check, no record. It is what
 * HAProxy's relay is measured against.
 *
 * usage: node test/bench/relay-only.ts PORT BACKEND_PORT CERTIFICATE KEY
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createServer } from 'node:tls';
import { Http2Connection } from '../../src/http2/connection.ts';
import type {
  Connection,
  ConnectionOwner,
  HeaderBlock,
  ResetCause,
  Stream,
  StreamOwner,
} from '../../src/http2/contract.ts';
import { ErrorCode } from '../../src/http2/error-code.ts';
import { OutputBufferPool } from '../../src/http2/output-buffer-pool.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import { Turn } from '../../src/kernel/turn.ts';

const [port = '', backendPort = '', certificate = '', key = ''] = process.argv.slice(2);
const turn = new Turn(systemClock);
const buffers = new OutputBufferPool(64);
const options = {
  streamWindowBytes: 256 * 1024,
  connectionWindowBytes: 1024 * 1024,
  maxHeaderListBytes: 16_384,
  idleTimeoutMs: 0,
} as const;

/** Both streams of a call; each side's events go to the other. */
class Relay implements StreamOwner {
  readonly #down: Stream;
  #up: Stream | undefined;

  constructor(down: Stream) {
    this.#down = down;
  }

  begin(upstream: Connection, block: HeaderBlock, endStream: boolean): void {
    this.#up = upstream.open(block, endStream, this);
  }

  #other(stream: Stream): Stream | undefined {
    return stream === this.#down ? this.#up : this.#down;
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    this.#other(stream)?.sendHeaders(block, endStream);
  }

  onData(stream: Stream, chunk: Buffer, endStream: boolean): void {
    this.#other(stream)?.sendData(chunk, endStream);
  }

  onReset(stream: Stream, cause: ResetCause): void {
    this.#other(stream)?.reset(cause.by === 'peer' && cause.code === 0 ? ErrorCode.NO_ERROR : ErrorCode.CANCEL);
  }

  onWritten(stream: Stream, bytes: number): void {
    this.#other(stream)?.credit(bytes);
  }

  onLocalEnd(): void {
    // The relay keeps no record.
  }
}

let upstream: Connection | undefined;

const downstreamOwner: ConnectionOwner = {
  onStream: (stream, block, endStream) => {
    const relay = new Relay(stream);
    if (upstream === undefined) throw new Error('no upstream');
    relay.begin(upstream, block, endStream);
    return relay;
  },
  onGoaway: () => undefined,
  onCapacity: () => undefined,
  onEnd: () => undefined,
};
const upstreamOwner: ConnectionOwner = {
  onStream: () => {
    throw new Error('a server opened a stream');
  },
  onGoaway: () => undefined,
  onCapacity: () => undefined,
  onEnd: () => process.exit(0),
};

const socket = connect({ host: '127.0.0.1', port: Number(backendPort), noDelay: true }, () => {
  upstream = new Http2Connection(
    socket,
    { role: 'client', maxConcurrentStreams: 0, ...options },
    upstreamOwner,
    turn,
    buffers,
  );
});

createServer(
  { cert: readFileSync(certificate), key: readFileSync(key), ALPNProtocols: ['h2'], noDelay: true },
  (client) => {
    client.on('error', () => client.destroy());
    new Http2Connection(
      client,
      { role: 'server', maxConcurrentStreams: 1000, ...options },
      downstreamOwner,
      turn,
      buffers,
    );
  },
).listen({ host: '127.0.0.1', port: Number(port) });
