/**
 * One call of a tenant's client: admitted through the pipeline, its request inspected and sent on under the evidence that each piece
 * of it needs. How it is relayed, and how it ends, is in `relayed-call.ts` and `ending-call.ts`.
 */

import type { Permit } from '../authz/authorizer.ts';
import type { HeaderBlock, Stream } from '../http2/contract.ts';
import type { Peer } from '../identity/peer.ts';
import type { RequestedModels } from '../inspection/message-inspector.ts';
import { ResponseNames } from '../inspection/response-names.ts';
import { type Denial, deny } from '../kernel/denial.ts';
import type { EpochMicros } from '../kernel/ids.ts';
import type { Result } from '../kernel/result.ts';
import type { ChargedPermit } from '../quota/quota-gate.ts';
import { withAnnouncement } from './announcement.ts';
import { type BillOwner, CallBill } from './call-bill.ts';
import { type CallLease, callLease, type LeaseTerms, leaseEnd } from './call-lease.ts';
import type { CallServices } from './call-services.ts';
import type { Deadlines } from './deadlines.ts';
import { LOST_TENANT, lostAuthorization } from './lost-authorization.ts';
import { type Admission, admit, permitMessage, readmit } from './pipeline.ts';
import { RelayedCall } from './relayed-call.ts';
import { whyUnreadable } from './request-head.ts';
import { RequestSide, type RequestSideOwner } from './request-side.ts';
import type { ResponseToll } from './response-toll.ts';
import type { TenantRuntime } from './tenant-runtime.ts';
import { Trail } from './trail.ts';
import { upstreamHeaders } from './upstream-headers.ts';
import { UpstreamLeg } from './upstream-leg.ts';

/** What a call needs of its connection. */
export interface CallHost {
  /** Its lease ends then, in microseconds; Infinity: never. */
  leased(until: number): void;
  /** Its tenant as of now; undefined: it is configured no more. */
  tenant(): TenantRuntime | undefined;
  /** What its connection was let in by does not count any more; undefined: it does. */
  lost(): Denial | undefined;
  /** It is over. */
  ended(): void;
}

export class Call extends RelayedCall<UpstreamLeg> implements RequestSideOwner, BillOwner {
  readonly #tenant: TenantRuntime;
  readonly #peer: Peer;
  readonly #host: CallHost;
  readonly #request = new RequestSide(this);
  #admission: Admission | undefined;
  /** A message of it has been permitted. */
  #underWay = false;
  /** What limits count of it beside itself. */
  #bill: CallBill | undefined;
  /** What its last message was allowed. */
  #permitted: Permit | undefined;
  /** Until when the roles that its messages needed may be used. */
  #permitUntil = Number.POSITIVE_INFINITY;
  /** By whose gates it was last judged, and what had been revoked by then. */
  #judge: TenantRuntime;
  #judgedAt: number;

  constructor(
    services: CallServices,
    tenant: TenantRuntime,
    peer: Peer,
    stream: Stream,
    block: HeaderBlock,
    host: CallHost,
  ) {
    const { account, config } = tenant;
    const trail = new Trail({
      tenantId: config.id,
      peer,
      generation: services.generation,
      clientContext: config.trace.clientContext,
      sampleRatio: services.sampleRatio,
      now: services.now,
    });
    super({ services, account, trail, upstream: config.upstream.display }, stream, block);
    this.#tenant = tenant;
    this.#peer = peer;
    this.#host = host;
    this.#judge = tenant;
    this.#judgedAt = tenant.revocationEpoch;
  }

