import type { EpochMicros } from './ids.ts';

/** Where time comes from. Decisions never read a clock: they are given `now`. */
export interface Clock {
  /** Wall-clock time in microseconds; does not run backwards while the process lives. */
  now(): EpochMicros;
}

/**
 * The process's clock: the wall time at start plus the monotonic time since, so that a step of the system's clock moves
 * neither a limit nor a span. It is shared by all threads of the process, since `performance.timeOrigin` differs per thread
 * but the sum does not.
 */
export const systemClock: Clock = {
  now(): EpochMicros {
    return Math.floor((performance.timeOrigin + performance.now()) * 1000) as EpochMicros;
  },
};
