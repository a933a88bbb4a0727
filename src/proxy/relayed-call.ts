/**
 * What every call does, whichever role relays it: bytes are charged as they come and given back as they go, in both directions, and
 * the upstream's answer is checked and passed on.
 *
 * Which requests may go on, and how, is its role's business: `call.ts` decides by gates, `egress-call.ts` has none.
 */
import type { HeaderBlock, Stream } from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import type { ResponseNames } from '../inspection/response-names.ts';
import type { Denial } from '../kernel/denial.ts';
import { type Bounded, CallBoundary } from './call-boundary.ts';
import type { CallLease } from './call-lease.ts';
import { EndingCall } from './ending-call.ts';
import type { Leg } from './leg.ts';
import { endedWithoutStatus, readResponse } from './response-head.ts';
import type { ResponseToll } from './response-toll.ts';

export abstract class RelayedCall<L extends Leg> extends EndingCall<L> implements Bounded {
  /** What the engine, the leg and the clock hold of this call: nothing that it throws gets past it. */
  readonly boundary = new CallBoundary(this);

  /** Where the method's responses have names in them, from its first bytes on: until then it would only be in the collector's way. */
  #names: ResponseNames | undefined;

  /** Takes what the client sent. False when it is no longer wanted. */
  protected abstract takeRequest(chunk: Buffer, endStream: boolean): boolean;
  /** The message that the client must go on with. */
  protected abstract unfinishedRequest(): number | undefined;
  abstract upstreamHeaders(): HeaderBlock;

  /** Whether the response has names in it that are to leave their namespace. */
  protected get namesResponse(): boolean {
    return false;
  }

  /** Made when its first bytes have come. */
  protected responseNames(): ResponseNames | undefined {
    return undefined;
  }

  /** Where the response's messages pay for their bytes; undefined: nowhere. */
  protected get responseToll(): ResponseToll | undefined {
    return undefined;
  }

  /** The answer's first block, with what its client is to be told besides. */
  protected announced(block: HeaderBlock): HeaderBlock {
    return block;
  }

  /** Headers or trailers of the response, before they go on. */
  protected responded(_block: HeaderBlock): void {
    // Nothing is counted by them.
  }

  /** Who is not asked for credentials loses none. */
  get lease(): CallLease | undefined {
    return undefined;
  }

  review(): void {
    // Nor are they judged again.
  }

  /** What is no gRPC gets the answer that HTTP gives, and when HTTP gives it: its request is heard out, unless that is long. */
  protected turnAway(denial: Denial): void {
    if (denial.kind !== 'content_type_unsupported' || this.stream.remoteEnded) return this.refuse(denial);
    this.stopRequest();
    this.phase = { at: 'hearing', denial };
  }

  // --- the client's stream

  onHeaders(stream: Stream, _block: HeaderBlock, endStream: boolean): void {
    // gRPC clients send no trailers; what some proxy added is not passed on, only the end that it stands for.
    if (endStream) this.onData(stream, NOTHING, true);
  }

  onData(_stream: Stream, chunk: Buffer, endStream: boolean): void {
    this.requestBytes += chunk.length;
    this.held.requestArrived(chunk.length);
    this.services.arrived(chunk.length);
    if (!this.takeRequest(chunk, endStream)) this.held.requestTaken(chunk.length);
    const heardOut = endStream || this.requestBytes > MAX_HEARD_BYTES;
    if (heardOut && this.phase.at === 'hearing') this.refuse(this.phase.denial);
  }

  onWritten(_stream: Stream, bytes: number): void {
    // At the call's end everything was given back at once.
    if (this.phase.at !== 'done') this.held.responseWritten(bytes, this.leg);
  }

  unfinishedMessage(): number | undefined {
    return this.phase.at === 'hearing' ? 0 : this.unfinishedRequest();
  }

  // --- the upstream's side

  onRequestTaken(bytes: number): void {
    this.upstreamTook = true;
    this.held.requestTaken(bytes);
  }

  onResponseHeaders(block: HeaderBlock, endStream: boolean): void {
    if (this.phase.at !== 'open') {
      if (endStream) this.onLegFailed(endedWithoutStatus(this.upstream));
      return;
    }
    const response = readResponse(block, endStream, this.headersSent, this.upstream);
    if (response.kind === 'informational') return;
    if (response.kind === 'invalid') return this.#reject(response.denial);
    this.responded(response.block);
    const told = this.headersSent ? response.block : this.announced(response.block);
    this.held.holdHeaders(told);
    this.headersSent = true;
    if (endStream) {
      const why = this.#names?.end();
      if (why !== undefined) return this.#reject(notPassedOn(why, this.upstream));
      if (this.#names !== undefined && !this.#deliverRenamed(this.#names, 0)) return;
      // A model server that ends inside a prefix has its client see it.
      if (this.responseToll !== undefined) this.#pass(this.responseToll.kept);
      return this.end(told, response.status);
    }
    this.stream.sendHeaders(told, false);
  }

  onResponseData(chunk: Buffer, endStream: boolean): void {
    if (this.phase.at !== 'open') {
      const taken = this.lapseWith(chunk);
      this.leg?.credit(chunk.length - taken);
      if (endStream) this.onLegFailed(endedWithoutStatus(this.upstream));
      return;
    }
    this.held.responseArrived(chunk.length);
    this.services.arrived(chunk.length);
    const names = this.namesResponse ? (this.#names ??= this.responseNames()) : undefined;
    const why = names?.push(chunk);
    if (why !== undefined) return this.#reject(notPassedOn(why, this.upstream));
    const goesOn = names === undefined ? this.#deliver(chunk) : this.#deliverRenamed(names, chunk.length);
    if (endStream && goesOn) this.#reject(endedWithoutStatus(this.upstream));
  }

  /** Passes on what `taken` bytes have become. False when the call has ended with it. */
  #deliverRenamed(names: ResponseNames, taken: number): boolean {
    const only = names.takeOnly();
    if (only !== undefined) {
      this.held.responseGrew(only.length - taken, this.leg);
      return this.#deliver(only);
    }
    const pieces = names.takeOutput();
    let growth = -taken;
    for (const piece of pieces) growth += piece.length;
    this.held.responseGrew(growth, this.leg);
    return pieces.every((piece) => this.#deliver(piece));
  }

  /** Passes on what is paid for. False when the call has ended with it. */
  #deliver(chunk: Buffer): boolean {
    const toll = this.responseToll;
    this.#pass(toll === undefined ? chunk : toll.pass(chunk));
    // What is not paid for stays here, and is given back with the rest when the call is over.
    if (toll?.denial === undefined) return true;
    this.refuse(toll.denial);
    return false;
  }

  #pass(chunk: Buffer): void {
    this.response.push(chunk);
    if (chunk.length > 0) this.stream.sendData(chunk, false);
  }

  onLegFailed(denial: Denial): void {
    // An upstream that gives up at the deadline may be a little sooner than our own clock looks again.
    const gaveUp = denial.kind === 'upstream_protocol' && denial.resetCode === ErrorCode.CANCEL;
    this.refuse(gaveUp && this.isLate() ? this.lateness() : denial);
  }

  /** The upstream's answer cannot be passed on. */
  #reject(denial: Denial): void {
    this.leg?.reject(denial);
    this.refuse(denial);
  }
}

function notPassedOn(why: string, upstream: string): Denial {
  return { kind: 'upstream_protocol', upstream, why, httpStatus: 200 };
}

const NOTHING = Buffer.alloc(0);
/** What is read and dropped of a request that is no gRPC. */
const MAX_HEARD_BYTES = 64 * 1024;
