/**
 * The supervisor's end of one data-plane thread: born, listening, told of generations, asked for metrics, and drained. Its death
 * costs its own connections and nothing else.
 */
import { Worker } from 'node:worker_threads';
import type { CertificateStatus, StatusQuestion } from '../authn/ocsp-exchange.ts';
import type { Generation, ListenerConfig } from '../config/generation.ts';
import { changeOf } from '../config/generation-change.ts';
import type { RevocationList } from '../identity/revocation-list-reader.ts';
import type { TenantId } from '../kernel/ids.ts';
import type { Result } from '../kernel/result.ts';
import type { FromWorker, ToWorker, WorkerBirth, WorkerGauges } from './messages.ts';

export interface WorkerEvents {
  listening(handle: WorkerHandle, port: number | undefined): void;
  /** The thread is gone. `cause` is what it threw, if it threw. */
  exited(handle: WorkerHandle, cause: Error | undefined): void;
  /** A client's certificate has to be asked about. */
  asked(question: StatusQuestion): void;
  /** `dropped`: audit records that the worker has had to drop since it was last asked. */
  metrics(handle: WorkerHandle, message: Extract<FromWorker, { type: 'metrics' }>, dropped: number): void;
}

/**
 * Room for the objects of the calls in progress, so that they die young: at 500 calls at once a smaller one promotes them all, and
 * collecting the old space was a fifth of the CPU. What streamed tensors need instead is in `bulk-memory.ts`.
 */
const YOUNG_GENERATION_MB = 48;

/** Taking in this many tenants holds up a worker's calls for a millisecond or two; of more, some turns of its loop lie between. */
const TENANTS_PER_MESSAGE = 100;

/** A worker that has drained has nothing left to do but to end; one that does not even hear is ended. */
const END_GRACE_MS = 2_000;

export class WorkerHandle {
  readonly index: number;
  /** Resolves when the thread is gone. */
  readonly gone: Promise<void>;
  readonly #events: WorkerEvents;
  readonly #thread: Worker;
  #cause: Error | undefined;
  #gauges: WorkerGauges = { connections: 0, calls: 0, auditBlocked: undefined, auditDropped: 0 };
  #answers = new Map<number, () => void>();
  #nextQuestion = 1;
  /** What the worker has been told to use. */
  #generation: Generation;
  #applying: Promise<void> = Promise.resolve();
  #acknowledged: (() => void) | undefined;
  #bound: ((result: Result<number, string> | undefined) => void) | undefined;
  #drained: Promise<number> | undefined;
  #sayDrained: ((unfinishedCalls: number) => void) | undefined;
  #sayGone: () => void = () => undefined;
  #unfinishedCalls: number | undefined;
  listening = false;

  constructor(birth: WorkerBirth, events: WorkerEvents) {
    this.index = birth.index;
    this.#events = events;
    this.#generation = birth.generation;
    this.gone = new Promise((resolve) => {
      this.#sayGone = resolve;
    });
    this.#thread = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: birth,
      name: `worker-${birth.index}`,
      resourceLimits: {
        maxYoungGenerationSizeMb: YOUNG_GENERATION_MB,
        maxOldGenerationSizeMb: birth.generation.limits.workerHeapBytes / 1024 ** 2,
      },
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

  /** Calls that were cut at the drain limit; undefined when it has not drained to its end. */
  get unfinishedCalls(): number | undefined {
    return this.#unfinishedCalls;
  }

  /**
   * Hands over a generation: of the tenants, those that this worker does not have yet. Resolves when the worker uses it, or has died
   * (its successor is born with it).
   */
  apply(generation: Generation): Promise<void> {
    this.#applying = this.#applying.then(() => this.#apply(generation));
    return this.#applying;
  }

  async #apply(generation: Generation): Promise<void> {
    const { tenants, ...change } = changeOf(this.#generation, generation);
    this.#generation = generation;
    let next = 0;
    for (; tenants.length - next > TENANTS_PER_MESSAGE; next += TENANTS_PER_MESSAGE) {
      await this.#ask({ type: 'tenants', tenants: tenants.slice(next, next + TENANTS_PER_MESSAGE) });
    }
    await this.#ask({ type: 'generation', change: { ...change, tenants: tenants.slice(next) } });
  }

  /** Has it let nobody in any more; resolves when it does not, or has died. */
  close(): Promise<void> {
    this.#applying = this.#applying.then(() => this.#ask({ type: 'close' }));
    return this.#applying;
  }

  /** Has it ask those to leave who are connected to an address that is left. */
  leave(): void {
    this.#tell({ type: 'leave' });
  }

  /** Tells it what is said of a certificate. */
  tellStatus(tenant: TenantId, id: string, status: CertificateStatus): void {
    this.#tell({ type: 'status', tenant, id, status });
  }

  /** Has it judge a tenant's clients by these revocation lists. */
  setLists(tenant: TenantId, lists: readonly RevocationList[]): void {
    this.#tell({ type: 'lists', lists: [tenant, lists] });
  }

  /** Says a part of a generation, and waits until the worker has taken it, or has died. */
  #ask(message: ToWorker): Promise<void> {
    const taken = new Promise<void>((resolve) => {
      this.#acknowledged = resolve;
    });
    this.#tell(message);
    return Promise.race([taken, this.gone]);
  }

  /**
   * Has it listen on a further address. Gives the port; undefined when it has died: its successor binds it. Rejects when it cannot be
   * had. One at a time.
   */
  async bind(listen: ListenerConfig): Promise<number | undefined> {
    const result = await new Promise<Result<number, string> | undefined>((resolve) => {
      this.#bound = resolve;
      this.#tell({ type: 'bind', listen });
    });
    if (result?.ok === false) throw new Error(result.error);
    return result?.value;
  }

  /** Has it leave the further address again. */
  unbind(): void {
    this.#tell({ type: 'unbind' });
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

  /**
   * Lets calls end, then the thread. Returns the number of calls that had to be cut, as far as it could say. Said again, the time can
   * only become less.
   */
  async drain(timeoutMs: number): Promise<number> {
    this.#drained ??= new Promise((resolve) => {
      this.#sayDrained = resolve;
    });
    this.#tell({ type: 'drain', timeoutMs });
    const deaf = setTimeout(() => void this.ended(0), timeoutMs + END_GRACE_MS);
    const cut = await this.#drained;
    clearTimeout(deaf);
    await this.ended(END_GRACE_MS);
    return cut;
  }

  /** Waits for a drained thread to end by itself; after the grace it is ended. */
  async ended(graceMs: number): Promise<void> {
    const timer = setTimeout(() => void this.#thread.terminate(), graceMs);
    await this.gone;
    clearTimeout(timer);
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
      case 'taken':
        this.#acknowledged?.();
        return;
      case 'bound':
        this.#bound?.(message.result);
        return;
      case 'metrics':
        this.#events.metrics(this, message, message.gauges.auditDropped - this.#gauges.auditDropped);
        this.#gauges = message.gauges;
        this.#answers.get(message.id)?.();
        return;
      case 'ask':
        this.#events.asked(message.question);
        return;
      case 'drained':
        this.#unfinishedCalls = message.unfinishedCalls;
        this.#sayDrained?.(message.unfinishedCalls);
        return;
    }
  }

  #exited(): void {
    this.listening = false;
    for (const answer of this.#answers.values()) answer();
    this.#bound?.(undefined);
    this.#sayDrained?.(0);
    this.#sayGone();
    this.#events.exited(this, this.#cause);
  }
}
