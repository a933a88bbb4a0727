/**
 * All data-plane threads: started on one port, replaced when they die, moved to a new generation together, more or fewer when the
 * configuration says so.
 *
 * A worker keeps its index for its life; the index names its cells in the shared tables and its audit segments. A new worker gets
 * the lowest index that nobody has: one that leaves has its own until it is gone. The first worker never leaves.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CertificateStatus, StatusQuestion } from '../authn/ocsp-exchange.ts';
import type { Generation, ListenerConfig } from '../config/generation.ts';
import { MAX_EGRESS_LISTENERS } from '../config/schema-egress.ts';
import type { RevocationList } from '../identity/revocation-list-reader.ts';
import type { TenantId } from '../kernel/ids.ts';
import {
  createSharedState,
  type ReleasedShare,
  releaseWorker,
  type SharedState,
  setWorkerSpan,
} from '../quota/shared-state.ts';
import type { FromWorker, WorkerBirth } from './messages.ts';
import { type WorkerEvents, WorkerHandle } from './worker-handle.ts';

export interface WorkerPoolEvents {
  /** `restartInMs` is undefined for one that was leaving, and is not replaced. `left` is what it had in progress. */
  died(index: number, cause: Error | undefined, restartInMs: number | undefined, left: ReleasedShare): void;
  /** One that was too many has drained and is gone. `left` is what it had not given back by itself. */
  retired(index: number, unfinishedCalls: number, left: ReleasedShare): void;
  /** A client's certificate has to be asked about. */
  asked(question: StatusQuestion): void;
  metrics(index: number, message: Extract<FromWorker, { type: 'metrics' }>, dropped: number): void;
}

/** What becomes of an index. */
type Place =
  | { readonly kind: 'running'; readonly handle: WorkerHandle; readonly bornAtMs: number }
  | { readonly kind: 'leaving'; readonly handle: WorkerHandle }
  /** Dead, and to be born again. */
  | { readonly kind: 'waiting'; readonly timer: NodeJS.Timeout };

interface Arrival {
  done(): void;
  fail(cause: Error): void;
}

/** A worker that keeps dying is born again more and more slowly; one that lived for a while, at once. */
const RESTART_FIRST_MS = 50;
const RESTART_MAX_MS = 5_000;
const LIVED_LONG_MS = 30_000;
const START_TIMEOUT_MS = 30_000;
/** Surplus workers wait so long for each other to have closed. */
const CLOSE_TIMEOUT_MS = 2_000;

export class WorkerPool {
  readonly #shared: SharedState;
  /** The egress listeners' byte accounts. Two generations' listeners fit: calls of the one before may still run. */
  readonly egressShared: SharedState;
  readonly #events: WorkerPoolEvents;
  #generation: Generation;
  #listen: ListenerConfig | undefined;
  #prepared: ListenerConfig | undefined;
  readonly #places = new Map<number, Place>();
  readonly #deaths = new Map<number, number>();
  readonly #arrivals = new Map<number, Arrival>();
  #stopping = false;
  readonly #lists = new Map<TenantId, readonly RevocationList[]>();

  constructor(generation: Generation, shared: SharedState, events: WorkerPoolEvents) {
    this.#generation = generation;
    this.#shared = shared;
    this.#events = events;
    this.#listen = generation.listener;
    this.egressShared = createSharedState({
      tenantSlots: 2 * MAX_EGRESS_LISTENERS,
      workers: shared.workers,
      callerSlots: 1,
      limitCells: 1,
      summedWith: shared,
    });
  }

