/**
 * What one tenant may take of a turn of the thread's event loop: milliseconds, for all of its connections together. What they have read
 * beyond that waits for the next turns, in the order in which it came, and what others have read comes between.
 *
 * Time is counted, not octets or frames: a header block, a call with its checks, and a message that is looked into cost what they cost.
 */
import type { EpochMicros } from './ids.ts';

/** More than calls at a usual rate bring in a turn, and little beside what a call takes through the network and a model. */
export const TURN_SHARE_MS = 1;

export class TurnShare {
  readonly #limitMs: number;
  readonly #elapsed: () => number;
  /** The turn that is counted, by its time. */
  #turn: EpochMicros | undefined;
  #spentMs = 0;
  #beganAt = 0;
  #waiting: (() => void)[] = [];
  #scheduled = false;

  /** `elapsed`: milliseconds of a clock that only moves forward. */
  constructor(limitMs = TURN_SHARE_MS, elapsed: () => number = () => performance.now()) {
    this.#limitMs = limitMs;
    this.#elapsed = elapsed;
  }

  /** Whether something may be done in the turn of this time. When not, it has to `wait`. */
  mayBegin(turn: EpochMicros): boolean {
    if (this.#waiting.length > 0) return false;
    if (turn !== this.#turn) {
      this.#turn = turn;
      this.#spentMs = 0;
    }
    return this.#spentMs < this.#limitMs;
  }

  /** Something is done from here on, until `end`. */
  begin(): void {
    this.#beganAt = this.#elapsed();
  }

  /** Whether what is being done has taken what was left: its rest has to `wait`. */
  isUp(): boolean {
    return this.#spentMs + (this.#elapsed() - this.#beganAt) >= this.#limitMs;
  }

  end(): void {
    this.#spentMs += this.#elapsed() - this.#beganAt;
  }

  /** Has it done in a later turn, behind all that waits already. It says `begin` and `end` itself. */
  wait(later: () => void): void {
    this.#waiting.push(later);
    if (this.#scheduled) return;
    this.#scheduled = true;
    // What an immediate schedules runs after the next poll: others have been read by then.
    setImmediate(() => setImmediate(this.#run));
  }

  readonly #run = (): void => {
    this.#scheduled = false;
    this.#spentMs = 0;
    const waiting = this.#waiting;
    this.#waiting = [];
    let done = 0;
    // What waits again from here on is for a turn after this one.
    while (done < waiting.length && this.#spentMs < this.#limitMs) waiting[done++]?.();
    if (done < waiting.length) this.#waiting = [...waiting.slice(done), ...this.#waiting];
    if (this.#waiting.length === 0 || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#run);
  };
}
