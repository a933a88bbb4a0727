/**
 * The admin server, and how it moves to another address while the process runs: bound there first, and left here when the change is
 * made.
 */
import { AdminServer } from '../admin/server.ts';
import type { AdminServerOptions } from '../admin/state.ts';
import type { AdminConfig } from '../config/generation.ts';
import { isSameAddress } from './bound-address.ts';

/** A move that is prepared: one of the two is called. */
export interface AdminMove {
  make(): Promise<void>;
  undo(): Promise<void>;
}

const NO_MOVE: AdminMove = { make: () => Promise.resolve(), undo: () => Promise.resolve() };

export class AdminPort {
  readonly #options: Omit<AdminServerOptions, 'address' | 'port'>;
  #server: AdminServer;
  #bound: AdminConfig;

  constructor(options: Omit<AdminServerOptions, 'address' | 'port'>, config: AdminConfig) {
    this.#options = options;
    this.#bound = config;
    this.#server = new AdminServer({ ...options, ...config });
  }

  /** Where it is, with the port that it has. */
  get bound(): AdminConfig {
    return this.#bound;
  }

  /** Binds. Rejects when it cannot. */
  async start(): Promise<number> {
    const { port } = await this.#server.start();
    this.#bound = { ...this.#bound, port };
    return port;
  }

  /** Binds where `after` says, if that is elsewhere. Rejects when it cannot; then it is where it was. */
  async prepare(before: AdminConfig, after: AdminConfig): Promise<AdminMove> {
    if (isSameAddress(this.#bound, before, after)) return NO_MOVE;
    const server = new AdminServer({ ...this.#options, ...after });
    // 127.0.0.1 and 0.0.0.0 cannot have the same port at once: this is the one case in which nobody listens for a moment.
    if (after.port === this.#bound.port) return this.#swap(server, after);
    const { port } = await server.start();
    return {
      make: async () => {
        const old = this.#server;
        this.#server = server;
        this.#bound = { ...after, port };
        await old.close();
      },
      undo: () => server.close(),
    };
  }

  /** Ends it, and every connection to it. */
  close(): Promise<void> {
    return this.#server.close();
  }

  async #swap(server: AdminServer, after: AdminConfig): Promise<AdminMove> {
    const before = this.#bound;
    await this.#server.close();
    try {
      await server.start();
    } catch (cause) {
      await this.#reopen(before);
      throw cause;
    }
    this.#server = server;
    this.#bound = after;
    return {
      make: () => Promise.resolve(),
      undo: async () => {
        await server.close();
        await this.#reopen(before);
      },
    };
  }

  async #reopen(before: AdminConfig): Promise<void> {
    this.#server = new AdminServer({ ...this.#options, ...before });
    this.#bound = before;
    await this.#server.start();
  }
}
