/**
 * The edge of one call. Everything that reaches a call from outside (its stream, its leg, its deadline) comes through here, and
 * what the call throws ends that call alone: the engine, and with it every other call of the thread, never sees it.
 */
import type { Holding } from '../buffers/ceiling.ts';
import type { HeaderBlock, ResetCause, Stream, StreamOwner } from '../http2/contract.ts';
import type { Denial } from '../kernel/denial.ts';
import type { CallLease } from './call-lease.ts';
import type { Mortal } from './deadlines.ts';
import type { LegOwner } from './leg.ts';
import type { Reviewed } from './review.ts';

/** A call that was admitted by something that may end. */
export interface Leased {
  /** When it ends; undefined: it was not admitted (yet), or to nothing that ends. */
  readonly lease: CallLease | undefined;
  /** It has ended. */
  lapse(denial: Denial): void;
}

/** A call, as its boundary sees it. */
export interface Bounded extends StreamOwner, LegOwner, Mortal, Holding, Leased, Reviewed {
  /** Ends the call, which has thrown. */
  fault(cause: unknown): void;
}

export class CallBoundary implements StreamOwner, LegOwner, Mortal, Holding, Leased, Reviewed {
  readonly #call: Bounded;

  constructor(call: Bounded) {
    this.#call = call;
  }

  onHeaders(stream: Stream, block: HeaderBlock, endStream: boolean): void {
    try {
      this.#call.onHeaders(stream, block, endStream);
    } catch (cause) {
      this.#contain(cause);
    }
  }

  onData(stream: Stream, chunk: Buffer, endStream: boolean): void {
    try {
      this.#call.onData(stream, chunk, endStream);
    } catch (cause) {
      this.#contain(cause);
    }
  }

  onReset(stream: Stream, reset: ResetCause): void {
    try {
      this.#call.onReset(stream, reset);
    } catch (cause) {
      this.#contain(cause);
    }
  }

  onWritten(stream: Stream, bytes: number): void {
    try {
      this.#call.onWritten(stream, bytes);
    } catch (cause) {
      this.#contain(cause);
    }
  }

  onLocalEnd(stream: Stream): void {
    try {
      this.#call.onLocalEnd(stream);
    } catch (cause) {
      this.#contain(cause);
    }
  }

  unfinishedMessage(): number | undefined {
    return this.#call.unfinishedMessage?.();
  }

  get heldBytes(): number {
    return this.#call.heldBytes;
  }

  shed(denial: Denial): void {
    try {
      this.#call.shed(denial);
    } catch (cause) {
      this.#contain(cause);
    }
  }

  expire(): void {
    try {
      this.#call.expire();
    } catch (cause) {
      this.#contain(cause);
    }
  }

  get lease(): CallLease | undefined {
    return this.#call.lease;
  }

  lapse(denial: Denial): void {
    try {
      this.#call.lapse(denial);
    } catch (cause) {
      this.#contain(cause);
    }
  }

  review(): void {
    try {
      this.#call.review();
    } catch (cause) {
      this.#contain(cause);
    }
  }

  /** Not contained: there is no block without it. Whoever opens the leg is within the boundary, or fails the leg. */
  upstreamHeaders(): HeaderBlock {
    return this.#call.upstreamHeaders();
  }

  onResponseHeaders(block: HeaderBlock, endStream: boolean): void {
    try {
      this.#call.onResponseHeaders(block, endStream);
    } catch (cause) {
      this.#contain(cause);
    }
  }

  onResponseData(chunk: Buffer, endStream: boolean): void {
    try {
      this.#call.onResponseData(chunk, endStream);
    } catch (cause) {
      this.#contain(cause);
    }
  }

  onRequestTaken(bytes: number): void {
    try {
      this.#call.onRequestTaken(bytes);
    } catch (cause) {
      this.#contain(cause);
    }
  }

  onLegFailed(denial: Denial): void {
    try {
      this.#call.onLegFailed(denial);
    } catch (cause) {
      this.#contain(cause);
    }
  }

  #contain(cause: unknown): void {
    try {
      this.#call.fault(cause);
    } catch {
      // It could not even end: what it held is lost with it, and the next reset or end of its connection is its last word.
    }
  }
}
