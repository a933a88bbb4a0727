/** What the bench of neighbours and its two clients say to each other. */
import type { CallTarget } from './caller.ts';

/** Calls of the tenant that does nothing wrong, for so long. */
export interface CallOrder {
  readonly target: CallTarget;
  readonly callsPerSecond: number;
  readonly connections: number;
  readonly seconds: number;
}

/** Milliseconds from the sending of a call to the end of its answer. */
export interface Felt {
  readonly calls: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly slowestMs: number;
  /** How late the caller itself was to send: above a millisecond or two its machine is busy with something else. */
  readonly sentLateP99Ms: number;
}

/** One attack, again and again for so long: whoever is sent away comes back. */
export interface AttackOrder {
  readonly attack: string;
  readonly target: CallTarget;
  readonly caPem: string;
  readonly seconds: number;
  /** From one end to the next beginning. */
  readonly pauseMs: number;
}

export interface Struck {
  /** How often the attack was begun. */
  readonly times: number;
  /** How each of them ended, and how often. */
  readonly ends: Readonly<Record<string, number>>;
  /** The median of the milliseconds until GOAWAY or the socket's end; undefined: it was never ended. */
  readonly endedAfterMs: number | undefined;
}
