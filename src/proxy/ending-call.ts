/**
 * How a call ends, exactly once and on every path: with the upstream's answer, with ours, with the client's leaving, at its deadline,
 * or because something threw. The bytes are given back, the role gives back what it took, and the record is written.
 */
import type { CallRecord } from '../audit/record.ts';
import type { ByteAccount } from '../buffers/byte-account.ts';
import type { Holding } from '../buffers/ceiling.ts';
import { viewDenial } from '../grpc/denial-table.ts';
import { GrpcStatus, statusOfReset } from '../grpc/status.ts';
import { type StatusReply, trailersFor, trailersOnly } from '../grpc/status-reply.ts';
import type { HeaderBlock, ResetCause, Stream } from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import { MessageCounter } from '../inspection/message-counter.ts';
import type { Denial } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import type { CallServices } from './call-services.ts';
import { clampTimeout, LAPSE_GRACE_MS, type Mortal, type Watch } from './deadlines.ts';
import { describe, describeReset, outcomeOf } from './describe-denial.ts';
import { HeldBytes } from './held-bytes.ts';
import type { Leg } from './leg.ts';
import { pathOf } from './request-head.ts';
import type { Trail } from './trail.ts';

/** What a call stands on, given once. */
export interface CallGround {
  readonly services: CallServices;
  readonly account: ByteAccount;
  readonly trail: Trail;
  /** Where the call goes, as records name it. */
  readonly upstream: string;
}

/** Where a call stands. Only `open` relays. */
type Phase =
  /** It is being decided on; request bytes wait. */
  | { readonly at: 'beginning' }
  | { readonly at: 'open' }
  /** What it was admitted by has ended amid a message of the response, which may end. */
  | { readonly at: 'lapsing'; readonly denial: Denial }
  /** It is no gRPC, and will be told so when it has ended. */
  | { readonly at: 'hearing'; readonly denial: Denial }
  /** The reply is queued; the record waits for its last byte. */
  | { readonly at: 'ending'; readonly denial: Denial | undefined; readonly status: number }
  | { readonly at: 'done' };

const BEGINNING: Phase = { at: 'beginning' };
const OPEN: Phase = { at: 'open' };
const DONE: Phase = { at: 'done' };

export abstract class EndingCall<L extends Leg> implements Mortal, Holding {
  protected readonly services: CallServices;
  protected readonly trail: Trail;
  protected readonly stream: Stream;
  protected readonly upstream: string;
  protected readonly held: HeldBytes;
  protected readonly response = new MessageCounter();
  protected leg: L | undefined;
  protected phase: Phase = BEGINNING;
  /** The client has had response headers: what is left to say goes into trailers. */
  protected headersSent = false;
  protected requestBytes = 0;
  /** Something of the request has left for the upstream. */
  protected upstreamTook = false;
  /** What outsiders hold of this call. */
  abstract readonly boundary: Mortal;
  readonly #path: string;
  #legFrom: EpochMicros | undefined;
  #watch: Watch | undefined;
  /** From its start: what the client asked for, or the longest that a call may have. */
  #timeoutMicros: number | undefined;
  /** What it was admitted by has ended, and the grace runs. */
  #lapsed: Denial | undefined;

  constructor({ services, account, trail, upstream }: CallGround, stream: Stream, block: HeaderBlock) {
    this.services = services;
    this.trail = trail;
    this.stream = stream;
    this.upstream = upstream;
    this.#path = pathOf(block);
    this.held = new HeldBytes(account, stream);
    this.held.began(block);
  }

  /** Nothing more of the request goes on. */
  protected abstract stopRequest(): void;
  protected abstract requestMessages(): number;
  /** Whose call it is, when that is beyond doubt; or empty. */
  protected abstract verifiedTenant(): string;
  /**
   * The call is over: its role gives back what it had taken for it. `failed`: the model server did not do what it was asked for;
   * `failedWith`: and said so itself, by this status.
   */
  protected abstract settle(failed: boolean, failedWith: number | undefined): void;

  /** The upstream has no more part in the call. */
  protected upstreamEnded(): void {
    // Nothing is counted of it.
  }

  /** From here on the upstream has its part in the record. */
  protected legBegins(): void {
    this.#legFrom = this.services.now();
  }

  /** The call may go on. */
  protected opened(): void {
    this.phase = OPEN;
  }

  /** As a question: whatever was done since may have ended it. */
  protected isOpen(): boolean {
    return this.phase.at === 'open';
  }

