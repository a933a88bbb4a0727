/**
 * One call, from its headers to its record. It owns the client's stream, admits the call through the pipeline, relays both
 * directions, and ends exactly once: the lease is settled, the bytes are given back and the record is written on every path.
 */
import type { CallRecord } from '../audit/record.ts';
import type { Permit } from '../authz/authorizer.ts';
import { GrpcStatus } from '../grpc/status.ts';
import { type StatusReply, trailersFor, trailersOnly } from '../grpc/status-reply.ts';
import type { HeaderBlock, ResetCause, Stream, StreamOwner } from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import type { Peer } from '../identity/peer.ts';
import { MessageCounter } from '../inspection/message-counter.ts';
import { type Denial, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import type { Result } from '../kernel/result.ts';
import { CallBoundary } from './call-boundary.ts';
import type { CallServices } from './call-services.ts';
import { clampTimeout, type Mortal, type Watch } from './deadlines.ts';
import { describe, describeReset, outcomeOf } from './describe-denial.ts';
import { HeldBytes } from './held-bytes.ts';
import { type Admission, admit, permitMessage } from './pipeline.ts';
import { pathOf, whyUnreadable } from './request-head.ts';
import { RequestSide, type RequestSideOwner } from './request-side.ts';
import { readResponse } from './response-head.ts';
import type { TenantRuntime } from './tenant-runtime.ts';
import { Trail } from './trail.ts';
import { upstreamHeaders } from './upstream-headers.ts';
import { type LegOwner, UpstreamLeg } from './upstream-leg.ts';

/** Where a call stands. Only `open` relays. */
type Phase =
  /** A credential is being verified for the first time; request bytes wait. */
  | { readonly at: 'admitting' }
  | { readonly at: 'open'; readonly admission: Admission }
  /** It is no gRPC, and will be told so when it has ended. */
  | { readonly at: 'hearing'; readonly denial: Denial }
  /** The reply is queued; the record waits for its last byte. */
  | { readonly at: 'ending'; readonly denial: Denial | undefined; readonly status: number }
  | { readonly at: 'done' };

export class Call implements StreamOwner, LegOwner, RequestSideOwner, Mortal {
  readonly #services: CallServices;
  readonly #tenant: TenantRuntime;
  readonly #peer: Peer;
  readonly #trail: Trail;
  readonly #stream: Stream;
  readonly #path: string;
  readonly #ended: () => void;
  readonly #response = new MessageCounter();
  readonly #request = new RequestSide(this);
  readonly #held: HeldBytes;
  /** What the engine, the leg and the clock hold of this call: nothing that it throws gets past it. */
  readonly boundary = new CallBoundary(this);
  #phase: Phase = { at: 'admitting' };
  #admission: Admission | undefined;
  #leg: UpstreamLeg | undefined;
  #legFrom: EpochMicros | undefined;
  #watch: Watch | undefined;
  /** From its start. */
  #timeoutMicros: number | undefined;
  #headersSent = false;
  #requestBytes = 0;

  constructor(
    services: CallServices,
    tenant: TenantRuntime,
    peer: Peer,
    stream: Stream,
    block: HeaderBlock,
    ended: () => void,
  ) {
    this.#services = services;
    this.#tenant = tenant;
    this.#peer = peer;
    this.#stream = stream;
    this.#ended = ended;
    this.#held = new HeldBytes(tenant.account, stream);
    this.#path = pathOf(block);
    this.#trail = new Trail({
      tenantId: tenant.config.id,
      peer,
      generation: services.generation,
      clientContext: tenant.config.trace.clientContext,
      sampleRatio: services.sampleRatio,
      now: services.now,
    });
  }

  /** Begins the call. Separate from construction: the stream must know its owner before it can be answered. */
  begin(block: HeaderBlock, endStream: boolean): void {
    if (endStream) this.#request.push(NOTHING, true);
    const refusing = this.#services.refusing();
    if (refusing !== undefined) return this.refuse(refusing);
    const admitted = admit(block, this.#peer, this.#tenant.gates, this.#trail);
    const timeout = clampTimeout(this.#trail.head?.timeoutMicros, this.#services.limits.maxDeadlineMs);
    this.#timeoutMicros = timeout;
    if (timeout !== undefined) {
      this.#watch = this.#services.deadlines.watch(this.boundary, (this.#trail.startedAt + timeout) as EpochMicros);
    }
    if (admitted instanceof Promise) {
      admitted.then((settled) => this.#admitted(settled)).catch((cause: unknown) => this.fault(cause));
    } else this.#admitted(admitted);
  }

  #admitted(admitted: Result<Admission, Denial>): void {
    if (this.#phase.at !== 'admitting') {
      // The client left, or the deadline passed, while its credential was verified.
      if (admitted.ok) admitted.value.lease.settle();
      return;
    }
    if (!admitted.ok) return this.#turnAway(admitted.error);
    const { head, method, lease } = admitted.value;
    const unreadable = method.readsModel ? whyUnreadable(head) : undefined;
    if (unreadable !== undefined) {
      lease.settle();
      return this.refuse(this.#trail.fail('inspect', deny(unreadable)).error);
    }
    if (this.#timeoutMicros === 0) {
      lease.settle();
      return this.refuse({ kind: 'deadline_exceeded', timeoutMs: 0 });
    }
    this.#admission = admitted.value;
    this.#phase = { at: 'open', admission: admitted.value };
    this.#request.begin(admitted.value, this.#services.limits);
  }

  /** What is no gRPC gets the answer that HTTP gives, and when HTTP gives it: its request is heard out, unless that is long. */
  #turnAway(denial: Denial): void {
    if (denial.kind !== 'content_type_unsupported' || this.#stream.remoteEnded) return this.refuse(denial);
    this.#request.stop();
    this.#phase = { at: 'hearing', denial };
  }

  // --- the client's stream

  onHeaders(_stream: Stream, _block: HeaderBlock, endStream: boolean): void {
    // gRPC clients send no trailers; what some proxy added is not passed on, only the end that it stands for.
    if (endStream) this.onData(_stream, NOTHING, true);
  }

  onData(_stream: Stream, chunk: Buffer, endStream: boolean): void {
    this.#requestBytes += chunk.length;
    this.#held.requestArrived(chunk.length);
    this.#services.arrived(chunk.length);
    if (!this.#request.push(chunk, endStream)) this.#held.requestTaken(chunk.length);
    const heardOut = endStream || this.#requestBytes > MAX_HEARD_BYTES;
    if (heardOut && this.#phase.at === 'hearing') this.refuse(this.#phase.denial);
  }

  onWritten(_stream: Stream, bytes: number): void {
    // At the call's end everything was given back at once.
    if (this.#phase.at !== 'done') this.#held.responseWritten(bytes, this.#leg);
  }

  unfinishedMessage(): number | undefined {
    return this.#phase.at === 'hearing' ? 0 : this.#request.unfinished;
  }

  onLocalEnd(): void {
    const phase = this.#phase;
    if (phase.at === 'ending')
      this.#finish(phase.denial === undefined ? 'ok' : outcomeOf(phase.denial), phase.status, phase.denial);
  }

  onReset(_stream: Stream, cause: ResetCause): void {
    this.#leg?.cancel();
    const detail = describeReset(cause);
    const phase = this.#phase;
    // Who leaves before it has read its refusal was refused all the same.
    if (phase.at === 'ending' && phase.denial !== undefined)
      this.#finishUndelivered(phase.denial, phase.status, detail);
    else if (phase.at === 'hearing') this.#finishUndelivered(phase.denial, trailersOnly(phase.denial).status, detail);
    else this.#finish(cause.by === 'us' ? 'failed' : 'cancelled', GrpcStatus.CANCELLED, undefined, detail);
  }

  expire(): void {
    this.#watch = undefined;
    const late = this.#lateness();
    const ending = this.#phase.at === 'ending' ? this.#phase : undefined;
    this.refuse(late);
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
      this.refuse(denial);
    } catch {
      this.#stream.reset(ErrorCode.INTERNAL_ERROR);
      this.#finishUndelivered(denial, GrpcStatus.INTERNAL, 'the reply failed');
    }
  }

  // --- the request's way

  permit(admission: Admission, message: { readonly model: string; readonly version: string }): Result<Permit, Denial> {
    return permitMessage(admission, message, this.#tenant.gates, this.#trail);
  }

  leg(admission: Admission): UpstreamLeg | undefined {
    if (this.#phase.at !== 'open') return undefined;
    if (this.#leg === undefined) {
      this.#legFrom = this.#services.now();
      const leg = UpstreamLeg.open(admission.permit, admission.lease, this.#tenant.pool, this.boundary);
      this.#leg = leg;
    }
    return this.#leg;
  }

  // --- the model server's side

  upstreamHeaders(): HeaderBlock {
    const admission = this.#admission;
    if (admission === undefined) throw new Error('an upstream stream without an admission');
    const { head, caller } = admission;
    const passed = this.#services.now() - this.#trail.startedAt;
    return upstreamHeaders({
      head,
      authority: this.#tenant.config.upstream.authority,
      scheme: this.#tenant.config.upstream.tls === undefined ? 'http' : 'https',
      peer: this.#peer,
      caller,
      timeoutMicros: this.#timeoutMicros === undefined ? undefined : Math.max(1, this.#timeoutMicros - passed),
      traceparent: this.#trail.upstreamTraceparent(),
    });
  }

  onRequestTaken(bytes: number): void {
    this.#held.requestTaken(bytes);
  }

  onResponseHeaders(block: HeaderBlock, endStream: boolean): void {
    if (this.#phase.at !== 'open') return;
    const response = readResponse(block, endStream, this.#headersSent, this.#tenant.config.upstream.display);
    if (response.kind === 'informational') return;
    if (response.kind === 'invalid') {
      this.#leg?.reject(response.denial);
      return this.refuse(response.denial);
    }
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
    this.#services.arrived(chunk.length);
    this.#response.push(chunk);
    this.#stream.sendData(chunk, false);
    if (endStream) {
      const upstream = this.#tenant.config.upstream.display;
      this.refuse({ kind: 'upstream_protocol', upstream, why: 'the response ended without trailers' });
    }
  }

  onLegFailed(denial: Denial): void {
    // A model server that gives up at the deadline may be a little sooner than our own clock looks again.
    const gaveUp = denial.kind === 'upstream_protocol' && denial.resetCode === ErrorCode.CANCEL;
    this.refuse(gaveUp && this.#isLate() ? this.#lateness() : denial);
  }

  // --- the end

  /** The model server's own answer: pass its trailers on. */
  #end(trailers: HeaderBlock, status: number): void {
    this.#phase = { at: 'ending', denial: undefined, status };
    this.#request.stop();
    if (this.#legFrom !== undefined) this.#trail.upstream(this.#legFrom, status === GrpcStatus.OK ? 'pass' : 'fail');
    this.#leg?.finish();
    this.#stream.sendHeaders(trailers, true);
    if (!this.#stream.remoteEnded) this.#stream.refuseRest();
  }

  /** Our answer instead of the model server's. */
  refuse(denial: Denial): void {
    if (this.#phase.at === 'ending' || this.#phase.at === 'done') return;
    if (this.#legFrom !== undefined) this.#trail.upstream(this.#legFrom, 'fail');
    this.#request.stop();
    this.#leg?.cancel();
    const tenant = this.#trail.caller?.tenant.id ?? '';
    const reply = this.#headersSent ? trailersFor(denial, tenant) : trailersOnly(denial, tenant);
    this.#phase = { at: 'ending', denial, status: reply.status };
    this.#reply(reply);
    if (!this.#stream.remoteEnded) this.#stream.refuseRest();
  }

  #reply({ block, body }: StatusReply): void {
    this.#stream.sendHeaders(block, body === undefined);
    if (body === undefined) return;
    this.#held.responseArrived(body.length);
    this.#stream.sendData(body, true);
  }

  #finish(outcome: CallRecord['outcome'], status: number, denial: Denial | undefined, detail?: string): void {
    if (this.#phase.at === 'done') return;
    if (this.#phase.at === 'open' && this.#legFrom !== undefined) this.#trail.upstream(this.#legFrom, 'fail');
    this.#phase = { at: 'done' };
    this.#admission?.lease.settle();
    if (this.#watch !== undefined) this.#services.deadlines.forget(this.#watch);
    this.#ended();
    try {
      this.#request.stop();
      this.#held.giveBack(this.#leg);
    } finally {
      this.#writeRecord(outcome, status, denial, detail);
    }
  }

  /** The reply was decided and did not reach the client. */
  #finishUndelivered(denial: Denial, status: number, why: string): void {
    this.#finish(outcomeOf(denial), status, denial, `${describe(denial)} (not delivered: ${why})`.trimStart());
  }

  #isLate(): boolean {
    return this.#timeoutMicros !== undefined && this.#services.now() >= this.#trail.startedAt + this.#timeoutMicros;
  }

  #lateness(): Denial {
    return { kind: 'deadline_exceeded', timeoutMs: (this.#timeoutMicros ?? 0) / 1000 };
  }

  #isDone(): boolean {
    return this.#phase.at === 'done';
  }

  #writeRecord(
    outcome: CallRecord['outcome'],
    status: number,
    denial: Denial | undefined,
    detail: string | undefined,
  ): void {
    const record = this.#trail.record({
      outcome,
      grpcStatus: status,
      reason: denial?.kind ?? (outcome === 'ok' ? '' : outcome),
      detail: detail ?? (denial === undefined ? '' : describe(denial)),
      requestBytes: this.#requestBytes,
      responseBytes: this.#response.bytes,
      requestMessages: this.#request.messages,
      responseMessages: this.#response.messages,
      upstream: this.#legFrom === undefined ? '' : this.#tenant.config.upstream.display,
      path: this.#path,
    });
    this.#services.append(record);
    this.#services.count(record);
  }
}

const NOTHING = Buffer.alloc(0);
/** What is read and dropped of a request that is no gRPC. */
const MAX_HEARD_BYTES = 64 * 1024;
