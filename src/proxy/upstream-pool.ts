/**
 * One tenant's connections to its model server, in one worker. Never shared between tenants: a tenant's stalled reader can
 * fill a connection's window, and only its own calls may feel that.
 *
 * The pool grows while every connection is at the peer's MAX_CONCURRENT_STREAMS, up to `maxConnections`; then calls wait,
 * up to `maxPendingCalls`. `minConnections` are kept, others are closed when idle. While the upstream cannot be reached, calls are refused at once instead of queueing, and it is
 * tried again after a jittered back-off.
 */
import type { Socket } from 'node:net';
import type { ByteAccount } from '../buffers/byte-account.ts';
import type { UpstreamConfig } from '../config/generation.ts';
import { Http2Connection } from '../http2/connection.ts';
import type { Connection, ConnectionEnd, ConnectionOwner, OutputBuffers, StreamOwner } from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import type { Denial } from '../kernel/denial.ts';
import type { Turn } from '../kernel/turn.ts';
import { dial } from './dial.ts';
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
  /** 0..1; a test gives its own. */
  readonly random?: () => number;
}

/** First back-off after a failed connect, doubled each time, ± 50 % jitter. */
const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 10_000;
/** Before a kept connection that has ended is replaced, ± 50 %: a server that ends each of them is not to be worn out. */
const REPLACE_AFTER_MS = 1_000;

export class UpstreamPool implements ConnectionOwner {
  readonly replays: ReplayStore;
  /** Every call asks it before it asks for a connection. */
  readonly guard: UpstreamGuard;
  readonly #options: UpstreamPoolOptions;
  readonly #random: () => number;
  readonly #connections = new Set<Connection>();
  /** Connected, and the peer has not yet shown that it speaks HTTP/2. */
  readonly #unproven = new Set<Connection>();
  readonly #waiting = new Set<Waiter>();
  #dialing = 0;
  #failures = 0;
  #retryAt = 0;
  #lastError = '';
  #draining = false;
  #closed = false;
  #replacing: NodeJS.Timeout | undefined;

  constructor(options: UpstreamPoolOptions) {
    this.#options = options;
    this.replays = new ReplayStore(options.buffers, options.account);
    this.#random = options.random ?? Math.random;
    this.guard = new UpstreamGuard(options.config, this.#random);
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
    for (const connection of this.#connections) if (connection.availableStreams > 0) return connection;
    const { config } = this.#options;
    if (this.#closed) waiter.failed({ kind: 'draining' });
    else if (this.#connections.size === 0 && this.#dialing === 0 && performance.now() < this.#retryAt) {
      waiter.failed(this.#unavailable());
    } else if (this.#waiting.size >= config.maxPendingCalls) {
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
    clearTimeout(this.#replacing);
    for (const connection of this.#connections) this.#closeIfIdle(connection);
  }

  onStream(): StreamOwner {
    // The engine refuses PUSH_PROMISE, the only way in which a server could open a stream.
    throw new Error('a server opened a stream');
  }

  onGoaway(connection: Connection): void {
    this.#unproven.delete(connection);
    this.#connections.delete(connection);
    if (this.#waiting.size > 0) this.#grow();
    else this.#replaceLater();
  }

  onCapacity(connection: Connection): void {
    if (this.#unproven.delete(connection)) this.#failures = 0;
    this.#serve(connection);
  }

  #serve(connection: Connection): void {
    for (const waiter of this.#waiting) {
      if (connection.availableStreams <= 0) return;
      this.#waiting.delete(waiter);
      waiter.connected(connection);
    }
    this.#closeIfIdle(connection);
  }

  #closeIfIdle(connection: Connection): void {
    if (this.#draining && connection.openStreams === 0) connection.drain();
  }

  onEnd(connection: Connection, end: ConnectionEnd): void {
    this.#connections.delete(connection);
    if (end.kind === 'socket_error') this.#lastError = end.error.message;
    else if (end.kind === 'protocol') this.#lastError = end.why;
    // Whoever accepts and hangs up, or is no HTTP/2 server, is no more reachable than whoever refuses.
    if (this.#unproven.delete(connection)) {
      if (end.kind === 'closed') this.#lastError = 'closed before it said anything';
      this.#backOff();
      if (this.#connections.size === 0) this.#failWaiting(this.#unavailable());
    }
    if (this.#waiting.size > 0) this.#grow();
    else this.#replaceLater();
  }

  #grow(): void {
    const { config } = this.#options;
    if (this.#closed || this.#dialing > 0 || this.#connections.size >= config.maxConnections) return;
    this.#dialing++;
    dial(config, (result) => {
      this.#dialing--;
      if (result.ok) this.#connected(result.value);
      else this.#dialFailed(result.error);
    });
  }

  #connected(socket: Socket): void {
    if (this.#closed) {
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    const { turn, buffers, streamWindowBytes, connectionWindowBytes, maxHeaderListBytes } = this.#options;
    const connection = new Http2Connection(
      socket,
      {
        role: 'client',
        maxConcurrentStreams: 0,
        streamWindowBytes,
        connectionWindowBytes,
        maxHeaderListBytes,
        idleTimeoutMs: this.#isBelowMinimum() ? 0 : (this.#options.config.idleTimeoutMs ?? 0),
      },
      this,
      turn,
      buffers,
    );
    this.#connections.add(connection);
    this.#unproven.add(connection);
    this.#serve(connection);
    if (this.#waiting.size > 0 || this.#isBelowMinimum()) this.#grow();
  }

  #dialFailed(error: string): void {
    this.#lastError = error;
    this.#backOff();
    if (this.#connections.size === 0) this.#failWaiting(this.#unavailable());
    this.#replaceLater();
  }

  #isBelowMinimum(): boolean {
    return !this.#draining && !this.#closed && this.#connections.size < (this.#options.config.minConnections ?? 0);
  }

  #replaceLater(): void {
    if (!this.#isBelowMinimum() || this.#replacing !== undefined) return;
    const afterMs = Math.max(REPLACE_AFTER_MS * (0.5 + this.#random()), this.#retryAt - performance.now());
    this.#replacing = setTimeout(() => {
      this.#replacing = undefined;
      if (this.#isBelowMinimum()) this.#grow();
    }, afterMs).unref();
  }

  #backOff(): void {
    this.#failures++;
    const backoff = Math.min(BACKOFF_FIRST_MS * 2 ** (this.#failures - 1), BACKOFF_MAX_MS);
    this.#retryAt = performance.now() + backoff * (0.5 + this.#random());
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
    clearTimeout(this.#replacing);
    this.#failWaiting({ kind: 'draining' });
    for (const connection of this.#connections) connection.destroy(ErrorCode.NO_ERROR, why);
  }
}
