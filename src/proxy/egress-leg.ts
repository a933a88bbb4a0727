/**
 * An egress call's way to the ingress. Unlike `UpstreamLeg` it asks for no evidence: who reaches the listener speaks as its tenant,
 * and it is the ingress that decides.
 */
import type { Connection, HeaderBlock, ResetCause, Stream, StreamOwner } from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import { SendQueue } from '../http2/send-queue.ts';
import type { Denial } from '../kernel/denial.ts';
import { denialOf, isUntouched } from './stream-death.ts';
import type { Passage } from './upstream-guard.ts';
import type { LegOwner } from './upstream-leg.ts';
import type { UpstreamPool, Waiter } from './upstream-pool.ts';

export class EgressLeg implements StreamOwner, Waiter {
  readonly #pool: UpstreamPool;
  readonly #owner: LegOwner;
  #stream: Stream | undefined;
  /** Bytes that wait for a connection, small pieces copied together. */
  #unsent: SendQueue | undefined;
  #ended: boolean;
  /** Our END_STREAM is in the output: the stream ends by itself when the response does. */
  #endLeft = false;
  #closed = false;
  #untouched = false;
  #passage: Passage | undefined;

  /** `bare`: the request is its headers alone. */
  constructor(pool: UpstreamPool, owner: LegOwner, bare: boolean) {
    this.#pool = pool;
    this.#owner = owner;
    this.#ended = bare;
  }

  /** True when the leg failed and the ingress has said that it never looked at the call. */
  get untouched(): boolean {
    return this.#untouched;
  }

  /** Asks for a connection. The owner may hear of a failure before this returns. */
  open(): void {
    const passage = this.#pool.guard.enter();
    if (!passage.ok) return this.failed(passage.error);
    this.#passage = passage.value;
    const connection = this.#pool.acquire(this);
    if (connection !== undefined) this.connected(connection);
  }

  send(chunk: Buffer, endStream: boolean): void {
    if (this.#closed) return;
    this.#ended = endStream;
    if (this.#stream !== undefined) this.#stream.sendData(chunk, endStream);
    else if (chunk.length > 0) (this.#unsent ??= new SendQueue()).pushData(chunk);
  }

  /** The client's side has taken so many response bytes. */
  credit(bytes: number): void {
    this.#stream?.credit(bytes);
  }

  /** Ends the leg from our side: the client is gone, or has its answer from us. */
  cancel(): void {
    if (this.#closed) return;
    this.#close();
    this.#unsent = undefined;
    if (this.#stream === undefined) this.#pool.cancel(this);
    else this.#stream.reset(ErrorCode.CANCEL);
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

  #close(): void {
    this.#closed = true;
    this.#passage?.leave();
  }

  onHeaders(_stream: Stream, block: HeaderBlock, endStream: boolean): void {
    if (this.#closed) return;
    this.#passage?.answered();
    this.#owner.onResponseHeaders(block, endStream);
  }

  onData(stream: Stream, chunk: Buffer, endStream: boolean): void {
    if (this.#closed) stream.credit(chunk.length);
    else this.#owner.onResponseData(chunk, endStream);
  }

  onWritten(_stream: Stream, bytes: number): void {
    if (!this.#closed) this.#owner.onRequestTaken(bytes);
  }

  onLocalEnd(): void {
    this.#endLeft = true;
  }

  onReset(stream: Stream, cause: ResetCause): void {
    if (this.#closed) return;
    this.#untouched = isUntouched(cause);
    const denial = denialOf(cause, this.#pool.config.display);
    if (denial.kind === 'upstream_unavailable') {
      this.#passage?.failed(cause.by === 'connection' ? stream.connection : undefined);
    }
    this.failed(denial);
  }
}
