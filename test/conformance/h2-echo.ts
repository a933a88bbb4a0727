/**
 * An echo server on the engine, for peers that judge HTTP/2: answers every request with 200 and what it was sent, or a line of
 * text. `node test/conformance/h2-echo.ts PORT [TLS_PORT CERT_FILE KEY_FILE]`, on loopback.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import { Http2Connection } from '../../src/http2/connection.ts';
import type { ConnectionOptions, ConnectionOwner, Stream, StreamOwner } from '../../src/http2/contract.ts';
import { OutputBufferPool } from '../../src/http2/output-buffer-pool.ts';
import { systemClock } from '../../src/kernel/clock.ts';
import { Turn } from '../../src/kernel/turn.ts';

const OPTIONS: ConnectionOptions = {
  role: 'server',
  maxConcurrentStreams: 100,
  streamWindowBytes: 65_535,
  connectionWindowBytes: 1_048_576,
  maxHeaderListBytes: 65_536,
  idleTimeoutMs: 5_000,
};
const RESPONSE = Object.freeze([':status', '200', 'content-type', 'text/plain']);
const HELLO = Buffer.from('hello from the engine\n');

const turn = new Turn(systemClock);
const buffers = new OutputBufferPool();

const owner: ConnectionOwner = {
  onStream(stream: Stream, _block, endStream): StreamOwner {
    if (endStream) answer(stream, HELLO);
    return new Echo();
  },
  onGoaway() {},
  onCapacity() {},
  onEnd() {},
};

class Echo implements StreamOwner {
  readonly #chunks: Buffer[] = [];

  onHeaders(stream: Stream): void {
    answer(stream, Buffer.concat(this.#chunks));
  }

  onData(stream: Stream, chunk: Buffer, endStream: boolean): void {
    this.#chunks.push(chunk);
    stream.credit(chunk.length);
    if (endStream) answer(stream, Buffer.concat(this.#chunks));
  }

  onReset(): void {}
  onWritten(): void {}
  onLocalEnd(): void {}
}

function answer(stream: Stream, body: Buffer): void {
  stream.sendHeaders(RESPONSE, false);
  stream.sendData(body.length > 0 ? body : HELLO, true);
}

/** Serves one connection. */
export function serveEcho(
  socket: Duplex,
  limits?: ConnectionOptions['limits'],
  idleTimeoutMs = 5_000,
): Http2Connection {
  const options = { ...OPTIONS, idleTimeoutMs, ...(limits === undefined ? {} : { limits }) };
  return new Http2Connection(socket, options, owner, turn, buffers);
}

if (import.meta.main) {
  const [port = '0', tlsPort, certFile, keyFile] = process.argv.slice(2);
  createServer({ noDelay: true }, (socket) => void serveEcho(socket)).listen(Number(port), '127.0.0.1');
  if (tlsPort !== undefined && certFile !== undefined && keyFile !== undefined) {
    const tls = { cert: readFileSync(certFile), key: readFileSync(keyFile), ALPNProtocols: ['h2'], noDelay: true };
    createTlsServer(tls, (socket) => void serveEcho(socket)).listen(Number(tlsPort), '127.0.0.1');
  }
  process.stdout.write('listening\n');
}
