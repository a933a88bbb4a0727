/** The times by which something must have happened on a connection: any number of them, one timer. */
import type { Turn } from '../kernel/turn.ts';

export type DeadlineName = 'idle' | 'settings' | 'keepalive' | 'write' | 'frame' | 'stall' | 'drain' | 'linger';

export class Deadlines {
  readonly #turn: Turn;
  readonly #onDue: (name: DeadlineName) => void;
  readonly #dueMicros: Record<DeadlineName, number> = {
    idle: NEVER,
    settings: NEVER,
    keepalive: NEVER,
    write: NEVER,
    frame: NEVER,
    stall: NEVER,
    drain: NEVER,
    linger: NEVER,
  };
  #timer: NodeJS.Timeout | undefined;
  #timerMicros = NEVER;
  readonly #fire = (): void => {
    this.#timer = undefined;
    this.#timerMicros = NEVER;
    this.#run();
  };

  constructor(turn: Turn, onDue: (name: DeadlineName) => void) {
    this.#turn = turn;
    this.#onDue = onDue;
  }

  /** Due in so many milliseconds, unless it is set again or cleared before. */
  set(name: DeadlineName, inMs: number): void {
    const due = this.#turn.now() + inMs * 1_000;
    this.#dueMicros[name] = due;
    if (due < this.#timerMicros) this.#arm(due);
  }

  /** Leaves the timer as it is: what it finds due then is decided then. */
  clear(name: DeadlineName): void {
    this.#dueMicros[name] = NEVER;
  }

  clearAll(): void {
    for (const name of NAMES) this.#dueMicros[name] = NEVER;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerMicros = NEVER;
  }

  #run(): void {
    const now = this.#turn.now();
    for (const name of NAMES) {
      if (this.#dueMicros[name] > now) continue;
      this.#dueMicros[name] = NEVER;
      this.#onDue(name);
    }
    let next = NEVER;
    for (const name of NAMES) next = Math.min(next, this.#dueMicros[name]);
    if (next < this.#timerMicros) this.#arm(next);
  }

  #arm(dueMicros: number): void {
    clearTimeout(this.#timer);
    this.#timerMicros = dueMicros;
    this.#timer = setTimeout(this.#fire, Math.max(1, Math.ceil((dueMicros - this.#turn.now()) / 1_000)));
  }
}

const NEVER = Number.POSITIVE_INFINITY;
const NAMES: readonly DeadlineName[] = ['idle', 'settings', 'keepalive', 'write', 'frame', 'stall', 'drain', 'linger'];
