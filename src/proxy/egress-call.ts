/**
 * One call of this pod's own programs, sent on to the ingress as it is. How it is relayed, and how it ends, is in `relayed-call.ts`
 * and `ending-call.ts`.
 */
import type { HeaderBlock, Stream } from '../http2/contract.ts';
import { MessageCounter } from '../inspection/message-counter.ts';
import type { Denial } from '../kernel/denial.ts';
import type { CallServices } from './call-services.ts';
import { egressHeaders } from './egress-headers.ts';
import { EgressLeg } from './egress-leg.ts';
import type { EgressMethods } from './egress-methods.ts';
import type { EgressRuntime } from './egress-runtime.ts';
import { RelayedCall } from './relayed-call.ts';
import { parseRequestHead } from './request-head.ts';
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

export class EgressCall extends RelayedCall<EgressLeg> {
  readonly #host: EgressCallHost;
  readonly #request = new MessageCounter();

  constructor(host: EgressCallHost, stream: Stream, block: HeaderBlock) {
    const { services, runtime, peer } = host;
    const { tenant, listen, upstream } = runtime.config;
    const trail = new Trail({
      tenantId: tenant,
      peer,
      generation: services.generation,
      // The client is a program of our own pod: its trace is ours.
      clientContext: 'parent',
      sampleRatio: services.sampleRatio,
      now: services.now,
      callerByConfiguration: `egress:${listen}`,
    });
    super({ services, account: runtime.account, trail, upstream: upstream.display }, stream, block);
    this.#host = host;
  }

  /** Begins the call. Separate from construction: the stream must know its owner before it can be answered. */
  begin(block: HeaderBlock, endStream: boolean): void {
    const { services, runtime, methods } = this.#host;
    const refusing = services.refusing();
    if (refusing !== undefined) return this.refuse(refusing);
    const parsed = parseRequestHead(block);
    if (!parsed.ok) {
      this.trail.headMalformed(block);
      return this.turnAway(parsed.error);
    }
    const head = parsed.value;
    this.trail.head = head;
    this.trail.method = methods.known(head.fullName);
    this.limitTime(head.timeoutMicros);
    if (this.hasNoTime) return this.refuse(this.lateness());
    this.opened();
    this.legBegins();
    this.leg = new EgressLeg(runtime.pool, this.boundary, endStream);
    this.leg.open();
  }

  protected settle(): void {
    this.#host.ended();
  }

  protected verifiedTenant(): string {
    return this.#host.runtime.config.tenant;
  }

  // --- the request's way

  protected takeRequest(chunk: Buffer, endStream: boolean): boolean {
    this.#request.push(chunk);
    if (this.phase.at !== 'open') return false;
    this.leg?.send(chunk, endStream);
    return true;
  }

  protected stopRequest(): void {
    // Nothing of it waits here.
  }

  /** Without a table of methods it cannot be known that a call has but one message: only within one must its client go on. */
  protected unfinishedRequest(): number | undefined {
    return this.phase.at !== 'open' || this.#request.atBoundary ? undefined : this.#request.messages;
  }

  protected requestMessages(): number {
    return this.#request.messages;
  }

  upstreamHeaders(): HeaderBlock {
    const { head } = this.trail;
    if (head === undefined || this.phase.at !== 'open')
      throw new Error('an upstream stream of a call that is not open');
    return egressHeaders({
      head,
      upstream: this.#host.runtime.config.upstream,
      timeoutMicros: this.leftMicros(),
      traceparent: this.trail.upstreamTraceparent(),
    });
  }

  /**
   * The ingress's refusal of a stream that it never looked at is handed on as it is: only the client has the request's bytes, and a
   * gRPC client repeats such a call by itself (gRFC A6, transparent retries).
   */
  override onLegFailed(denial: Denial): void {
    if (this.leg?.untouched === true && !this.headersSent && this.phase.at === 'open') this.handBack(denial);
    else super.onLegFailed(denial);
  }
}
