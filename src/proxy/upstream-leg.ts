/**
 * A call's way to the model server. It cannot be opened without a `MethodPermit` and a `Lease`, and a message's last byte
 * does not leave without the `Permit` for that message: a gRPC server acts on a message only when it has the whole of it.
 *
 * A stream that the model server says it never looked at is sent once more, as long as all that was sent is still here; what is
 * sent then is what was permitted before.
 */
import type { MethodPermit, Permit } from '../authz/authorizer.ts';
import type { Connection, HeaderBlock, ResetCause, Stream, StreamOwner } from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import { SendQueue } from '../http2/send-queue.ts';
import type { Denial } from '../kernel/denial.ts';
import type { Lease } from '../quota/quota-gate.ts';
import { Replay } from './replay.ts';
import { denialOf, isUntouched } from './stream-death.ts';
import type { Passage } from './upstream-guard.ts';
import type { UpstreamPool, Waiter } from './upstream-pool.ts';

/** Hears from the leg; it is the call. */
export interface LegOwner {
  /** The headers to send, made when the stream opens: the deadline shrinks while the call waits. */
  upstreamHeaders(): HeaderBlock;
  onResponseHeaders(block: HeaderBlock, endStream: boolean): void;
  onResponseData(chunk: Buffer, endStream: boolean): void;
  /** The model server's socket has taken so many request bytes. */
  onRequestTaken(bytes: number): void;
  /** The leg is dead; called at most once, and nothing after it. */
  onLegFailed(denial: Denial): void;
}

const NOTHING = Buffer.alloc(0);

export class UpstreamLeg implements StreamOwner, Waiter {
  readonly #pool: UpstreamPool;
  readonly #owner: LegOwner;
  #stream: Stream | undefined;
  /** Permitted bytes that wait for a connection, small pieces copied together. */
  #unsent: SendQueue | undefined;
  #ended = false;
  /** Our END_STREAM is in the output: the stream ends by itself when the response does. */
  #endLeft = false;
  #closed = false;
  readonly #replay: Replay;
  #passage: Passage | undefined;
  /** The model server has answered something, or has had its second try. */
  #final = false;
  /** Taken by the socket on this stream, and of all that the owner has been told. */
  #writtenBytes = 0;
  #toldBytes = 0;

  /** Opens the way: from here on, the parts of messages may travel. */
  static open(_permit: MethodPermit, _lease: Lease, pool: UpstreamPool, owner: LegOwner): UpstreamLeg {
    const leg = new UpstreamLeg(pool, owner);
    const passage = pool.guard.enter();
    if (passage.ok) leg.#begin(passage.value);
    else leg.failed(passage.error);
    return leg;
  }

  private constructor(pool: UpstreamPool, owner: LegOwner) {
    this.#pool = pool;
    this.#owner = owner;
    this.#replay = new Replay(pool.replays);
  }

  #begin(passage: Passage): void {
    this.#passage = passage;
    const connection = this.#pool.acquire(this);
    if (connection !== undefined) this.connected(connection);
  }

  /** Sends bytes of a message whose end is yet to come. */
  sendPart(chunk: Buffer): void {
    this.#send(chunk, false);
  }

  /** Sends bytes up to and with a message's last, for which the permit was given. */
  sendMessage(_permit: Permit, chunk: Buffer, endStream: boolean): void {
    this.#send(chunk, endStream);
  }

  /** Half-closes: the client has nothing more to say. */
  sendEnd(_permit: MethodPermit): void {
    this.#send(NOTHING, true);
  }

  /** The client's side has taken so many response bytes. */
  credit(bytes: number): void {
    this.#stream?.credit(bytes);
  }

  /** Ends the leg from our side: the client is gone, or was refused. */
  cancel(): void {
    if (this.#closed) return;
    this.#close();
    this.#unsent = undefined;
    if (this.#stream === undefined) this.#pool.cancel(this);
    else this.#stream.reset(ErrorCode.CANCEL);
  }

  /** Ends the leg whose answer cannot be passed on. */
  reject(denial: Denial): void {
    if (denial.kind === 'upstream_unavailable') this.#passage?.failed();
    this.cancel();
  }

  /** The response is complete; what is left of the request is not wanted any more. */
  finish(): void {
    if (this.#closed) return;
    this.#close();
    if (!this.#endLeft) this.#stream?.reset(ErrorCode.NO_ERROR);
  }

  connected(connection: Connection): void {
    if (this.#closed) return;
    const unsent = this.#unsent;
    this.#unsent = undefined;
    const stream = this.#open(connection, unsent === undefined && this.#ended);
    if (stream === undefined || unsent === undefined) return;
    while (!unsent.isEmpty) {
      const chunk = unsent.takeData(unsent.firstBytes);
      this.#replay.keep(chunk);
      stream.sendData(chunk, this.#ended && unsent.isEmpty);
    }
  }

  /** A call that cannot say what its headers are must not keep the pool from serving the next that waits. */
  #open(connection: Connection, bare: boolean): Stream | undefined {
    try {
      return (this.#stream = connection.open(this.#owner.upstreamHeaders(), bare, this));
    } catch (cause) {
      this.failed({ kind: 'internal', cause });
      return undefined;
    }
  }

  failed(denial: Denial): void {
    if (this.#closed) return;
    this.#close();
    this.#owner.onLegFailed(denial);
  }

  onHeaders(_stream: Stream, block: HeaderBlock, endStream: boolean): void {
    if (this.#closed) return;
    this.#answered();
    this.#owner.onResponseHeaders(block, endStream);
    this.#passage?.answered();
  }

  onData(stream: Stream, chunk: Buffer, endStream: boolean): void {
    if (this.#closed) stream.credit(chunk.length);
    else this.#owner.onResponseData(chunk, endStream);
  }

  onWritten(_stream: Stream, bytes: number): void {
    if (this.#closed) return;
    this.#writtenBytes += bytes;
    const news = this.#writtenBytes - this.#toldBytes;
    if (news <= 0) return;
    this.#toldBytes += news;
    this.#owner.onRequestTaken(news);
  }

  onLocalEnd(): void {
    this.#endLeft = true;
  }

  onReset(stream: Stream, cause: ResetCause): void {
    if (this.#closed || (isUntouched(cause) && this.#sendAgain())) return;
    const denial = denialOf(cause, this.#pool.config.display);
    if (denial.kind === 'upstream_unavailable') {
      this.#passage?.failed(cause.by === 'connection' ? stream.connection : undefined);
    }
    this.failed(denial);
  }

  /** Opens another stream for what was sent on one that has died. False when that cannot be. */
  #sendAgain(): boolean {
    const sent = this.#final ? undefined : this.#replay.take();
    if (sent === undefined) return false;
    this.#final = true;
    this.#stream = undefined;
    this.#endLeft = false;
    this.#writtenBytes = 0;
    if (sent.length > 0) {
      this.#unsent = new SendQueue();
      this.#unsent.pushData(sent);
    }
    const connection = this.#pool.acquire(this);
    if (connection !== undefined) this.connected(connection);
    return true;
  }

  #answered(): void {
    this.#final = true;
    this.#replay.drop();
  }

  #close(): void {
    this.#closed = true;
    this.#passage?.leave();
    this.#replay.drop();
  }

  #send(chunk: Buffer, endStream: boolean): void {
    if (this.#closed) return;
    this.#ended = endStream;
    if (this.#stream !== undefined) {
      this.#replay.keep(chunk);
      this.#stream.sendData(chunk, endStream);
    } else if (chunk.length > 0) (this.#unsent ??= new SendQueue()).pushData(chunk);
  }
}
