/**
 * Lets calls through to a model server: no more at once than its tenant may have there, and none while its circuit is open. What
 * a rule of ours refused has never come here, so it is no failure of the model server's.
 */
import type { UpstreamConfig } from '../config/generation.ts';
import type { Connection } from '../http2/contract.ts';
import { type Denial, deny } from '../kernel/denial.ts';
import { ok, type Result } from '../kernel/result.ts';
import { Circuit } from './circuit.ts';

export class UpstreamGuard {
  readonly #config: UpstreamConfig;
  readonly #circuit: Circuit | undefined;
  readonly #random: () => number;
  readonly #failedConnections = new WeakSet<Connection>();
  #calls = 0;

  constructor(config: UpstreamConfig, random: () => number) {
    this.#config = config;
    this.#circuit = config.circuit === undefined ? undefined : new Circuit(config.circuit);
    this.#random = random;
  }

  /** One call asks to go. It says what became of it, and leaves. */
  enter(): Result<Passage, Denial> {
    const { maxConcurrentCalls, display } = this.#config;
    if (maxConcurrentCalls !== undefined && this.#calls >= maxConcurrentCalls) {
      return deny({ kind: 'overloaded', why: `${maxConcurrentCalls} calls are at ${display}` });
    }
    const passing = this.#circuit?.enter(performance.now()) ?? 'pass';
    if (typeof passing === 'object') return deny({ kind: 'circuit_open', upstream: display, ...passing });
    this.#calls++;
    return ok(new Passage(this, passing === 'probe'));
  }

  succeeded(asProbe: boolean): void {
    this.#circuit?.succeeded(asProbe);
  }

  /** A connection that ends fails all its calls, and counts once. */
  failed(asProbe: boolean, connection: Connection | undefined): void {
    if (connection !== undefined) {
      if (this.#failedConnections.has(connection) && !asProbe) return;
      this.#failedConnections.add(connection);
    }
    this.#circuit?.failed(asProbe, performance.now(), this.#random());
  }

  left(asUndecidedProbe: boolean): void {
    this.#calls--;
    if (asUndecidedProbe) this.#circuit?.abandoned(performance.now());
  }
}

/** One call at a model server. */
export class Passage {
  readonly #guard: UpstreamGuard;
  readonly #isProbe: boolean;
  #decided = false;
  #left = false;

  constructor(guard: UpstreamGuard, isProbe: boolean) {
    this.#guard = guard;
    this.#isProbe = isProbe;
  }

  /** The model server has answered. Only the first verdict counts. */
  answered(): void {
    if (this.#decided) return;
    this.#decided = true;
    this.#guard.succeeded(this.#isProbe);
  }

  /** The model server has failed the call; `connection`: by ending it. */
  failed(connection?: Connection): void {
    if (this.#decided) return;
    this.#decided = true;
    this.#guard.failed(this.#isProbe, connection);
  }

  /** The call is over. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#guard.left(this.#isProbe && !this.#decided);
  }
}