  /** Begins the call. Separate from construction: the stream must know its owner before it can be answered. */
  begin(block: HeaderBlock, endStream: boolean): void {
    if (endStream) this.#request.push(NOTHING, true);
    const refusing = this.services.refusing();
    if (refusing !== undefined) return this.refuse(refusing);
    const admitted = admit(block, this.#peer, this.#tenant.gates, this.trail);
    this.limitTime(this.trail.head?.timeoutMicros);
    if (admitted instanceof Promise) {
      admitted.then((settled) => this.#admitted(settled, 'waited')).catch((cause: unknown) => this.fault(cause));
    } else this.#admitted(admitted, 'at once');
  }

  #admitted(admitted: Result<Admission, Denial>, how: 'waited' | 'at once'): void {
    if (this.phase.at !== 'beginning') {
      // The client left, or the deadline passed, while its credential was verified.
      if (admitted.ok) admitted.value.lease.settle();
      return;
    }
    if (!admitted.ok) return this.turnAway(admitted.error);
    this.#admission = admitted.value;
    const { head, method } = admitted.value;
    const unreadable = method.readsModel || method.names !== undefined ? whyUnreadable(head) : undefined;
    if (unreadable !== undefined) return this.refuse(this.trail.fail('inspect', deny(unreadable)).error);
    if (this.hasNoTime) return this.refuse(this.lateness());
    this.opened();
    this.#host.leased(leaseEnd(this.#leaseTerms(admitted.value)));
    if (how === 'waited') this.#lookAgain();
    if (this.isOpen()) this.#beginRequest(this.#admission);
  }

  protected override get namesResponse(): boolean {
    return this.#admission?.method.responses !== undefined;
  }

  protected override responseNames(): ResponseNames | undefined {
    const method = this.#admission?.method;
    return method && ResponseNames.of(method, this.held);
  }

  /** Before anything of it goes on: what it was admitted by may have been taken back, or have ended, while its credential was verified. */
  #lookAgain(): void {
    this.review();
    const { lease } = this;
    if (lease !== undefined && this.services.now() >= lease.until) this.lapse(lease.denial);
  }

