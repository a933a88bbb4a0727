/**
 * An egress call's way to the ingress. Unlike `UpstreamLeg` it asks for no evidence: who reaches the listener speaks as its tenant,
 * and it is the ingress that decides. It keeps nothing to be sent again: its client has the request's bytes, and repeats the call.
 */
import type { ResetCause, Stream } from '../http2/contract.ts';
import { Leg, type LegOwner } from './leg.ts';
import { isUntouched } from './stream-death.ts';
import type { UpstreamPool } from './upstream-pool.ts';

export class EgressLeg extends Leg {
  #untouched = false;

  /** `bare`: the request is its headers alone. */
  constructor(pool: UpstreamPool, owner: LegOwner, bare: boolean) {
    super(pool, owner, bare);
  }

  /** True when the leg failed and the ingress has said that it never looked at the call. */
  get untouched(): boolean {
    return this.#untouched;
  }

  /** Asks for a connection. The owner may hear of a failure before this returns. */
  open(): void {
    this.begin();
  }

  override send(chunk: Buffer, endStream: boolean): void {
    super.send(chunk, endStream);
  }

  onWritten(_stream: Stream, bytes: number): void {
    if (!this.closed) this.owner.onRequestTaken(bytes);
  }

  protected leaving(): void {
    // Nothing of it is kept.
  }

  protected answered(): void {
    // Nothing was kept.
  }

  protected revived(cause: ResetCause): boolean {
    this.#untouched = isUntouched(cause);
    return false;
  }
}
