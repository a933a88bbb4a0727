/**
 * One tenant's connections to its model server, in one worker. Never shared between tenants: a tenant's stalled reader can
 * fill a connection's window, and only its own calls may feel that.
 *
 * The pool grows while every connection is at the peer's MAX_CONCURRENT_STREAMS, up to `maxConnections`; then calls wait,
 * up to `maxPendingCalls`. `minConnections` are kept, others are closed when idle. While the upstream cannot be reached, calls are
 * refused at once instead of queueing, and it is tried again after a jittered back-off.
 *
 * A connection takes calls from the peer's first SETTINGS on, as in gRPC's own libraries: a limit that nobody knows yet would be
 * exceeded, and what is refused is sent again only once. Whoever accepts and says nothing is no HTTP/2 server, and so no call waits
 * for it longer than for a connect. A server sends its SETTINGS unasked, so this costs a new connection at most one round trip, and
 * one that is kept (`minConnections`) nothing.
 */
import type { Socket } from 'node:net';
import type { ByteAccount } from '../buffers/byte-account.ts';
import type { UpstreamConfig } from '../config/upstream-config.ts';
import { Http2Connection } from '../http2/connection.ts';
import type { Connection, ConnectionEnd, ConnectionOwner, OutputBuffers, StreamOwner } from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import type { Denial } from '../kernel/denial.ts';
import type { Turn } from '../kernel/turn.ts';
import { BackOff } from './back-off.ts';
import { dial } from './dial.ts';
import type { HealthProbes, HealthWatch } from './health-probes.ts';
import { ReplayStore } from './replay.ts';
import { UpstreamGuard } from './upstream-guard.ts';

/** A call that waits for a connection. Exactly one of the two is called, once, unless it is cancelled before. */
export interface Waiter {
  connected(connection: Connection): void;
  failed(denial: Denial): void;
}

export interface UpstreamPoolOptions {
  readonly config: UpstreamConfig;
  readonly turn: Turn;
  readonly buffers: OutputBuffers;
  /** Pays for what is kept to be sent again. */
  readonly account: ByteAccount;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  readonly maxHeaderListBytes: number;
  /** Who asks model servers how they are; without it, the configuration has no health check. */
  readonly probes?: HealthProbes;
  /** 0..1; a test gives its own. */
  readonly random?: () => number;
}

/** The one connection that is on its way. */
type Opening =
  | { readonly at: 'dial' }
  /** Connected; the peer has not yet shown that it speaks HTTP/2. */
  | { readonly at: 'settings'; readonly connection: Connection; readonly timer: NodeJS.Timeout };

/** Before a kept connection that has ended is replaced, ± 50 %: a server that ends each of them is not to be worn out. */
const REPLACE_AFTER_MS = 1_000;

export class UpstreamPool implements ConnectionOwner {
  readonly replays: ReplayStore;
  /** Every call asks it before it asks for a connection. */
  readonly guard: UpstreamGuard;
  readonly #options: UpstreamPoolOptions;
  readonly #random: () => number;
  readonly #health: HealthWatch | undefined;
  /** Those that take calls. */
  readonly #connections = new Set<Connection>();
  /** Those of them that have not yet had a call. */
  readonly #unused = new WeakSet<Connection>();
  readonly #waiting = new Set<Waiter>();
  #opening: Opening | undefined;
  readonly #backOff: BackOff;
  #lastError = '';
  #draining = false;
  #closed = false;
  /** When it is time to see whether another connection is wanted. */
  #later: { readonly timer: NodeJS.Timeout; readonly atMs: number } | undefined;

