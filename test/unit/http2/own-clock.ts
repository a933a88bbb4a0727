/** Time as a test lets it pass: the timers of the engine and the clock of its turn go together. */
import { setImmediate as turnEnd } from 'node:timers/promises';
import { afterEach, beforeEach, vi } from 'vitest';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import { Turn } from '../../../src/kernel/turn.ts';

export class OwnClock {
  /** May be moved by less than a millisecond, which is no time for a timer. */
  micros = 1_000_000_000;

  /** Stops the time of each test of the file. */
  static install(): OwnClock {
    const clock = new OwnClock();
    beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
    afterEach(() => void vi.useRealTimers());
    return clock;
  }

  /** A turn of its own for each connection, on this clock. */
  turn(): Turn {
    return new Turn({ now: () => this.micros as EpochMicros });
  }

  /** What was said is read and answered, and each turn has ended: the next one reads the clock anew. */
  async quiet(): Promise<void> {
    for (let round = 0; round < 10; round++) await turnEnd();
  }

  async pass(ms: number): Promise<void> {
    await this.quiet();
    this.micros += ms * 1_000;
    vi.advanceTimersByTime(ms);
    await this.quiet();
  }
}
