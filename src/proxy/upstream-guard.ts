/**
 * Lets calls through to a model server: none while it is unhealthy, no more at once than its tenant may have there, and none while
 * its circuit is open. What a rule of ours refused has never come here, so it is no failure of the model server's. Calls that are
 * through are left alone, whatever is learned of the server meanwhile.
 */
import type { UpstreamConfig } from '../config/upstream-config.ts';
import type { Connection } from '../http2/contract.ts';
import { type Denial, deny } from '../kernel/denial.ts';
import { ok, type Result } from '../kernel/result.ts';
import { Circuit } from './circuit.ts';
import type { HealthWatch } from './health-probes.ts';

/** What a health check brings with it. */
export interface GuardedHealth {
  readonly watch: HealthWatch;
  /** The server is well again: what was held against it is outdated. */
  readonly onRecovered: () => void;
}

export class UpstreamGuard {
  readonly #config: UpstreamConfig;
  readonly #circuit: Circuit | undefined;
  readonly #random: () => number;
  readonly #health: GuardedHealth | undefined;
  #recoveries: number;
  readonly #failedConnections = new WeakSet<Connection>();
  #calls = 0;

  constructor(config: UpstreamConfig, random: () => number, health?: GuardedHealth) {
    this.#config = config;
    this.#health = health;
    this.#recoveries = health?.watch.recoveries ?? 0;
    this.#circuit = config.circuit === undefined ? undefined : new Circuit(config.circuit);
    this.#random = random;
  }

  /** One call asks to go. It says what became of it, and leaves. */
  enter(): Result<Passage, Denial> {
    const { maxConcurrentCalls, display } = this.#config;
    const unhealthy = this.#unhealthy();
    if (unhealthy !== undefined) {
      return deny({ kind: 'upstream_unavailable', upstream: display, why: `unhealthy: ${unhealthy}` });
    }
    if (maxConcurrentCalls !== undefined && this.#calls >= maxConcurrentCalls) {
      return deny({ kind: 'overloaded', why: `${maxConcurrentCalls} calls are at ${display}` });
    }
    const passing = this.#circuit?.enter(performance.now()) ?? 'pass';
    if (typeof passing === 'object') return deny({ kind: 'circuit_open', upstream: display, ...passing });
    this.#calls++;
    return ok(new Passage(this, passing === 'probe'));
  }

  /** Why no call is to go there, as far as its health goes. */
  #unhealthy(): string | undefined {
    const health = this.#health;
    if (health === undefined) return undefined;
    const { now, recoveries } = health.watch;
    if (now.at === 'unhealthy') return now.why;
    if (recoveries !== this.#recoveries) {
      this.#recoveries = recoveries;
      this.#circuit?.reset();
      health.onRecovered();
    }
    return undefined;
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
