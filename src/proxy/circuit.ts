/**
 * When a model server is not worth asking: after so many calls in a row that it failed, the circuit opens and calls are refused
 * at once, for a time that grows with each try that fails. Then one call goes ahead to see.
 *
 * Pure: the time and the chance are arguments.
 */
import type { CircuitConfig } from '../config/upstream-config.ts';

type State =
  | { readonly at: 'closed'; readonly failures: number }
  /** `times`: how often in a row it has opened. */
  | { readonly at: 'open'; readonly untilMs: number; readonly times: number }
  /** One call is on its way to see. If it takes long, another goes after it. */
  | { readonly at: 'probing'; readonly sinceMs: number; readonly times: number };

/** Whether a call may go, and as what. */
export type Passing = 'pass' | 'probe' | { readonly retryAfterMs: number };

const CLOSED: State = { at: 'closed', failures: 0 };

export class Circuit {
  readonly #config: CircuitConfig;
  #state: State = CLOSED;

  constructor(config: CircuitConfig) {
    this.#config = config;
  }

  enter(nowMs: number): Passing {
    const state = this.#state;
    if (state.at === 'closed') return 'pass';
    const nextMs = state.at === 'open' ? state.untilMs : state.sinceMs + this.#config.openMs;
    if (nowMs < nextMs) return { retryAfterMs: nextMs - nowMs };
    this.#state = { at: 'probing', sinceMs: nowMs, times: state.times };
    return 'probe';
  }

  /** The model server has answered. */
  succeeded(asProbe: boolean): void {
    if (asProbe || this.#state.at === 'closed') this.#state = CLOSED;
  }

  /** The model server has failed a call. `random`: 0 to 1. */
  failed(asProbe: boolean, nowMs: number, random: number): void {
    const state = this.#state;
    if (state.at === 'closed') {
      const failures = state.failures + 1;
      this.#state = failures < this.#config.failures ? { at: 'closed', failures } : this.#opened(1, nowMs, random);
    } else if (asProbe && state.at === 'probing') this.#state = this.#opened(state.times + 1, nowMs, random);
  }

  /** The model server is known to be well: what it failed before is outdated. */
  reset(): void {
    this.#state = CLOSED;
  }

  /** The call that went ahead has ended without a verdict: the next one goes. */
  abandoned(nowMs: number): void {
    const state = this.#state;
    if (state.at === 'probing') this.#state = { at: 'open', untilMs: nowMs, times: state.times };
  }

  /** ± 50 %, so that workers and pods do not all come back at once. */
  #opened(times: number, nowMs: number, random: number): State {
    const { openMs, maxOpenMs } = this.#config;
    return { at: 'open', times, untilMs: nowMs + Math.min(openMs * 2 ** (times - 1), maxOpenMs) * (0.5 + random) };
  }
}
