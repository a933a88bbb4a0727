/**
 * How a door is closed without shutting it in anybody's face: first what stands before it is let in, then it is closed, and then
 * there is time for everyone to leave.
 */
import type { Server } from 'node:net';
import { setImmediate } from 'node:timers/promises';

/** Who connects without end, or a thread that is never idle, keeps a socket open no longer. */
const MAX_WAIT_MS = 1_000;
/** A turn of the event loop is quiet when it took no longer: what has come since its look at the sockets is lost. */
const QUIET_TURN_MS = 0.3;

/**
 * Lets in what the kernel has queued for a listening socket: it resets all of it when the socket is closed, also with other
 * sockets on the same port. To be followed by `server.close()` at once. Who connects in the moment between the last look and the
 * end is turned away nevertheless, unless there are other sockets and `net.ipv4.tcp_migrate_req` is 1.
 */
export async function letQueueIn(server: Server): Promise<void> {
  let accepted = 0;
  const count = (): void => {
    accepted += 1;
  };
  server.on('connection', count);
  server.on('drop', count);
  const began = performance.now();
  // The first turn may have looked before; libuv takes one connection a turn.
  await setImmediate();
  for (let turnBegan = performance.now(); turnBegan - began < MAX_WAIT_MS; ) {
    const before = accepted;
    await setImmediate();
    const turnEnded = performance.now();
    if (accepted === before && turnEnded - turnBegan < QUIET_TURN_MS) break;
    turnBegan = turnEnded;
  }
  server.off('connection', count);
  server.off('drop', count);
}

/** Waits until all have left, or until a limit that a later word can only bring closer. */
export class Drain {
  /** Resolves when all have left or the limit has passed. */
  readonly over: Promise<void>;
  readonly #isEmpty: () => boolean;
  #resolve: () => void = () => undefined;
  #endsAtMs = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(isEmpty: () => boolean) {
    this.#isEmpty = isEmpty;
    this.over = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** The limit, from now. */
  within(timeoutMs: number): void {
    const endsAtMs = performance.now() + timeoutMs;
    if (endsAtMs >= this.#endsAtMs) return;
    this.#endsAtMs = endsAtMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#resolve, timeoutMs);
  }

  /** Somebody may have left. */
  check(): void {
    if (!this.#isEmpty()) return;
    clearTimeout(this.#timer);
    this.#resolve();
  }
}