  constructor(options: UpstreamPoolOptions) {
    this.#options = options;
    this.replays = new ReplayStore(options.buffers, options.account);
    this.#random = options.random ?? Math.random;
    this.#backOff = new BackOff(this.#random);
    const watch = options.probes?.join(options.config);
    // It has been reached by another way.
    const onRecovered = (): void => this.#backOff.forgive();
    this.#health = watch;
    this.guard = new UpstreamGuard(options.config, this.#random, watch && { watch, onRecovered });
    if (this.#isBelowMinimum()) this.#grow();
  }

  get config(): UpstreamConfig {
    return this.#options.config;
  }

  /**
   * A connection with a free stream, now; or undefined, and the waiter is told later (possibly before this returns, when
   * the refusal is immediate).
   */
  acquire(waiter: Waiter): Connection | undefined {
    for (const connection of this.#connections) {
      if (connection.availableStreams <= 0) continue;
      this.#unused.delete(connection);
      return connection;
    }
    const { config } = this.#options;
    if (this.#closed) waiter.failed({ kind: 'draining' });
    else if (this.#isOutOfReach()) waiter.failed(this.#unavailable());
    else if (this.#waiting.size >= config.maxPendingCalls) {
      waiter.failed({ kind: 'overloaded', why: `${config.maxPendingCalls} calls wait for ${config.display}` });
    } else {
      this.#waiting.add(waiter);
      this.#grow();
    }
    return undefined;
  }

  /** The call no longer waits. */
  cancel(waiter: Waiter): void {
    this.#waiting.delete(waiter);
  }

  /**
   * The tenant has another pool, or is gone: serves the calls that still hold this one to their end, also those that have yet to
   * ask for a connection, and closes each connection when it has none.
   */
  drain(): void {
    this.#draining = true;
    this.#health?.leave();
    if (this.#waiting.size === 0) clearTimeout(this.#later?.timer);
    for (const connection of this.#connections) this.#closeIfIdle(connection);
  }

  onStream(): StreamOwner {
    // The engine refuses PUSH_PROMISE, the only way in which a server could open a stream.
    throw new Error('a server opened a stream');
  }

  onGoaway(connection: Connection): void {
    this.#lost(connection, 'went away before it took a call');
  }

  onCapacity(connection: Connection): void {
    const opening = this.#opening;
    if (opening?.at !== 'settings' || opening.connection !== connection) return this.#serve(connection);
    clearTimeout(opening.timer);
    this.#opening = undefined;
    if (connection.availableStreams > 0) this.#backOff.worked();
    this.#connections.add(connection);
    this.#unused.add(connection);
    this.#serve(connection);
    if (this.#waiting.size > 0 || this.#isBelowMinimum()) this.#grow();
  }

  #serve(connection: Connection): void {
    for (const waiter of this.#waiting) {
      if (connection.availableStreams <= 0) return;
      this.#waiting.delete(waiter);
      this.#unused.delete(connection);
      waiter.connected(connection);
    }
    this.#closeIfIdle(connection);
  }

  #closeIfIdle(connection: Connection): void {
    if (this.#draining && connection.openStreams === 0) connection.drain();
  }

  onEnd(connection: Connection, end: ConnectionEnd): void {
    const opening = this.#opening;
    if (opening?.at === 'settings' && opening.connection === connection) {
      clearTimeout(opening.timer);
      // Whoever accepts and hangs up, or is no HTTP/2 server, is no more reachable than whoever refuses.
      return this.#failed(whyEnded(end) ?? 'closed before it said anything');
    }
    this.#lastError = whyEnded(end) ?? this.#lastError;
    this.#lost(connection, whyEnded(end) ?? 'closed before it took a call');
  }

  /** One that comes and goes while calls wait, and takes none, is no more reachable than whoever refuses. */
  #lost(connection: Connection, why: string): void {
    this.#connections.delete(connection);
    if (this.#unused.delete(connection) && this.#waiting.size > 0) {
      this.#lastError = why;
      this.#backOff.failed(performance.now());
    }
    this.#replace();
  }

  #grow(): void {
    const { config } = this.#options;
    if (this.#closed || this.#opening !== undefined || this.#connections.size >= config.maxConnections) return;
    const startedAt = performance.now();
    const leftMs = this.#backOff.leftMs(startedAt);
    if (leftMs > 0) return this.#growLater(leftMs);
    this.#opening = { at: 'dial' };
    dial(config, (result) => {
      if (result.ok) this.#connected(result.value, config.connectTimeoutMs - (performance.now() - startedAt));
      else this.#failed(result.error);
    });
  }

  #connected(socket: Socket, leftMs: number): void {
    if (this.#closed) {
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    const { config, turn, buffers, streamWindowBytes, connectionWindowBytes, maxHeaderListBytes } = this.#options;
    const connection = new Http2Connection(
      socket,
      {
        role: 'client',
        maxConcurrentStreams: 0,
        streamWindowBytes,
        connectionWindowBytes,
        maxHeaderListBytes,
        idleTimeoutMs: this.#isBelowMinimum() ? 0 : (config.idleTimeoutMs ?? 0),
      },
      this,
      turn,
      buffers,
    );
    const timer = setTimeout(
      () => connection.destroy(ErrorCode.NO_ERROR, `no SETTINGS within ${config.connectTimeoutMs} ms`),
      Math.max(1, leftMs),
    );
    this.#opening = { at: 'settings', connection, timer };
  }

  /** A connection did not come about. */
  #failed(why: string): void {
    this.#opening = undefined;
    this.#lastError = why;
    this.#backOff.failed(performance.now());
    this.#replace();
  }

  #isBelowMinimum(): boolean {
    return !this.#draining && !this.#closed && this.#connections.size < (this.#options.config.minConnections ?? 0);
  }

  /** A connection is gone. */
  #replace(): void {
    if (this.#waiting.size > 0 && this.#isOutOfReach()) this.#failWaiting(this.#unavailable());
    if (this.#waiting.size > 0) this.#grow();
    else if (this.#isBelowMinimum()) {
      const leftMs = this.#backOff.leftMs(performance.now());
      this.#growLater(Math.max(REPLACE_AFTER_MS * (0.5 + this.#random()), leftMs));
    }
  }

  #growLater(afterMs: number): void {
    const atMs = performance.now() + afterMs;
    if (this.#later !== undefined && this.#later.atMs <= atMs) return;
    clearTimeout(this.#later?.timer);
    const timer = setTimeout(() => {
      this.#later = undefined;
      if (this.#waiting.size > 0 || this.#isBelowMinimum()) this.#grow();
    }, afterMs).unref();
    this.#later = { timer, atMs };
  }

  /** No connection, none on its way, and none to be tried yet. */
  #isOutOfReach(): boolean {
    return this.#connections.size === 0 && this.#opening === undefined && this.#backOff.leftMs(performance.now()) > 0;
  }

  #unavailable(): Denial {
    return { kind: 'upstream_unavailable', upstream: this.#options.config.display, why: this.#lastError };
  }

  #failWaiting(denial: Denial): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const waiter of waiting) waiter.failed(denial);
  }

  /** Ends every connection at once: the drain limit has passed. */
  destroy(why: string): void {
    this.#closed = true;
    this.#health?.leave();
    clearTimeout(this.#later?.timer);
    this.#failWaiting({ kind: 'draining' });
    if (this.#opening?.at === 'settings') this.#opening.connection.destroy(ErrorCode.NO_ERROR, why);
    for (const connection of this.#connections) connection.destroy(ErrorCode.NO_ERROR, why);
  }
}

/** In words; undefined for an end that needs none. */
function whyEnded(end: ConnectionEnd): string | undefined {
  switch (end.kind) {
    case 'socket_error':
      return end.error.message;
    case 'protocol':
    case 'destroyed':
      return end.why;
    default:
      return undefined;
  }
}
