/**
 * One call of a tenant's client: admitted through the pipeline, its request inspected and sent on under the evidence that each piece
 * of it needs. How it is relayed, and how it ends, is in `relayed-call.ts` and `ending-call.ts`.
 */

import type { HeaderBlock, Stream } from '../http2/contract.ts';
import type { Peer } from '../identity/peer.ts';
import type { ModelTarget, RequestedModels } from '../inspection/message-inspector.ts';
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
import { PermittedModels } from './permitted-models.ts';
import {
  type Admission,
  type Admitted,
  admit,
  begin,
  type Candidate,
  permitMessage,
  type Queued,
  readmit,
  recheck,
} from './pipeline.ts';
import { RelayedCall } from './relayed-call.ts';
import { whyUnreadable } from './request-head.ts';
import { RequestSide, type RequestSideOwner } from './request-side.ts';
import type { ResponseToll } from './response-toll.ts';
import type { TenantRuntime } from './tenant-runtime.ts';
import { Trail } from './trail.ts';
import type { Applicant, Seat } from './turn-queue.ts';
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

export class Call extends RelayedCall<UpstreamLeg> implements RequestSideOwner, BillOwner, Applicant {
  readonly #tenant: TenantRuntime;
  readonly #peer: Peer;
  readonly #host: CallHost;
  readonly #request = new RequestSide(this);
  #admission: Admission | undefined;
  /** It waits for its turn. */
  #queued: Queued | undefined;
  /** A message of it has been permitted. */
  #underWay = false;
  /** What limits count of it beside itself. */
  #bill: CallBill | undefined;
  /** What its last message was allowed. */
  #permitted: ModelTarget | undefined;
  /** What else its messages were allowed; undefined: nothing. */
  #others: PermittedModels | undefined;
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
    const { gates, turns } = this.#tenant;
    const { maxDeadlineMs } = this.services.limits;
    const waiting = turns && { turns, applicant: this, maxDeadlineMs };
    const admitted = admit(block, this.#peer, gates, this.trail, waiting);
    this.limitTime(this.trail.head?.timeoutMicros);
    if (admitted instanceof Promise) {
      admitted.then((settled) => this.#admitted(settled, 'waited')).catch((cause: unknown) => this.fault(cause));
    } else this.#admitted(admitted, 'at once');
  }

  #admitted(admitted: Admitted, how: 'waited' | 'at once'): void {
    if (this.phase.at !== 'beginning') {
      // The client left, or the deadline passed, while its credential was verified.
      if (admitted.ok) giveBack(admitted.value);
      else if (admitted.error === undefined) admitted.ticket.leave();
      return;
    }
    if (!admitted.ok) return admitted.error === undefined ? this.#wait(admitted, how) : this.turnAway(admitted.error);
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

  #wait(queued: Queued, how: 'waited' | 'at once'): void {
    this.#queued = queued;
    this.#host.leased(leaseEnd(this.#leaseTerms(queued.candidate)));
    if (how === 'waited') this.review();
  }

  /** It is its turn. It is judged again first, if something has changed: only then it costs its tenant anything. */
  seated(seat: Seat): void {
    const candidate = this.#queued?.candidate;
    this.#queued = undefined;
    try {
      this.trail.pass('queue');
      const now = candidate === undefined ? undefined : this.#stillWaits(candidate);
      if (now === undefined) return seat.release();
      this.#admitted(begin(now, seat, this.#tenant.gates, this.trail), 'at once');
    } catch (cause) {
      seat.release();
      this.fault(cause);
    }
  }

  unseated(denial: Denial): void {
    this.#queued = undefined;
    try {
      this.refuse(this.trail.fail('queue', deny(denial)).error);
    } catch (cause) {
      this.fault(cause);
    }
  }

