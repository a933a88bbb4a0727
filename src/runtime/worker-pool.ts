/**
 * All data-plane threads: started on one port, replaced when they die, moved to a new generation together.
 */
import type { Generation } from '../config/generation.ts';
import { MAX_EGRESS_LISTENERS } from '../config/schema-egress.ts';
import { createSharedState, releaseWorker, type SharedState } from '../quota/shared-state.ts';
import type { FromWorker } from './messages.ts';
import { type WorkerEvents, WorkerHandle } from './worker-handle.ts';

export interface WorkerPoolEvents {
  died(index: number, cause: Error | undefined, restartInMs: number): void;
  metrics(index: number, message: Extract<FromWorker, { type: 'metrics' }>, dropped: number): void;
}

/** A worker that keeps dying is born again more and more slowly; one that lived for a while, at once. */
const RESTART_FIRST_MS = 50;
const RESTART_MAX_MS = 5_000;
const LIVED_LONG_MS = 30_000;
const START_TIMEOUT_MS = 30_000;
/** A worker that has drained has nothing left to do but to end. */
const END_GRACE_MS = 2_000;

export class WorkerPool {
  readonly #shared: SharedState;
  /** The egress listeners' byte accounts. Two generations' listeners fit: calls of the one before may still run. */
  readonly egressShared: SharedState;
  readonly #events: WorkerPoolEvents;
  #generation: Generation;
  #port: number | undefined;
  readonly #handles = new Map<number, WorkerHandle>();
  readonly #bornAt = new Map<number, number>();
  readonly #deaths = new Map<number, number>();
  readonly #restarts = new Map<number, NodeJS.Timeout>();
  #whenListening:
    | { readonly index: number; readonly done: () => void; readonly fail: (cause: Error) => void }
    | undefined;
  #stopping = false;

  constructor(generation: Generation, shared: SharedState, events: WorkerPoolEvents) {
    this.#generation = generation;
    this.#shared = shared;
    this.#events = events;
    this.#port = generation.listener?.port;
    this.egressShared = createSharedState({
      tenantSlots: 2 * MAX_EGRESS_LISTENERS,
      workers: generation.workers,
      callerSlots: 1,
    });
  }

  /** Starts all workers and returns the tenants' port, if there is one. Rejects when the first cannot listen: nobody else could. */
  async start(): Promise<number | undefined> {
    for (let index = 0; index < this.#generation.workers; index++) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('a worker did not start in time')), START_TIMEOUT_MS);
        const settle = (): void => clearTimeout(timer);
        this.#whenListening = {
          index,
          done: () => (settle(), resolve()),
          fail: (cause) => (settle(), reject(cause)),
        };
        this.#bear(index);
      });
    }
    this.#whenListening = undefined;
    return this.#port;
  }

  get workers(): readonly WorkerHandle[] {
    return [...this.#handles.values()];
  }

  get listening(): number {
    return this.workers.filter((handle) => handle.listening).length;
  }

  /** Moves every worker to a generation; resolves when all use it. */
  async apply(generation: Generation): Promise<void> {
    this.#generation = generation;
    await Promise.all(this.workers.map((handle) => handle.apply(generation)));
  }

  /** Gathers what every worker has counted since it was last asked. */
  async collect(timeoutMs: number): Promise<void> {
    await Promise.all(this.workers.map((handle) => handle.collect(timeoutMs)));
  }

  /** Drains all workers. Returns the number of calls that had to be cut at the limit. */
  async drain(timeoutMs: number): Promise<number> {
    this.#stopping = true;
    for (const timer of this.#restarts.values()) clearTimeout(timer);
    const cut = await Promise.all(this.workers.map((handle) => handle.drain(timeoutMs)));
    await Promise.all(this.workers.map((handle) => handle.ended(END_GRACE_MS)));
    return cut.reduce((sum, calls) => sum + calls, 0);
  }

  #bear(index: number): void {
    this.#bornAt.set(index, performance.now());
    const birth = {
      index,
      generation: this.#generation,
      shared: this.#shared,
      egressShared: this.egressShared,
      port: this.#port,
    };
    this.#handles.set(index, new WorkerHandle(birth, this.#listen));
  }

  readonly #listen: WorkerEvents = {
    listening: (handle, port) => {
      this.#port = port;
      if (this.#whenListening?.index === handle.index) this.#whenListening.done();
    },
    died: (handle, cause) => this.#died(handle, cause),
    metrics: (handle, message, dropped) => this.#events.metrics(handle.index, message, dropped),
  };

  #died(handle: WorkerHandle, cause: Error | undefined): void {
    const { index } = handle;
    this.#handles.delete(index);
    // What the dead thread had reserved and charged is given back to the tenants, exactly.
    releaseWorker(this.#shared, index);
    releaseWorker(this.egressShared, index);
    if (this.#whenListening?.index === index) {
      this.#whenListening.fail(cause ?? new Error('the worker ended before it listened'));
      return;
    }
    if (this.#stopping) return;
    const lived = performance.now() - (this.#bornAt.get(index) ?? 0);
    const deaths = lived > LIVED_LONG_MS ? 1 : (this.#deaths.get(index) ?? 0) + 1;
    this.#deaths.set(index, deaths);
    const delay = deaths === 1 ? 0 : Math.min(RESTART_FIRST_MS * 2 ** (deaths - 2), RESTART_MAX_MS);
    this.#events.died(index, cause, delay);
    this.#restarts.set(
      index,
      setTimeout(() => this.#bear(index), delay),
    );
  }
}
