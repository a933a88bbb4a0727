/**
 * A call's way to its upstream, as far as it is the same in either role: one stream of the pool's, what waits until there is one, and
 * its end. Nothing can be sent through it but by a subclass, which says what it asks for that.
 */
import type { Connection, HeaderBlock, ResetCause, Stream, StreamOwner } from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import { SendQueue } from '../http2/send-queue.ts';
import type { Denial } from '../kernel/denial.ts';
import { denialOf } from './stream-death.ts';
import type { Passage } from './upstream-guard.ts';
import type { UpstreamPool, Waiter } from './upstream-pool.ts';

/** Hears from the leg; it is the call. */
export interface LegOwner {
  /** The headers to send, made when the stream opens: the deadline shrinks while the call waits. */
  upstreamHeaders(): HeaderBlock;
  onResponseHeaders(block: HeaderBlock, endStream: boolean): void;
  onResponseData(chunk: Buffer, endStream: boolean): void;
  /** The upstream's socket has taken so many request bytes. */
  onRequestTaken(bytes: number): void;
  /** The leg is dead; called at most once, and nothing after it. */
  onLegFailed(denial: Denial): void;
}

export abstract class Leg implements StreamOwner, Waiter {
  protected readonly pool: UpstreamPool;
  protected readonly owner: LegOwner;
  protected stream: Stream | undefined;
  /** Bytes that wait for a connection, small pieces copied together. */
  protected unsent: SendQueue | undefined;
  /** Our half of the stream ends with what was given last. */
  protected ended: boolean;
  /** Our END_STREAM is in the output: the stream ends by itself when the response does. */
  protected endLeft = false;
  protected closed = false;
  #passage: Passage | undefined;

  /** `bare`: the request is its headers alone. */
  protected constructor(pool: UpstreamPool, owner: LegOwner, bare: boolean) {
    this.pool = pool;
    this.owner = owner;
    this.ended = bare;
  }

  /** The stream has died. True when another takes its place. */
  protected abstract revived(cause: ResetCause): boolean;
  /** The upstream has begun to answer. */
  protected abstract answered(): void;
  /** These bytes are about to leave on the stream. */
  protected abstract leaving(chunk: Buffer): void;
  /** The stream's socket has taken so many bytes. */
  abstract onWritten(stream: Stream, bytes: number): void;

  /** Asks for a connection. The owner may hear of a failure before this returns. */
  protected begin(): void {
    const passage = this.pool.guard.enter();
    if (!passage.ok) return this.failed(passage.error);
    this.#passage = passage.value;
    this.connect();
  }

  protected connect(): void {
    const connection = this.pool.acquire(this);
    if (connection !== undefined) this.connected(connection);
  }

  protected send(chunk: Buffer, endStream: boolean): void {
    if (this.closed) return;
    this.ended = endStream;
    if (this.stream !== undefined) {
      this.leaving(chunk);
      this.stream.sendData(chunk, endStream);
    } else if (chunk.length > 0) (this.unsent ??= new SendQueue()).pushData(chunk);
  }

  /** The client's side has taken so many response bytes. */
  credit(bytes: number): void {
    this.stream?.credit(bytes);
  }

  /** Ends the leg from our side: the client is gone, or was refused. */
  cancel(): void {
    if (this.closed) return;
    this.close();
    this.unsent = undefined;
    if (this.stream === undefined) this.pool.cancel(this);
    else this.stream.reset(ErrorCode.CANCEL);
  }

  /** Ends the leg whose answer cannot be passed on. */
  reject(denial: Denial): void {
    if (denial.kind === 'upstream_unavailable') this.#passage?.failed();
    this.cancel();
  }

  /** The response is complete; what is left of the request is not wanted any more. */
  finish(): void {
    if (this.closed) return;
    this.close();
    if (!this.endLeft) this.stream?.reset(ErrorCode.NO_ERROR);
  }

  connected(connection: Connection): void {
    if (this.closed) return;
    const { unsent } = this;
    this.unsent = undefined;
    const stream = this.#open(connection, unsent === undefined && this.ended);
    if (stream === undefined || unsent === undefined) return;
    while (!unsent.isEmpty) {
      const chunk = unsent.takeData(unsent.firstBytes);
      this.leaving(chunk);
      stream.sendData(chunk, this.ended && unsent.isEmpty);
    }
  }

  /** A call that cannot say what its headers are must not keep the pool from serving the next that waits. */
  #open(connection: Connection, bare: boolean): Stream | undefined {
    try {
      return (this.stream = connection.open(this.owner.upstreamHeaders(), bare, this));
    } catch (cause) {
      this.failed({ kind: 'internal', cause });
      return undefined;
    }
  }

  failed(denial: Denial): void {
    if (this.closed) return;
    this.close();
    this.owner.onLegFailed(denial);
  }

  onHeaders(_stream: Stream, block: HeaderBlock, endStream: boolean): void {
    if (this.closed) return;
    this.answered();
    this.owner.onResponseHeaders(block, endStream);
    this.#passage?.answered();
  }

  onData(stream: Stream, chunk: Buffer, endStream: boolean): void {
    if (this.closed) stream.credit(chunk.length);
    else this.owner.onResponseData(chunk, endStream);
  }

  onLocalEnd(): void {
    this.endLeft = true;
  }

  onReset(stream: Stream, cause: ResetCause): void {
    if (this.closed || this.revived(cause)) return;
    const denial = denialOf(cause, this.pool.config.display);
    if (denial.kind === 'upstream_unavailable') {
      this.#passage?.failed(cause.by === 'connection' ? stream.connection : undefined);
    }
    this.failed(denial);
  }

  protected close(): void {
    this.closed = true;
    this.#passage?.leave();
  }
}
