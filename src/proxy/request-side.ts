/**
 * A call's request on its way through: held while the call is being admitted or a gzip message is being inflated, inspected as
 * it streams, and handed to the upstream leg under the evidence that each piece of it needs.
 */

import type { Permit } from '../authz/authorizer.ts';
import type { LimitsConfig } from '../config/generation.ts';
import { MessageInspector } from '../inspection/message-inspector.ts';
import type { Denial } from '../kernel/denial.ts';
import type { Result } from '../kernel/result.ts';
import type { Admission } from './pipeline.ts';
import type { UpstreamLeg } from './upstream-leg.ts';

/** The call. */
export interface RequestSideOwner {
  /** Decides on the message whose end the inspector has reached. */
  permit(admission: Admission, message: { readonly model: string; readonly version: string }): Result<Permit, Denial>;
  /** The way upstream, opened when first asked for; undefined when it is closed. */
  leg(admission: Admission): UpstreamLeg | undefined;
  refuse(denial: Denial): void;
  /** Something threw where nobody else would catch it. */
  fault(cause: unknown): void;
}

interface Held {
  readonly chunk: Buffer;
  readonly endStream: boolean;
}

/** Where the request stands. */
type State =
  | { readonly at: 'held' }
  | { readonly at: 'flowing'; readonly admission: Admission; readonly inspector: MessageInspector }
  /** A gzip message's end is here, its verdict is not. */
  | { readonly at: 'inflating'; readonly admission: Admission; readonly inspector: MessageInspector }
  | { readonly at: 'stopped' };

export class RequestSide {
  readonly #owner: RequestSideOwner;
  readonly #held: Held[] = [];
  #state: State = { at: 'held' };
  #inspector: MessageInspector | undefined;

  constructor(owner: RequestSideOwner) {
    this.#owner = owner;
  }

  /** Whole messages seen. */
  get messages(): number {
    return this.#inspector?.messages ?? 0;
  }

  /** The call is admitted: what was held flows, and what comes after it. */
  begin(admission: Admission, limits: LimitsConfig): void {
    // Where no message is read, whatever compresses them is between client and server.
    const encoding = admission.head.encoding === 'identity' ? 'identity' : 'gzip';
    const inspector = new MessageInspector(admission.method, encoding, limits);
    this.#inspector = inspector;
    this.#state = { at: 'flowing', admission, inspector };
    this.#resume();
  }

  /** Takes what the client sent. Returns false when the request is no longer wanted. */
  push(chunk: Buffer, endStream: boolean): boolean {
    const state = this.#state;
    if (state.at === 'stopped') return false;
    if (state.at === 'flowing') this.#inspect(state.admission, state.inspector, chunk, endStream);
    else this.#held.push({ chunk, endStream });
    return true;
  }

  /** Nothing more goes upstream. */
  stop(): void {
    this.#state = { at: 'stopped' };
    this.#held.length = 0;
    this.#inspector?.close();
  }

  #resume(): void {
    for (;;) {
      const state = this.#state;
      const next = state.at === 'flowing' ? this.#held.shift() : undefined;
      if (state.at !== 'flowing' || next === undefined) return;
      this.#inspect(state.admission, state.inspector, next.chunk, next.endStream);
    }
  }

  #inspect(admission: Admission, inspector: MessageInspector, chunk: Buffer, endStream: boolean): void {
    if (chunk.length === 0 && !endStream) return;
    let offset = 0;
    let permit: Permit | undefined;
    while (offset < chunk.length) {
      const step = inspector.scan(chunk, offset);
      if (step === 'more') break;
      if (step === 'reject') return this.#owner.refuse(inspector.denial ?? { kind: 'internal', cause: 'no denial' });
      if (step === 'inflating') {
        if (permit !== undefined) this.#owner.leg(admission)?.sendMessage(permit, chunk.subarray(0, offset), false);
        return this.#await(admission, inspector, { chunk: chunk.subarray(offset), endStream });
      }
      const verdict = this.#owner.permit(admission, inspector);
      if (!verdict.ok) return this.#owner.refuse(verdict.error);
      permit = verdict.value;
      offset = inspector.end;
    }
    const left = endStream ? inspector.finish() : undefined;
    if (left !== undefined) return this.#owner.refuse(left);
    const leg = this.#owner.leg(admission);
    if (leg === undefined) return;
    if (permit === undefined) {
      if (chunk.length > 0) leg.sendPart(chunk);
      else leg.sendEnd(admission.permit);
      return;
    }
    const whole = offset === chunk.length;
    leg.sendMessage(permit, whole ? chunk : chunk.subarray(0, offset), whole && endStream);
    if (!whole) leg.sendPart(chunk.subarray(offset));
  }

  /** What stands before the message's end may go on; the rest waits for the verdict. */
  #await(admission: Admission, inspector: MessageInspector, rest: Held): void {
    this.#state = { at: 'inflating', admission, inspector };
    this.#held.unshift(rest);
    const resume = (): void => {
      if (this.#state.at !== 'inflating') return;
      this.#state = { at: 'flowing', admission, inspector };
      this.#resume();
    };
    (inspector.ready ?? Promise.resolve()).then(resume).catch((cause: unknown) => this.#owner.fault(cause));
  }
}