  /** A call that waits, as of now; undefined: it may not go on, and has been told. */
  #stillWaits(candidate: Candidate): Candidate | undefined {
    if (this.phase.at !== 'beginning') return undefined;
    const { until, denial } = callLease(this.#leaseTerms(candidate));
    const lost = this.#host.lost() ?? (this.services.now() >= until ? denial : undefined);
    if (lost !== undefined) {
      this.refuse(lost);
      return undefined;
    }
    const tenant = this.#host.tenant();
    if (tenant === this.#judge && tenant.revocationEpoch === this.#judgedAt) return candidate;
    const again = tenant && recheck(candidate, this.#peer, tenant.gates, this.services.now());
    if (tenant === undefined || again?.ok !== true) {
      this.refuse(again?.ok === false ? lostAuthorization(again.error) : LOST_TENANT);
      return undefined;
    }
    this.#judge = tenant;
    this.#judgedAt = tenant.revocationEpoch;
    this.#host.leased(leaseEnd(this.#leaseTerms(again.value)));
    return again.value;
  }

  /** Who waits has begun nothing that could be let end. */
  override lapse(denial: Denial): void {
    if (this.#queued === undefined) super.lapse(denial);
    else this.refuse(denial);
  }

  #leaveQueue(): void {
    const queued = this.#queued;
    this.#queued = undefined;
    queued?.ticket.leave();
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
    // What never left cost the model server nothing.
    this.#bill?.settle(this.#request.missingBytes, failed || !this.upstreamTook);
    this.#admission?.lease.settle();
    const { gates, config } = this.#tenant;
    if (failedWith !== undefined && this.#admission !== undefined && config.quota.refund?.includes(failedWith) === true)
      gates.refund(this.#admission.lease);
    this.trail.consumed = this.#bill?.consumed;
    // Last: whoever is next finds the tenant's own limit free.
    this.#admission?.seat.release();
    this.#host.ended();
  }

  override get lease(): CallLease | undefined {
    const admitted = this.#admission ?? this.#queued?.candidate;
    return admitted === undefined ? undefined : callLease(this.#leaseTerms(admitted));
  }

  #leaseTerms({ caller, permit }: Candidate): LeaseTerms {
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
    const queued = this.#queued;
    if (queued !== undefined) {
      const candidate = this.#stillWaits(queued.candidate);
      if (candidate !== undefined) this.#queued = { ...queued, candidate };
      return;
    }
    const admission = this.#admission;
    if (admission === undefined || this.phase.at === 'done') return;
    const lost = this.#host.lost();
    if (lost !== undefined) return this.lapse(lost);
    const tenant = this.#host.tenant();
    if (tenant === undefined) return this.lapse(LOST_TENANT);
    if (tenant === this.#judge && tenant.revocationEpoch === this.#judgedAt) return;
    const again = readmit(admission, this.#models(), this.#peer, tenant.gates, this.services.now());
    if (!again.ok) return this.lapse(lostAuthorization(again.error));
    this.#judge = tenant;
    this.#judgedAt = tenant.revocationEpoch;
    this.#admission = again.value.admission;
    this.#permitUntil = again.value.permitUntil;
    this.#host.leased(leaseEnd(this.#leaseTerms(this.#admission)));
  }

  // --- the request's way

  protected takeRequest(chunk: Buffer, endStream: boolean): boolean {
    return this.#request.push(chunk, endStream);
  }

  protected stopRequest(): void {
    this.#request.stop();
    if (this.#queued !== undefined) this.#leaveQueue();
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
    this.#note(message, verdict.value);
    this.#underWay = true;
    if (verdict.value.until < this.#permitUntil) {
      this.#permitUntil = verdict.value.until;
      this.#host.leased(this.#permitUntil);
    }
    return verdict;
  }

  #note({ model, version, further }: RequestedModels, permit: ModelTarget): void {
    const before = this.#permitted;
    this.#permitted = permit;
    const isOther = before !== undefined && (before.model !== model || before.version !== version);
    if (!isOther && further.length === 0) return;
    this.#others ??= new PermittedModels();
    if (isOther) this.#others.keep(before);
    for (const target of further) this.#others.keep(target);
  }

  #models(): readonly ModelTarget[] {
    const last = this.#permitted === undefined ? [] : [this.#permitted];
    return this.#others === undefined ? last : [...this.#others.all, ...last];
  }

  requestGrew(bytes: number): void {
    this.held.requestGrew(bytes);
  }

  openLeg(admission: Admission): UpstreamLeg | undefined {
    if (this.phase.at !== 'open') return undefined;
    if (this.leg === undefined) {
      this.legBegins();
      this.leg = UpstreamLeg.open(admission.permit, admission.seat, admission.lease, this.#tenant.pool, this.boundary);
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

/** In this order: whoever is next finds the tenant's own limit free. */
function giveBack({ lease, seat }: Admission): void {
  lease.settle();
  seat.release();
}

const NOTHING = Buffer.alloc(0);
