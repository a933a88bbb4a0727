/**
 * The admin port: one TCP port that speaks HTTP/1.1 to people, Prometheus and probes, and gRPC health to whoever asks in
 * cleartext HTTP/2. Read-only; it has no authentication, so it binds loopback unless configured otherwise.
 *
 * A connection's first bytes tell which it is: the HTTP/2 preface starts with `PRI `, which is no method of HTTP/1.1.
 */
import type { Server as HttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createHttpServer } from '../kernel/http.ts';
import type { HealthService } from './health-service.ts';
import { answerHttp } from './http-routes.ts';
import type { AdminServerOptions } from './state.ts';

export type { AdminServerOptions, AdminState, Readiness } from './state.ts';

/** Connections at once. Probes, a scraper and somebody looking need a handful; more is a leak or a flood. */
const MAX_CONNECTIONS = 64;

/** A client that has not said what it speaks by then is dropped. */
const FIRST_BYTES_TIMEOUT_MS = 5_000;

/** From the first bytes to the end of the answer: one request per connection, so a slow reader cannot stay. */
const HTTP_CONNECTION_TIMEOUT_MS = 10_000;

/** The request line and all headers. A browser's are below 2 KiB. */
const MAX_HEADER_BYTES = 8 * 1024;

const HTTP2_PREFACE_START = Buffer.from('PRI ');

export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #tcp: Server;
  readonly #http: HttpServer;
  /** Made for the first connection that asks for it: grpc-js takes 14 MB, and most probes are HTTP. */
  #health: Promise<HealthService> | undefined;
  readonly #sockets = new Set<Socket>();

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#tcp = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.#tcp.maxConnections = MAX_CONNECTIONS;
    this.#http = createHttpServer({ maxHeaderSize: MAX_HEADER_BYTES }, (request, response) => {
      answerHttp(request, response, options).catch((cause: unknown) => {
        options.onError?.(cause);
        response.destroy();
      });
    });
  }

  /** Binds the port. Rejects when it is taken. */
  start(): Promise<{ readonly port: number }> {
    return new Promise((resolve, reject) => {
      this.#tcp.once('error', reject);
      this.#tcp.listen(this.#options.port, this.#options.address, () => {
        this.#tcp.off('error', reject);
        this.#tcp.on('error', (cause) => this.#options.onError?.(cause));
        const bound = this.#tcp.address();
        resolve({ port: typeof bound === 'object' && bound !== null ? bound.port : this.#options.port });
      });
    });
  }

  /** Stops listening and ends every connection. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#tcp.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    const health = await this.#health;
    health?.close();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const deadline = setTimeout(() => socket.destroy(), FIRST_BYTES_TIMEOUT_MS);
    socket.once('close', () => clearTimeout(deadline));
    let head = Buffer.alloc(0);
    const peek = (): void => {
      const chunk: Buffer | null = socket.read();
      if (chunk === null) return;
      head = Buffer.concat([head, chunk]);
      const isHttp2 = startsLikeHttp2(head);
      if (isHttp2 === undefined) return;
      clearTimeout(deadline);
      socket.off('readable', peek);
      socket.unshift(head);
      if (isHttp2) this.#serveHealth(socket);
      else this.#serveHttp(socket);
    };
    socket.on('readable', peek);
  }

  #serveHealth(socket: Socket): void {
    this.#health ??= this.#startHealth();
    this.#health.then(
      (health) => (socket.destroyed ? undefined : health.serve(socket)),
      (cause: unknown) => {
        this.#options.onError?.(cause);
        socket.destroy();
      },
    );
  }

  async #startHealth(): Promise<HealthService> {
    const { HealthService: Service } = await import('./health-service.ts');
    const health = new Service(() => this.#options.state.ready().ready);
    health.start();
    return health;
  }

  /** `http.Server` times its connections only when it listens itself, so the limit is ours. */
  #serveHttp(socket: Socket): void {
    const deadline = setTimeout(() => socket.destroy(), HTTP_CONNECTION_TIMEOUT_MS);
    socket.once('close', () => clearTimeout(deadline));
    this.#http.emit('connection', socket);
  }
}

/** Undefined while the bytes could still become either. */
function startsLikeHttp2(head: Buffer): boolean | undefined {
  const length = Math.min(head.length, HTTP2_PREFACE_START.length);
  if (head.compare(HTTP2_PREFACE_START, 0, length, 0, length) !== 0) return false;
  return length === HTTP2_PREFACE_START.length ? true : undefined;
}
