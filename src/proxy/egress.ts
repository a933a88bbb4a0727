/**
 * All egress listeners of one worker: which there are follows the configuration, also while calls run.
 */
import type { Holding } from '../buffers/ceiling.ts';
import type { EgressConfig } from '../config/generation.ts';
import type { Settings } from '../config/generation-change.ts';
import { EgressListener, type EgressListenerOptions } from './egress-listener.ts';

/** What was to be listened on and could not be, is tried again. */
const RETRY_MS = 1_000;

export class Egress {
  readonly #options: EgressListenerOptions;
  readonly #listeners = new Map<string, EgressListener>();
  /** No longer configured, with calls that have yet to end. */
  readonly #leaving = new Set<EgressListener>();
  readonly #retries = new Set<NodeJS.Timeout>();
  #generation: Settings;
  #closing = false;

  constructor(options: EgressListenerOptions, generation: Settings) {
    this.#options = options;
    this.#generation = generation;
  }

  /** Listens on all addresses; rejects when one cannot be bound. */
  async start(): Promise<void> {
    for (const config of this.#own(this.#generation)) {
      if (this.#closing) return;
      await this.#make(config).listen();
    }
  }

  /**
   * Follows a new generation: what is new listens (and what cannot be bound is on record, and tried again), what is gone drains,
   * what stays has its new configuration for the next call. Resolves when the new addresses are bound or have failed, and nobody can
   * connect to what is gone.
   */
  async apply(generation: Settings): Promise<void> {
    this.#generation = generation;
    const configured = new Map(this.#own(generation).map((config) => [config.listen, config]));
    const changes: Promise<void>[] = [];
    for (const [listen, listener] of this.#listeners) {
      if (!configured.has(listen)) changes.push(this.#remove(listen, listener));
    }
    for (const [listen, config] of configured) {
      const known = this.#listeners.get(listen);
      if (known !== undefined) known.apply(config, generation);
      else if (!this.#closing) changes.push(this.#add(config));
    }
    await Promise.all(changes);
  }

  /** Closes all. Resolves when nobody can connect any more. */
  async close(): Promise<void> {
    this.#closing = true;
    await Promise.all(this.#all().map((listener) => listener.close()));
  }

  get connections(): number {
    return this.#all().reduce((sum, listener) => sum + listener.connections, 0);
  }

  get calls(): number {
    return this.#all().reduce((sum, listener) => sum + listener.calls, 0);
  }

  /** Calls of the listener in this slot, with what each holds. */
  holdings(slot: number): readonly Holding[] {
    return this.#in((each) => each === slot).flatMap((listener) => listener.holdings());
  }

  connectionsOf(slot: number): readonly Holding[] {
    return this.#in((each) => each === slot).flatMap((listener) => listener.sessions());
  }

  /** Has those in these slots give back the memory that they can do without. */
  trim(slots: ReadonlySet<number>): void {
    for (const listener of this.#in((slot) => slots.has(slot))) listener.runtime().trim();
  }

  #in(wanted: (slot: number) => boolean): readonly EgressListener[] {
    return this.#all().filter((listener) => wanted(listener.runtime().config.slot));
  }

  /** Drains all. Returns how many calls did not get to their own end. Called again, it can only end sooner. */
  async drain(timeoutMs: number): Promise<number> {
    this.#closing = true;
    for (const timer of this.#retries) clearTimeout(timer);
    const cut = await Promise.all(this.#all().map((listener) => listener.drain(timeoutMs)));
    return cut.reduce((sum, calls) => sum + calls, 0);
  }

  #all(): readonly EgressListener[] {
    return [...this.#listeners.values(), ...this.#leaving];
  }

  /** A Unix socket cannot be bound twice: all are the first worker's, which is there however many there are. */
  #own({ egress }: Settings): readonly EgressConfig[] {
    const isFirst = this.#options.tables.workerIndex === 0;
    return egress.filter(({ address }) => address.kind === 'tcp' || isFirst);
  }

  #make(config: EgressConfig): EgressListener {
    const listener = new EgressListener(this.#options, config, this.#generation.limits);
    this.#listeners.set(config.listen, listener);
    return listener;
  }

  async #add(config: EgressConfig): Promise<void> {
    const listener = this.#make(config);
    try {
      await listener.listen();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      listener.refused('EGRESS_CANNOT_LISTEN', '', why);
      if (this.#listeners.get(config.listen) === listener) this.#listeners.delete(config.listen);
      // Its pool may keep connections warm, and the next try has a pool of its own.
      await listener.drain(0);
      this.#retry(config.listen);
    }
  }

  #retry(listen: string): void {
    if (this.#closing) return;
    const timer = setTimeout(() => {
      this.#retries.delete(timer);
      const config = this.#own(this.#generation).find((one) => one.listen === listen);
      if (config !== undefined && !this.#listeners.has(listen)) void this.#add(config);
    }, RETRY_MS).unref();
    this.#retries.add(timer);
  }

  #remove(listen: string, listener: EgressListener): Promise<void> {
    this.#listeners.delete(listen);
    this.#leaving.add(listener);
    void listener.drain(this.#generation.shutdown.drainTimeoutMs).then(() => this.#leaving.delete(listener));
    return listener.close();
  }
}
