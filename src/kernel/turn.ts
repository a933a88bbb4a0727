/**
 * One turn of a thread's event loop: what it reads is gathered, and what it writes leaves together at its end.
 *
 * Sockets become readable in libuv's poll phase; `setImmediate` runs in the check phase right after it. So everything that
 * all sockets delivered in one turn is answered by one write per socket, and one clock read serves every limit, span and
 * audit record of the turn.
 */
import type { Clock } from './clock.ts';
import type { EpochMicros } from './ids.ts';

/** Something with output gathered during a turn: a connection. */
export interface Flushable {
  /** Hands the gathered output to the socket. Called at most once per turn for each `defer`. */
  flush(): void;
}

/**
 * Runs before a turn's output leaves. Returns false to hold the output back: the gate's owner calls `release()` when it may
 * leave. The audit log is the gate: no call's last byte leaves before its record is in the kernel.
 */
export type TurnGate = () => boolean;

export class Turn {
  readonly #clock: Clock;
  #now: EpochMicros | undefined;
  #scheduled = false;
  #pending: Flushable[] = [];
  #spare: Flushable[] = [];
  #gate: TurnGate = () => true;
  readonly #run = (): void => {
    this.#scheduled = false;
    this.#end();
  };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Sets what must succeed before output leaves. */
  setGate(gate: TurnGate): void {
    this.#gate = gate;
  }

  /** This turn's time: read once, the same for everyone until the turn ends. */
  now(): EpochMicros {
    if (this.#now === undefined) {
      this.#now = this.#clock.now();
      this.#schedule();
    }
    return this.#now;
  }

  /** Has `flushable.flush()` called at the end of this turn. The caller keeps itself from being deferred twice. */
  defer(flushable: Flushable): void {
    this.#pending.push(flushable);
    this.#schedule();
  }

  /** Has the gate and the pending output tried again, after a gate that had held them back. */
  release(): void {
    this.#end();
  }

  #schedule(): void {
    if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#run);
    }
  }

  /** One connection's fault is thrown when all others have been flushed, and not before. */
  #flush(batch: Flushable[]): void {
    let fault: { readonly cause: unknown } | undefined;
    for (const flushable of batch) {
      try {
        flushable.flush();
      } catch (cause) {
        fault ??= { cause };
      }
    }
    batch.length = 0;
    if (fault === undefined) return;
    this.#now = undefined;
    throw fault.cause;
  }

  #end(): void {
    if (this.#gate()) {
      const batch = this.#pending;
      this.#pending = this.#spare;
      this.#spare = batch;
      this.#flush(batch);
    }
    // Last: what reads the time while it flushes must not make another turn of the loop for it.
    this.#now = undefined;
  }
}