  /** Starts all workers and returns the tenants' port, if there is one. Rejects when the first cannot listen: nobody else could. */
  async start(): Promise<number | undefined> {
    // Alone: it may be the one that finds a port.
    await this.grow(1);
    await this.grow(this.#generation.workers);
    return this.port;
  }

  /** Where tenants connect to, with the port that it has. */
  get listen(): ListenerConfig | undefined {
    return this.#listen;
  }

  get port(): number | undefined {
    return this.#listen?.port;
  }

  /** All that live, also those that leave. */
  get workers(): readonly WorkerHandle[] {
    return [...this.#places.values()].flatMap((place) => (place.kind === 'waiting' ? [] : [place.handle]));
  }

  /** Those that take new connections. */
  get listening(): number {
    return this.#running.filter((handle) => handle.listening).length;
  }

  get leaving(): number {
    return [...this.#places.values()].filter(({ kind }) => kind === 'leaving').length;
  }

  /** Has as many workers as this, if there are fewer. Resolves when all of them listen; rejects, with as many as before, when one cannot. */
  async grow(count: number): Promise<void> {
    const before = this.#staying.length;
    const born: Promise<void>[] = [];
    try {
      for (let missing = count - before; missing > 0; missing--) born.push(this.#arrive(await this.#freeIndex()));
      await Promise.all(born);
    } catch (cause) {
      // The others' arrival is of no interest any more, but their failure must not go unheard.
      await Promise.allSettled(born);
      this.shrink(Math.max(1, before));
      throw cause;
    }
  }

  /** Has as many workers as this, if there are more: those with the highest indexes let their calls end and are not replaced. */
  shrink(count: number): void {
    const surplus: WorkerHandle[] = [];
    for (const index of this.#staying.slice(count)) {
      const place = this.#places.get(index);
      if (place?.kind === 'running') surplus.push(place.handle);
      else if (place?.kind === 'waiting') {
        clearTimeout(place.timer);
        this.#vacate(index);
      }
    }
    void this.#retire(surplus);
  }

  /**
   * Has every worker listen on a further address, before the generation comes that has tenants connect there. Resolves when all do;
   * rejects when one cannot: then `abandon` is called for.
   */
  async prepare(listen: ListenerConfig): Promise<void> {
    this.#prepared = listen;
    // Who is first finds the port when it is 0. Whoever is born from now on binds it at birth.
    for (const first of this.#running) {
      const port = await first.bind(listen);
      if (port === undefined) continue;
      const known = { ...listen, port };
      this.#prepared = known;
      const others = this.#running.filter((handle) => handle !== first);
      // All answers are waited for: what is still being bound could not be abandoned.
      const answers = await Promise.allSettled(others.map((handle) => handle.bind(known)));
      for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
      return;
    }
    throw new Error('no worker lives that could bind it');
  }

  /** The generation that `prepare` was for does not come. */
  abandon(): void {
    this.#prepared = undefined;
    for (const handle of this.#running) handle.unbind();
  }

  /** Moves every worker to a generation, and to the address that was prepared for it; resolves when all use it. */
  async apply(generation: Generation): Promise<void> {
    const { listener } = generation;
    const place = this.#prepared ?? this.#listen;
    this.#generation = generation;
    this.#prepared = undefined;
    this.#listen = listener === undefined || place === undefined ? undefined : { ...listener, port: place.port };
    const before = this.workers;
    await Promise.all(before.map((handle) => handle.apply(generation)));
    for (const handle of before) handle.leave();
  }

  /** Has every worker, also those to come, use these revocation lists; none: it forgets them. */
  setLists(tenant: TenantId, lists: readonly RevocationList[]): void {
    if (lists.length === 0) this.#lists.delete(tenant);
    else this.#lists.set(tenant, lists);
    for (const handle of this.workers) handle.setLists(tenant, lists);
  }

  /** Tells every worker what is said of a certificate. */
  tellStatus(tenant: TenantId, id: string, status: CertificateStatus): void {
    for (const handle of this.workers) handle.tellStatus(tenant, id, status);
  }

  /** Gathers what every worker has counted since it was last asked. */
  async collect(timeoutMs: number): Promise<void> {
    await Promise.all(this.workers.map((handle) => handle.collect(timeoutMs)));
  }

  /** Drains all workers. Returns the number of calls that had to be cut at the limit. */
  async drain(timeoutMs: number): Promise<number> {
    this.#stopping = true;
    for (const place of this.#places.values()) if (place.kind === 'waiting') clearTimeout(place.timer);
    const cut = await Promise.all(this.workers.map((handle) => handle.drain(timeoutMs)));
    return cut.reduce((sum, calls) => sum + calls, 0);
  }

  get #running(): readonly WorkerHandle[] {
    return [...this.#places.values()].flatMap((place) => (place.kind === 'running' ? [place.handle] : []));
  }

  /** Indexes of those that are to stay, in order. */
  get #staying(): readonly number[] {
    return [...this.#places]
      .filter(([, { kind }]) => kind !== 'leaving')
      .map(([index]) => index)
      .sort((a, b) => a - b);
  }

  /** The lowest index that nobody has; when all are taken, the first that one who leaves gives up. */
  async #freeIndex(): Promise<number> {
    for (;;) {
      for (let index = 0; index < this.#shared.workers; index++) if (!this.#places.has(index)) return index;
      const leaving = [...this.#places.values()].flatMap((place) => (place.kind === 'leaving' ? [place.handle] : []));
      if (leaving.length === 0) throw new RangeError(`there is room for ${this.#shared.workers} workers`);
      await Promise.race(leaving.map((handle) => handle.gone));
    }
  }

  /** A worker is born; resolves when it listens. */
  async #arrive(index: number): Promise<void> {
    if (this.#stopping) throw new Error('the sidecar is stopping');
    const arrived = new Promise<void>((done, fail) => this.#arrivals.set(index, { done, fail }));
    this.#bear(index);
    const late = setTimeout(() => {
      this.#arrivals.get(index)?.fail(new Error('a worker did not start in time'));
    }, START_TIMEOUT_MS);
    try {
      await arrived;
    } finally {
      clearTimeout(late);
      this.#arrivals.delete(index);
    }
  }

  #bear(index: number): void {
    const birth: WorkerBirth = {
      index,
      generation: this.#generation,
      shared: this.#shared,
      egressShared: this.egressShared,
      listen: this.#listen,
      prepared: this.#prepared,
      lists: [...this.#lists],
    };
    const handle = new WorkerHandle(birth, this.#heard);
    this.#places.set(index, { kind: 'running', handle, bornAtMs: performance.now() });
    this.#spread();
  }

  readonly #heard: WorkerEvents = {
    listening: (handle, port) => {
      if (this.#listen !== undefined && this.#listen.port === 0 && port !== undefined)
        this.#listen = { ...this.#listen, port };
      this.#arrivals.get(handle.index)?.done();
    },
    asked: (question) => this.#events.asked(question),
    exited: (handle, cause) => this.#exited(handle, cause),
    metrics: (handle, message, dropped) => this.#events.metrics(handle.index, message, dropped),
  };

  /** All of them close before any asks its clients to connect anew: they would come to one that is just closing. */
  async #retire(handles: readonly WorkerHandle[]): Promise<void> {
    for (const handle of handles) {
      this.#places.set(handle.index, { kind: 'leaving', handle });
      this.#arrivals.get(handle.index)?.fail(new Error('the worker is not wanted any more'));
    }
    const closed = Promise.all(handles.map((handle) => handle.close()));
    await Promise.race([closed, sleep(CLOSE_TIMEOUT_MS, undefined, { ref: false })]);
    const { drainTimeoutMs } = this.#generation.shutdown;
    await Promise.all(handles.map((handle) => handle.drain(drainTimeoutMs)));
  }

  #exited(handle: WorkerHandle, cause: Error | undefined): void {
    const { index, unfinishedCalls } = handle;
    const place = this.#places.get(index);
    // What the thread had reserved and charged is given back to the tenants, exactly.
    const left = releaseWorker(this.#shared, index);
    releaseWorker(this.egressShared, index);
    const arrival = this.#arrivals.get(index);
    if (place?.kind !== 'running' || arrival !== undefined || this.#stopping) {
      this.#vacate(index);
      arrival?.fail(cause ?? new Error('the worker ended before it listened'));
      if (this.#stopping || arrival !== undefined) return;
      if (unfinishedCalls === undefined) this.#events.died(index, cause, undefined, left);
      else this.#events.retired(index, unfinishedCalls, left);
      return;
    }
    const lived = performance.now() - place.bornAtMs;
    const deaths = lived > LIVED_LONG_MS ? 1 : (this.#deaths.get(index) ?? 0) + 1;
    this.#deaths.set(index, deaths);
    const delay = deaths === 1 ? 0 : Math.min(RESTART_FIRST_MS * 2 ** (deaths - 2), RESTART_MAX_MS);
    this.#places.set(index, { kind: 'waiting', timer: setTimeout(() => this.#bear(index), delay) });
    this.#events.died(index, cause, delay, left);
  }

  #vacate(index: number): void {
    this.#places.delete(index);
    this.#deaths.delete(index);
    this.#spread();
  }

  /** Sums over workers in the shared tables go as far as there are any. */
  #spread(): void {
    const span = Math.max(0, ...this.#places.keys()) + 1;
    setWorkerSpan(this.#shared, span);
    setWorkerSpan(this.egressShared, span);
  }
}