  /** Its bytes are counted where it was reserved. */
  #beginRequest(admission: Admission): void {
    this.#bill = CallBill.of(this.#tenant.gates, admission, this.#tenant.config.quota, this);
    this.#request.begin(admission, this.services.limits, this.held, this.#bill?.requestToll);
  }

  now(): EpochMicros {
    return this.services.now();
  }

  get deadlines(): Deadlines {
    return this.services.deadlines;
  }

  unpaid(denial: Denial): Denial {
    return this.trail.fail('reserve', deny(denial)).error;
  }

  exhausted(denial: Denial): void {
    this.boundary.lapse(this.#whileItRuns(denial));
  }

  protected override announced(block: HeaderBlock): HeaderBlock {
    const { announce } = this.#tenant.gates;
    const admission = this.#admission;
    if (announce === undefined || admission === undefined) return block;
    return withAnnouncement(block, announce(admission.lease, admission.caller, this.services.now()));
  }

  protected override get responseToll(): ResponseToll | undefined {
    return this.#bill?.responseToll;
  }

  /** A call that has got somewhere does not end amid a message for want of quota, and is told what it has used. */
  override refuse(denial: Denial): void {
    if (denial.kind !== 'quota_exhausted' || !this.#underWay) return super.refuse(denial);
    this.lapse(this.#whileItRuns(denial));
  }

  #whileItRuns(denial: Denial): Denial {
    if (denial.kind !== 'quota_exhausted') return denial;
    const { exhausted } = denial;
    const { requestBytes } = this;
    const responseBytes = this.response.bytes;
    const consumed = this.#bill?.consumed;
    return {
      kind: 'quota_exhausted_mid_stream',
      exhausted,
      requestBytes,
      responseBytes,
      ...(consumed && { consumed }),
    };
  }

  protected override responded(block: HeaderBlock): void {
    this.#bill?.metadata(block);
  }

  protected override upstreamEnded(): void {
    this.#bill?.upstreamEnded();
  }

  protected settle(failed: boolean, failedWith: number | undefined): void {
    this.#bill?.settle(this.#request.missingBytes, failed);
    this.#admission?.lease.settle();
    const { gates, config } = this.#tenant;
    if (failedWith !== undefined && this.#admission !== undefined && config.quota.refund?.includes(failedWith) === true)
      gates.refund(this.#admission.lease);
    this.trail.consumed = this.#bill?.consumed;
    this.#host.ended();
  }

  override get lease(): CallLease | undefined {
    return this.#admission === undefined ? undefined : callLease(this.#leaseTerms(this.#admission));
  }

  #leaseTerms({ caller, permit }: Admission): LeaseTerms {
    return {
      caller,
      startedAt: this.trail.startedAt,
      maxMs: this.#judge.config.leaseMs,
      permitUntil: Math.min(permit.until, this.#permitUntil),
    };
  }

  protected verifiedTenant(): string {
    return this.trail.caller?.tenant.id ?? '';
  }

  /** Judges a call that runs again, if its tenant's configuration or what is revoked is another than when it was last judged. */
  override review(): void {
    const admission = this.#admission;
    if (admission === undefined || this.phase.at === 'done') return;
    const lost = this.#host.lost();
    if (lost !== undefined) return this.lapse(lost);
    const tenant = this.#host.tenant();
    if (tenant === undefined) return this.lapse(LOST_TENANT);
    if (tenant === this.#judge && tenant.revocationEpoch === this.#judgedAt) return;
    const again = readmit(admission, this.#permitted, this.#peer, tenant.gates, this.services.now());
    if (!again.ok) return this.lapse(lostAuthorization(again.error));
    this.#judge = tenant;
    this.#judgedAt = tenant.revocationEpoch;
    this.#admission = again.value.admission;
    this.#permitted = again.value.permitted;
    this.#permitUntil = this.#permitted?.until ?? Number.POSITIVE_INFINITY;
    this.#host.leased(leaseEnd(this.#leaseTerms(this.#admission)));
  }

  // --- the request's way

  protected takeRequest(chunk: Buffer, endStream: boolean): boolean {
    return this.#request.push(chunk, endStream);
  }

  protected stopRequest(): void {
    this.#request.stop();
  }

  protected unfinishedRequest(): number | undefined {
    return this.#request.unfinished;
  }

  protected requestMessages(): number {
    return this.#request.messages;
  }

  permit(admission: Admission, message: RequestedModels): Result<ChargedPermit, Denial> {
    const demands = this.#bill?.message(message);
    const verdict = permitMessage(this.#admission ?? admission, message, this.#judge.gates, this.trail, demands);
    if (!verdict.ok) return verdict;
    if (demands !== undefined) this.#bill?.permitted(demands, message);
    this.#permitted = verdict.value;
    this.#underWay = true;
    if (verdict.value.until < this.#permitUntil) {
      this.#permitUntil = verdict.value.until;
      this.#host.leased(this.#permitUntil);
    }
    return verdict;
  }

  requestGrew(bytes: number): void {
    this.held.requestGrew(bytes);
  }

  openLeg(admission: Admission): UpstreamLeg | undefined {
    if (this.phase.at !== 'open') return undefined;
    if (this.leg === undefined) {
      this.legBegins();
      this.leg = UpstreamLeg.open(admission.permit, admission.lease, this.#tenant.pool, this.boundary);
    }
    return this.leg;
  }

  upstreamHeaders(): HeaderBlock {
    const admission = this.#admission;
    if (admission === undefined) throw new Error('an upstream stream without an admission');
    const { head, caller } = admission;
    const { authority, tls } = this.#tenant.config.upstream;
    return upstreamHeaders({
      head,
      authority,
      scheme: tls === undefined ? 'http' : 'https',
      peer: this.#peer,
      caller,
      timeoutMicros: this.leftMicros(),
      traceparent: this.trail.upstreamTraceparent(),
      plainResponse: this.namesResponse || this.#bill?.readsResponse === true,
    });
  }
}

const NOTHING = Buffer.alloc(0);
