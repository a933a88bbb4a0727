/**
 * How a door is closed without shutting it in anybody's face: first what stands before it is let in, then it is closed, and then
 * there is time for everyone to leave.
 */
import type { Server } from 'node:net';
import { setImmediate } from 'node:timers/promises';

/** A listening socket's queue is never longer (net.core.somaxconn); who connects without end does not keep it open. */
const MAX_TURNS = 4_096;

/**
 * Lets in what the kernel has queued for a listening socket: it resets all of it when the socket is closed, also with other
 * sockets on the same port. To be followed by `server.close()` in the same turn. What is still shaking hands with the kernel then is
 * lost nevertheless, unless `net.ipv4.tcp_migrate_req` is 1.
 */
export async function letQueueIn(server: Server): Promise<void> {
  let accepted = 0;
  const count = (): void => {
    accepted += 1;
  };
  server.on('connection', count);
  server.on('drop', count);
  // libuv takes one connection a turn, and the first turn may have polled before.
  for (let before = -1, turns = 0; turns < 2 || (accepted !== before && turns < MAX_TURNS); turns++) {
    before = accepted;
    await setImmediate();
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
