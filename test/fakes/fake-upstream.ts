/**
 * A model server that answers every call as it is told, and remembers what reached it. On node:http2, so that our engine has
 * an independent peer.
 */
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';

export interface UpstreamCall {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Request bytes as far as they came. */
  body: Buffer;
  /** The client's side has ended. */
  ended: boolean;
  reset: boolean;
}

/** Answers one call. The default answers with an empty message and status 0 once the request is whole. */
export type Answer = (stream: ServerHttp2Stream, call: UpstreamCall) => void;

const EMPTY_MESSAGE = Buffer.alloc(5);

/** Headers, one empty message, trailers with this status. */
export function respond(stream: ServerHttp2Stream, status = 0, message: Buffer = EMPTY_MESSAGE): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status) }));
  stream.end(message);
}

export class FakeUpstream {
  readonly calls: UpstreamCall[] = [];
  readonly #server: Http2Server;
  /** `undefined`: as the default says. A call that is not answered hangs. */
  answer: Answer | undefined;
  #port = 0;

  private constructor() {
    this.#server = createServer();
    this.#server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => this.#take(stream, headers));
    this.#server.on('sessionError', () => undefined);
  }

  static async start(): Promise<FakeUpstream> {
    const upstream = new FakeUpstream();
    await new Promise<void>((resolve) => upstream.#server.listen(0, '127.0.0.1', resolve));
    const address = upstream.#server.address();
    if (address === null || typeof address === 'string') throw new Error('not a TCP address');
    upstream.#port = address.port;
    return upstream;
  }

  get port(): number {
    return this.#port;
  }

  /** For a tenant's configuration. */
  get config(): {
    target: { kind: 'tcp'; host: string; port: number };
    tls: undefined;
    display: string;
    connectTimeoutMs: number;
    maxConnections: number;
    maxPendingCalls: number;
    authority: string;
  } {
    const authority = `127.0.0.1:${this.#port}`;
    return {
      target: { kind: 'tcp', host: '127.0.0.1', port: this.#port },
      tls: undefined,
      display: `http://${authority}`,
      connectTimeoutMs: 1_000,
      maxConnections: 4,
      maxPendingCalls: 100,
      authority,
    };
  }

  #take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const call: UpstreamCall = {
      path: String(headers[':path']),
      headers,
      body: Buffer.alloc(0),
      ended: false,
      reset: false,
    };
    this.calls.push(call);
    const { answer } = this;
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => {
      call.body = Buffer.concat([call.body, chunk]);
    });
    stream.on('aborted', () => {
      call.reset = true;
    });
    stream.on('end', () => {
      call.ended = !call.reset;
      if (answer === undefined && call.ended && !stream.destroyed) respond(stream);
    });
    answer?.(stream, call);
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    // Sessions keep the server open; its clients are ours and are done.
    if ('closeAllConnections' in this.#server && typeof this.#server.closeAllConnections === 'function') {
      this.#server.closeAllConnections();
    }
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 200))]);
  }
}
