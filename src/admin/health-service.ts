/**
 * `grpc.health.v1.Health` on the admin port. Services: `liveness` serves while the process answers at all; `readiness` and
 * the empty name (the server as a whole) serve when calls would be.
 */
import type { Socket } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';

/** How late a watcher may learn of a change. A connection's first answer is always of its moment. */
const POLL_MS = 200;

export class HealthService {
  readonly #isReady: () => boolean;
  readonly #health = new HealthImplementation({ liveness: 'SERVING', readiness: 'NOT_SERVING', '': 'NOT_SERVING' });
  readonly #server = new Server({
    'grpc.max_receive_message_length': 1024,
    'grpc.max_concurrent_streams': 16,
    'grpc-node.max_session_memory': 1,
    'grpc.max_connection_idle_ms': 300_000,
  });
  readonly #injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  #served = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(isReady: () => boolean) {
    this.#isReady = isReady;
    this.#health.addToServer(this.#server);
  }

  /** Begins to tell watchers of changes. */
  start(): void {
    this.#refresh();
    this.#timer = setInterval(() => this.#refresh(), POLL_MS).unref();
  }

  /** Serves a connection whose bytes have not been read. */
  serve(socket: Socket): void {
    this.#refresh();
    this.#injector.injectConnection(socket);
  }

  /** Ends every connection. */
  close(): void {
    clearInterval(this.#timer);
    this.#injector.destroy();
    this.#server.forceShutdown();
  }

  #refresh(): void {
    const ready = this.#isReady();
    if (ready === this.#served) return;
    this.#served = ready;
    for (const name of ['readiness', '']) this.#health.setStatus(name, ready ? 'SERVING' : 'NOT_SERVING');
  }
}
