/**
 * The supervisor's end of one data-plane thread: born, listening, told of generations, asked for metrics, drained, and born
 * again when it dies. Its death costs its own connections and nothing else.
 */
import { Worker } from 'node:worker_threads';
import type { Generation } from '../config/generation.ts';
import type { FromWorker, ToWorker, WorkerBirth, WorkerGauges } from './messages.ts';

export interface WorkerEvents {
  listening(handle: WorkerHandle, port: number | undefined): void;
  /** The thread ended without being asked to. `cause` is what it threw, if it threw. */
  died(handle: WorkerHandle, cause: Error | undefined): void;
  /** `dropped`: audit records that the worker has had to drop since it was last asked. */
  metrics(handle: WorkerHandle, message: Extract<FromWorker, { type: 'metrics' }>, dropped: number): void;
}

/**
 * Room for the objects of the calls in progress, so that they die young: at 500 calls at once a smaller one promotes them all, and
 * collecting the old space was a fifth of the CPU. What streamed tensors need instead is in `bulk-memory.ts`.
 */
const YOUNG_GENERATION_MB = 24;

export class WorkerHandle {
  readonly index: number;
  readonly #events: WorkerEvents;
  readonly #thread: Worker;
  #asked = false;
  #cause: Error | undefined;
  #gauges: WorkerGauges = { connections: 0, calls: 0, auditBlocked: undefined, auditDropped: 0 };
  #answers = new Map<number, () => void>();
  #nextQuestion = 1;
  #appliedWaiters: { readonly number: number; readonly done: () => void }[] = [];
  #drained: ((unfinishedCalls: number) => void) | undefined;
  #exitedAlready = false;
  listening = false;

  constructor(birth: WorkerBirth, events: WorkerEvents) {
    this.index = birth.index;
    this.#events = events;
    this.#thread = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: birth,
      name: `worker-${birth.index}`,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    this.#thread.on('message', (message: FromWorker) => this.#hear(message));
    this.#thread.on('error', (error: Error) => {
      this.#cause = error;
    });
    this.#thread.on('exit', () => this.#exited());
  }

  get gauges(): WorkerGauges {
    return this.#gauges;
  }

  /** Hands over a generation; resolves when the worker uses it, or has died (its successor is born with it). */
  apply(generation: Generation): Promise<void> {
    return new Promise((done) => {
      this.#appliedWaiters.push({ number: generation.number, done });
      this.#tell({ type: 'generation', generation });
    });
  }

  /** Has the worker hand over its counts. Resolves when it has, or after `timeoutMs`: a scrape is better late than never. */
  collect(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const id = this.#nextQuestion++;
      const timer = setTimeout(() => this.#answers.get(id)?.(), timeoutMs);
      this.#answers.set(id, () => {
        clearTimeout(timer);
        this.#answers.delete(id);
        resolve();
      });
      this.#tell({ type: 'metrics', id });
    });
  }

  /** Lets calls end, then the thread. Returns the number of calls that had to be cut. */
  drain(timeoutMs: number): Promise<number> {
    this.#asked = true;
    return new Promise((resolve) => {
      this.#drained = resolve;
      this.#tell({ type: 'drain', timeoutMs });
    });
  }

  /** Waits for a drained thread to end by itself; after the grace it is ended. */
  async ended(graceMs: number): Promise<void> {
    if (this.#exitedAlready) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => void this.#thread.terminate(), graceMs);
      this.#thread.once('exit', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #tell(message: ToWorker): void {
    this.#thread.postMessage(message);
  }

  #hear(message: FromWorker): void {
    switch (message.type) {
      case 'listening':
        this.listening = true;
        this.#events.listening(this, message.port);
        return;
      case 'applied':
        this.#settleApplied(message.number);
        return;
      case 'metrics':
        this.#events.metrics(this, message, message.gauges.auditDropped - this.#gauges.auditDropped);
        this.#gauges = message.gauges;
        this.#answers.get(message.id)?.();
        return;
      case 'drained':
        this.#drained?.(message.unfinishedCalls);
        return;
    }
  }

  #settleApplied(upTo: number): void {
    this.#appliedWaiters = this.#appliedWaiters.filter((waiter) => {
      if (waiter.number > upTo) return true;
      waiter.done();
      return false;
    });
  }

  #exited(): void {
    this.#exitedAlready = true;
    this.listening = false;
    this.#settleApplied(Number.POSITIVE_INFINITY);
    for (const answer of this.#answers.values()) answer();
    this.#drained?.(0);
    if (!this.#asked) this.#events.died(this, this.#cause);
  }
}
