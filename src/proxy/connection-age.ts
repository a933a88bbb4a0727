/**
 * How long a client's connection may live (gRFC A9): at its age it is asked to end, and after the grace it is ended. Clients then
 * connect anew, to whichever worker and pod there are now, and prove who they are again.
 */
import type { LimitsConfig } from '../config/generation.ts';

/** A connection that grows old. */
export interface Ageing {
  /** Says GOAWAY; running calls go on. */
  drain(): void;
  /** Ends it, and what still runs on it. */
  destroy(why: string): void;
}

/** Ages differ by as much in either direction, so that connections that began together do not end together. */
const JITTER = 0.1;

export class ConnectionAge {
  #timer: NodeJS.Timeout | undefined;

  /** Begins to count. `random` is from 0 to 1. */
  constructor(
    { maxConnectionAgeMs, maxConnectionAgeGraceMs }: LimitsConfig,
    connection: Ageing,
    random: () => number = Math.random,
  ) {
    if (maxConnectionAgeMs === undefined) return;
    const ageMs = maxConnectionAgeMs * (1 + JITTER * (2 * random() - 1));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      connection.drain();
      if (maxConnectionAgeGraceMs === undefined) return;
      this.#timer = setTimeout(() => connection.destroy(TOO_OLD), maxConnectionAgeGraceMs).unref();
    }, ageMs).unref();
  }

  /** The connection has ended by itself. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

const TOO_OLD = 'the grace after the connection’s greatest age is over';