  /** Gives the call its time: what its client asks for, within the limit. */
  protected limitTime(askedMicros: number | undefined): void {
    const timeout = clampTimeout(askedMicros, this.services.limits.maxDeadlineMs);
    this.#timeoutMicros = timeout;
    if (timeout === undefined) return;
    this.#watch = this.services.deadlines.watch(this.boundary, (this.trail.startedAt + timeout) as EpochMicros);
  }

  protected get hasNoTime(): boolean {
    return this.#timeoutMicros === 0;
  }

  /** What is left of its time, and never nothing: the upstream ends it, or we do. */
  protected leftMicros(): number | undefined {
    if (this.#timeoutMicros === undefined) return undefined;
    return Math.max(1, this.#timeoutMicros - (this.services.now() - this.trail.startedAt));
  }

  protected lateness(): Denial {
    return { kind: 'deadline_exceeded', timeoutMs: (this.#timeoutMicros ?? 0) / 1000 };
  }

  onLocalEnd(): void {
    const phase = this.phase;
    if (phase.at === 'ending')
      this.#finish(phase.denial === undefined ? 'ok' : outcomeOf(phase.denial), phase.status, phase.denial);
  }

  onReset(_stream: Stream, cause: ResetCause): void {
    this.leg?.cancel();
    const detail = describeReset(cause);
    const phase = this.phase;
    // Who leaves before it has read its refusal was refused all the same.
    if (phase.at === 'ending' && phase.denial !== undefined)
      this.#finishUndelivered(phase.denial, phase.status, detail);
    else if (phase.at === 'hearing' || phase.at === 'lapsing')
      this.#finishUndelivered(phase.denial, trailersOnly(phase.denial).status, detail);
    else if (cause.by === 'us') this.#finish('failed', statusOfReset(cause.code), undefined, detail);
    else this.#finish('cancelled', GrpcStatus.CANCELLED, undefined, detail);
  }

  expire(): void {
    this.#watch = undefined;
    const ending = this.phase.at === 'ending' ? this.phase : undefined;
    if (this.#lapsed !== undefined) return this.#cutOff(ending?.denial ?? this.#lapsed, ErrorCode.CANCEL);
    const late = this.lateness();
    this.refuse(late);
    // A reply that could not leave waits for a client that does not read, and by now is not waited for any more.
    if (this.#isDone()) return;
    this.stream.reset(ErrorCode.CANCEL);
    if (ending?.denial !== undefined) this.#finishUndelivered(ending.denial, ending.status, 'the deadline has passed');
    else this.#finishUndelivered(late, GrpcStatus.DEADLINE_EXCEEDED, 'the client does not read');
  }

  get heldBytes(): number {
    return this.held.bytes;
  }

  /**
   * Its tenant is over its share of memory that is full, and the call gives back all that it holds, now. Our trailers follow the last
   * whole message when none has left in part; otherwise a reset says what they would (gRPC reads ENHANCE_YOUR_CALM as RESOURCE_EXHAUSTED).
   */
  shed(denial: Denial): void {
    if (this.#isDone()) return;
    this.#noteUpstream('fail');
    this.#cutOff(denial, ErrorCode.ENHANCE_YOUR_CALM);
  }

  /**
   * What it was admitted by has ended, and the call with it: nothing more of the request goes on, and our trailers follow the response's
   * last whole message. The one that is under way may end, and what the client has not read yet is kept for it, for a grace.
   */
  lapse(denial: Denial): void {
    const { at } = this.phase;
    if (this.#lapsed !== undefined || (at !== 'open' && at !== 'ending')) return;
    this.#lapsed = denial;
    const now = this.services.now();
    if (this.#watch !== undefined) this.services.deadlines.forget(this.#watch);
    this.#watch = this.services.deadlines.watch(this.boundary, (now + LAPSE_GRACE_MS * 1000) as EpochMicros);
    if (at === 'ending') return;
    if (this.response.atBoundary) return this.refuse(denial);
    this.#noteUpstream('fail');
    this.stopRequest();
    this.phase = { at: 'lapsing', denial };
  }

  /** Takes what comes of the response's last message while the call is lapsing, and ends with it. Returns how much it took. */
  protected lapseWith(chunk: Buffer): number {
    if (this.phase.at !== 'lapsing') return 0;
    const { denial } = this.phase;
    const taken = this.response.pushToEnd(chunk);
    this.held.responseArrived(taken);
    this.stream.sendData(taken === chunk.length ? chunk : chunk.subarray(0, taken), false);
    if (this.response.atBoundary) this.#answer(denial);
    return taken;
  }

  /** Ends the call now: our trailers follow the last whole message that has left; where it left in part, a reset does. */
  #cutOff(denial: Denial, code: ErrorCode): void {
    if (this.#takeBack()) this.#answer(denial);
    if (this.#isDone()) return;
    this.stopRequest();
    this.leg?.cancel();
    this.stream.reset(code);
    this.#finishUndelivered(denial, viewDenial(denial, '').status, 'amid a message, or the client does not read');
  }

  /** Takes back what of the reply has not left. True when it may end there. */
  #takeBack(): boolean {
    const bytes = this.stream.retract();
    return bytes !== undefined && this.response.endsAt(this.response.bytes - bytes);
  }

  /** Something of ours threw. The call is over, whatever state it is in, and takes nobody along. */
  fault(cause: unknown): void {
    const denial: Denial = { kind: 'internal', cause };
    try {
      this.refuse(denial);
    } catch {
      this.stream.reset(ErrorCode.INTERNAL_ERROR);
      this.#finishUndelivered(denial, GrpcStatus.INTERNAL, 'the reply failed');
    }
  }

  /** The upstream's own answer: pass its trailers on. */
  protected end(trailers: HeaderBlock, status: number): void {
    this.#noteUpstream(status === GrpcStatus.OK ? 'pass' : 'fail');
    this.phase = { at: 'ending', denial: undefined, status };
    this.stopRequest();
    this.leg?.finish();
    this.stream.sendHeaders(trailers, true);
    if (!this.stream.remoteEnded) this.stream.refuseRest();
  }

  /** Our answer instead of the upstream's. */
  refuse(denial: Denial): void {
    if (this.phase.at === 'ending' || this.phase.at === 'done') return;
    this.#noteUpstream('fail');
    this.#answer(this.phase.at === 'lapsing' ? this.phase.denial : denial);
  }

  #answer(denial: Denial): void {
    this.stopRequest();
    this.leg?.cancel();
    const tenant = this.verifiedTenant();
    const reply = this.headersSent ? trailersFor(denial, tenant) : trailersOnly(denial, tenant);
    this.phase = { at: 'ending', denial, status: reply.status };
    this.#reply(reply);
    if (!this.stream.remoteEnded) this.stream.refuseRest();
  }

  #reply({ block, body }: StatusReply): void {
    this.stream.sendHeaders(block, body === undefined);
    if (body === undefined) return;
    this.held.responseArrived(body.length);
    this.stream.sendData(body, true);
  }

  /** Hands the stream back untouched: its client may repeat it by itself (gRFC A6, transparent retries). */
  protected handBack(denial: Denial): void {
    this.stream.reset(ErrorCode.REFUSED_STREAM);
    this.#finish('failed', GrpcStatus.UNAVAILABLE, denial);
  }

  #finish(outcome: CallRecord['outcome'], status: number, denial: Denial | undefined, detail?: string): void {
    if (this.phase.at === 'done') return;
    this.#noteUpstream('fail');
    this.phase = DONE;
    if (this.#watch !== undefined) this.services.deadlines.forget(this.#watch);
    const answered = denial === undefined && outcome === 'ok';
    this.settle(answered ? status !== GrpcStatus.OK : outcome === 'failed', answered ? status : undefined);
    try {
      this.stopRequest();
      this.held.giveBack(this.leg);
    } finally {
      this.#writeRecord(outcome, status, denial, detail ?? (denial === undefined ? '' : describe(denial)));
    }
  }

  /** The reply was decided and did not reach the client. */
  #finishUndelivered(denial: Denial, status: number, why: string): void {
    this.#finish(outcomeOf(denial), status, denial, `${describe(denial)} (not delivered: ${why})`.trimStart());
  }

  /** The leg's part in the record, once, when its call stops relaying. */
  #noteUpstream(verdict: 'pass' | 'fail'): void {
    if (this.phase.at !== 'open' || this.#legFrom === undefined) return;
    this.trail.upstream(this.#legFrom, verdict);
    this.upstreamEnded();
  }

  protected isLate(): boolean {
    return this.#timeoutMicros !== undefined && this.services.now() >= this.trail.startedAt + this.#timeoutMicros;
  }

  #isDone(): boolean {
    return this.phase.at === 'done';
  }

  #writeRecord(outcome: CallRecord['outcome'], status: number, denial: Denial | undefined, detail: string): void {
    const record = this.trail.record({
      outcome,
      grpcStatus: status,
      reason: denial?.kind ?? (outcome === 'ok' ? '' : outcome),
      detail,
      requestBytes: this.requestBytes,
      responseBytes: this.response.bytes,
      requestMessages: this.requestMessages(),
      responseMessages: this.response.messages,
      upstream: this.#legFrom === undefined ? '' : this.upstream,
      path: this.#path,
    });
    this.services.append(record);
    this.services.count(record);
  }
}
