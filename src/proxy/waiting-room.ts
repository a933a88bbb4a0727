/**
 * Where clients wait after their handshake until somebody has said what their certificates are worth. They take no place of those
 * who shake hands: a responder that hangs fills the room of the tenant that asks it, for a time, and nobody else's.
 */
import type { Socket } from 'node:net';
import type { TenantId } from '../kernel/ids.ts';

/** Clients of one tenant that wait at once, in each worker. As many certificates may be asked about. */
export const MAX_WAITING_CLIENTS = 256;

export class WaitingRoom {
  readonly #waiting = new Map<TenantId, number>();
  readonly #left: () => void;
  #size = 0;

  /** `left` is told each time that somebody has left. */
  constructor(left: () => void) {
    this.#left = left;
  }

  /** Clients of all tenants. */
  get size(): number {
    return this.#size;
  }

  isFull(tenant: TenantId): boolean {
    return (this.#waiting.get(tenant) ?? 0) >= MAX_WAITING_CLIENTS;
  }

  /** Has a client wait, unless it is gone before. `then` comes while it is still counted: who looks sees it here or there. */
  async wait(tenant: TenantId, socket: Socket, settled: Promise<void>, then: () => void): Promise<void> {
    this.#waiting.set(tenant, (this.#waiting.get(tenant) ?? 0) + 1);
    this.#size += 1;
    const gone = Promise.withResolvers<void>();
    const leave = (): void => gone.resolve();
    socket.once('close', leave);
    await Promise.race([settled, gone.promise]);
    socket.off('close', leave);
    then();
    this.#size -= 1;
    const others = (this.#waiting.get(tenant) ?? 1) - 1;
    if (others > 0) this.#waiting.set(tenant, others);
    else this.#waiting.delete(tenant);
    this.#left();
  }
}
