/**
 * One call of this pod's own programs, from its headers to its record. It relays both directions to the ingress as it is, and
 * ends exactly once: the bytes are given back and the record is written on every path.
 */
import type { CallRecord } from '../audit/record.ts';
import { GrpcStatus } from '../grpc/status.ts';
import { trailersFor, trailersOnly } from '../grpc/status-reply.ts';
import type { HeaderBlock, ResetCause, Stream } from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import { MessageCounter } from '../inspection/message-counter.ts';
import type { Denial } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import { type Bounded, CallBoundary } from './call-boundary.ts';
import type { CallServices } from './call-services.ts';
import { clampTimeout, type Watch } from './deadlines.ts';
import { describe, describeReset, outcomeOf } from './describe-denial.ts';
import { egressHeaders } from './egress-headers.ts';
import { EgressLeg } from './egress-leg.ts';
import type { EgressMethods } from './egress-methods.ts';
import type { EgressRuntime } from './egress-runtime.ts';
import { HeldBytes } from './held-bytes.ts';
import { parseRequestHead, pathOf, type RequestHead } from './request-head.ts';
import { readResponse } from './response-head.ts';
import { Trail, type TrailPeer } from './trail.ts';

/** What an egress call needs of its listener. */
export interface EgressCallHost {
  readonly services: CallServices;
  readonly runtime: EgressRuntime;
  readonly methods: EgressMethods;
  readonly peer: TrailPeer;
  /** The call is over. */
  ended(): void;
}

/** Where a call stands. Only `open` relays. */
type Phase =
  | { readonly at: 'beginning' }
  | { readonly at: 'open'; readonly leg: EgressLeg; readonly head: RequestHead; readonly from: EpochMicros }
  /** The reply is queued; the record waits for its last byte. */
  | { readonly at: 'ending'; readonly denial: Denial | undefined; readonly status: number }
  | { readonly at: 'done' };

export class EgressCall implements Bounded {
  readonly #host: EgressCallHost;
  readonly #stream: Stream;
  readonly #path: string;
  readonly #trail: Trail;
  readonly #request = new MessageCounter();
  readonly #response = new MessageCounter();
  readonly #held: HeldBytes;
  /** What the engine, the leg and the clock hold of this call: nothing that it throws gets past it. */
  readonly boundary = new CallBoundary(this);
  #phase: Phase = { at: 'beginning' };
  #leg: EgressLeg | undefined;
  #watch: Watch | undefined;
  /** The client's, or the longest that a call may have. */
  #timeoutMicros: number | undefined;
  #headersSent = false;

  constructor(host: EgressCallHost, stream: Stream, block: HeaderBlock) {
    const { services, runtime, peer } = host;
    this.#host = host;
    this.#stream = stream;
    this.#path = pathOf(block);
    this.#held = new HeldBytes(runtime.account, stream);
    this.#trail = new Trail({
      tenantId: runtime.config.tenant,
      peer,
      generation: services.generation,
      // The client is a program of our own pod: its trace is ours.
      clientContext: 'parent',
      sampleRatio: services.sampleRatio,
      now: services.now,
    });
  }

  /** Begins the call. Separate from construction: the stream must know its owner before it can be answered. */
  begin(block: HeaderBlock, endStream: boolean): void {
    const { services, runtime, methods } = this.#host;
    const refusing = services.refusing();
    if (refusing !== undefined) return this.#refuse(refusing);
    const parsed = parseRequestHead(block);
    if (!parsed.ok) return this.#refuse(parsed.error);
    const head = parsed.value;
    this.#trail.head = head;
    this.#trail.method = methods.known(head.fullName);
    const timeout = clampTimeout(head.timeoutMicros, services.limits.maxDeadlineMs);
    this.#timeoutMicros = timeout;
    if (timeout === 0) return this.#refuse({ kind: 'deadline_exceeded', timeoutMs: 0 });
    if (timeout !== undefined) {
      this.#watch = services.deadlines.watch(this.boundary, (this.#trail.startedAt + timeout) as EpochMicros);
    }
    const leg = new EgressLeg(runtime.pool, this.boundary, endStream);
    this.#leg = leg;
    this.#phase = { at: 'open', leg, head, from: services.now() };
    leg.open();
  }

  // --- the client's stream

  onHeaders(_stream: Stream, _block: HeaderBlock, endStream: boolean): void {
    // gRPC clients send no trailers; what somebody added is not passed on, only the end that it stands for.
    if (endStream) this.onData(_stream, NOTHING, true);
  }

  onData(_stream: Stream, chunk: Buffer, endStream: boolean): void {
    this.#request.push(chunk);
    this.#held.requestArrived(chunk.length);
    this.#host.services.arrived(chunk.length);
    if (this.#phase.at === 'open') this.#phase.leg.send(chunk, endStream);
    else this.onRequestTaken(chunk.length);
  }

  onWritten(_stream: Stream, bytes: number): void {
    // At the call's end everything was given back at once.
    if (this.#phase.at !== 'done') this.#held.responseWritten(bytes, this.#leg);
  }

  onLocalEnd(): void {
    const phase = this.#phase;
    if (phase.at !== 'ending') return;
    this.#finish(phase.denial === undefined ? 'ok' : outcomeOf(phase.denial), phase.status, phase.denial);
  }

  onReset(_stream: Stream, cause: ResetCause): void {
    this.#leg?.cancel();
    const detail = describeReset(cause);
    const phase = this.#phase;
    // Who leaves before it has read its refusal was refused all the same.
    if (phase.at === 'ending' && phase.denial !== undefined)
      this.#finishUndelivered(phase.denial, phase.status, detail);
    else this.#finish(cause.by === 'us' ? 'failed' : 'cancelled', GrpcStatus.CANCELLED, undefined, detail);
  }

  expire(): void {
    this.#watch = undefined;
    const late: Denial = { kind: 'deadline_exceeded', timeoutMs: (this.#timeoutMicros ?? 0) / 1000 };
    const ending = this.#phase.at === 'ending' ? this.#phase : undefined;
    this.#refuse(late);
    // A reply that could not leave waits for a client that does not read, and by now is not waited for any more.
    if (this.#isDone()) return;
    this.#stream.reset(ErrorCode.CANCEL);
    if (ending?.denial !== undefined) this.#finishUndelivered(ending.denial, ending.status, 'the deadline has passed');
    else this.#finishUndelivered(late, GrpcStatus.DEADLINE_EXCEEDED, 'the client does not read');
  }

  /** Something of ours threw. The call is over, whatever state it is in, and takes nobody along. */
  fault(cause: unknown): void {
    const denial: Denial = { kind: 'internal', cause };
    try {
      this.#refuse(denial);
    } catch {
      this.#stream.reset(ErrorCode.INTERNAL_ERROR);
      this.#finishUndelivered(denial, GrpcStatus.INTERNAL, 'the reply failed');
    }
  }

  // --- the ingress's side

  upstreamHeaders(): HeaderBlock {
    if (this.#phase.at !== 'open') throw new Error('an upstream stream of a call that is not open');
    const { head } = this.#phase;
    const timeout = this.#timeoutMicros;
    const passed = this.#host.services.now() - this.#trail.startedAt;
    return egressHeaders({
      head,
      upstream: this.#host.runtime.config.upstream,
      timeoutMicros: timeout === undefined ? undefined : Math.max(1, timeout - passed),
      traceparent: this.#trail.upstreamTraceparent(),
    });
  }

  onRequestTaken(bytes: number): void {
    this.#held.requestTaken(bytes);
  }

  onResponseHeaders(block: HeaderBlock, endStream: boolean): void {
    if (this.#phase.at !== 'open') return;
    const response = readResponse(block, endStream, this.#headersSent, this.#upstream);
    if (response.kind === 'informational') return;
    if (response.kind === 'invalid') return this.#refuse(response.denial);
    this.#headersSent = true;
    if (endStream) return this.#end(response.block, response.status);
    this.#stream.sendHeaders(response.block, false);
  }

  onResponseData(chunk: Buffer, endStream: boolean): void {
    if (this.#phase.at !== 'open') {
      this.#leg?.credit(chunk.length);
      return;
    }
    this.#held.responseArrived(chunk.length);
    this.#host.services.arrived(chunk.length);
    this.#response.push(chunk);
    this.#stream.sendData(chunk, false);
    if (endStream) {
      const why = 'the response ended without trailers';
      this.#refuse({ kind: 'upstream_protocol', upstream: this.#upstream, why });
    }
  }

  /**
   * The ingress's refusal of a stream that it never looked at is handed on as it is: only the client has the request's bytes, and a
   * gRPC client repeats such a call by itself (gRFC A6, transparent retries).
   */
  onLegFailed(denial: Denial): void {
    if (this.#leg?.untouched !== true || this.#headersSent || this.#phase.at !== 'open') return this.#refuse(denial);
    this.#stream.reset(ErrorCode.REFUSED_STREAM);
    this.#finish('failed', GrpcStatus.UNAVAILABLE, denial);
  }

  // --- the end

  /** The ingress's own answer, be it the model server's or a denial: its trailers go on as they are. */
  #end(trailers: HeaderBlock, status: number): void {
    this.#noteUpstream(status === GrpcStatus.OK ? 'pass' : 'fail');
    this.#phase = { at: 'ending', denial: undefined, status };
    this.#leg?.finish();
    this.#stream.sendHeaders(trailers, true);
    if (!this.#stream.remoteEnded) this.#stream.refuseRest();
  }

  /** Our answer instead of the ingress's. */
  #refuse(denial: Denial): void {
    if (this.#phase.at === 'ending' || this.#phase.at === 'done') return;
    this.#noteUpstream('fail');
    this.#leg?.cancel();
    const { tenant } = this.#host.runtime.config;
    const reply = this.#headersSent ? trailersFor(denial, tenant) : trailersOnly(denial, tenant);
    this.#phase = { at: 'ending', denial, status: reply.status };
    this.#stream.sendHeaders(reply.block, true);
    if (!this.#stream.remoteEnded) this.#stream.refuseRest();
  }

  #finish(outcome: CallRecord['outcome'], status: number, denial: Denial | undefined, detail?: string): void {
    if (this.#phase.at === 'done') return;
    this.#noteUpstream('fail');
    this.#phase = { at: 'done' };
    if (this.#watch !== undefined) this.#host.services.deadlines.forget(this.#watch);
    this.#host.ended();
    try {
      this.#held.giveBack(this.#leg);
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
    if (this.#phase.at === 'open') this.#trail.upstream(this.#phase.from, verdict);
  }

  get #upstream(): string {
    return this.#host.runtime.config.upstream.display;
  }

  #isDone(): boolean {
    return this.#phase.at === 'done';
  }

  #writeRecord(outcome: CallRecord['outcome'], status: number, denial: Denial | undefined, detail: string): void {
    const { services, runtime } = this.#host;
    const record: CallRecord = {
      ...this.#trail.record({
        outcome,
        grpcStatus: status,
        reason: denial?.kind ?? (outcome === 'ok' ? '' : outcome),
        detail,
        requestBytes: this.#request.bytes,
        responseBytes: this.#response.bytes,
        requestMessages: this.#request.messages,
        responseMessages: this.#response.messages,
        upstream: this.#leg === undefined ? '' : this.#upstream,
        path: this.#path,
      }),
      // By configuration: who reaches the listener speaks as its tenant.
      tenantVerified: true,
      caller: `egress:${runtime.config.listen}`,
    };
    services.append(record);
    services.count(record);
  }
}

const NOTHING = Buffer.alloc(0);
