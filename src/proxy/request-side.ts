/**
 * A call's request on its way through: held while the call is being admitted or a gzip message is being inflated, inspected as
 * it streams, and handed to the upstream leg under the evidence that each piece of it needs.
 */

import type { LimitsConfig } from '../config/generation.ts';
import { SendQueue } from '../http2/send-queue.ts';
import { MessageInspector, type MessageToll, type RequestedModels } from '../inspection/message-inspector.ts';
import type { MessageRewrite } from '../inspection/message-rewrite.ts';
import type { Denial } from '../kernel/denial.ts';
import type { Result } from '../kernel/result.ts';
import type { Standing } from '../kernel/standing.ts';
import type { ChargedPermit } from '../quota/quota-gate.ts';
import type { Admission } from './pipeline.ts';
import type { UpstreamLeg } from './upstream-leg.ts';

/** The call. */
export interface RequestSideOwner {
  /** Decides on the message whose end the inspector has reached. */
  permit(admission: Admission, message: RequestedModels): Result<ChargedPermit, Denial>;
  /** The way upstream, opened when first asked for; undefined when it is closed. */
  openLeg(admission: Admission): UpstreamLeg | undefined;
  /** So many bytes more go on than came, or fewer. */
  requestGrew(bytes: number): void;
  refuse(denial: Denial): void;
  /** Something threw where nobody else would catch it. */
  fault(cause: unknown): void;
}

/** Where the request stands. */
type State =
  | { readonly at: 'held' }
  | { readonly at: 'flowing'; readonly admission: Admission; readonly inspector: MessageInspector }
  /** A gzip message's end is here, its verdict is not. */
  | { readonly at: 'inflating'; readonly admission: Admission; readonly inspector: MessageInspector }
  /** All of it has gone on. What read it is let go: the answer may be long in coming. */
  | { readonly at: 'whole' }
  | { readonly at: 'stopped' };

const WHOLE: State = { at: 'whole' };

export class RequestSide {
  readonly #owner: RequestSideOwner;
  /** What waits. Small pieces are copied together: a flood of tiny frames costs no more memory than the account says. */
  #held: SendQueue | undefined;
  /** Comes before what is held: the piece in which a gzip message ends. */
  #rest: Buffer | undefined;
  /** The client's END_STREAM is behind what is held. */
  #heldEnd = false;
  #state: State = { at: 'held' };
  #inspector: MessageInspector | undefined;
  /** When all has been inspected. */
  #messages = 0;

  constructor(owner: RequestSideOwner) {
    this.#owner = owner;
  }

  /** Whole messages seen. */
  get messages(): number {
    return this.#inspector?.messages ?? this.#messages;
  }

  /** Bytes of the message under way that have not come. */
  get missingBytes(): number {
    return this.#inspector?.missingBytes ?? 0;
  }

  /** Which message the caller must go on with; undefined when it may be silent, or it is we who are at work. */
  get unfinished(): number | undefined {
    return this.#state.at === 'flowing' ? this.#state.inspector.unfinished : undefined;
  }

  /** The call is admitted: what was held flows, and what comes after it. `standing` pays for what inspecting it takes, `toll` takes the messages’ bytes. */
  begin(admission: Admission, limits: LimitsConfig, standing?: Standing, toll?: MessageToll): void {
    // Where no message is read, whatever compresses them is between client and server.
    const encoding = admission.head.encoding === 'identity' ? 'identity' : 'gzip';
    const inspector = new MessageInspector(admission.method, encoding, limits, standing, toll);
    this.#inspector = inspector;
    this.#state = { at: 'flowing', admission, inspector };
    this.#resume();
  }

  /** Takes what the client sent. Returns false when the request is no longer wanted. */
  push(chunk: Buffer, endStream: boolean): boolean {
    const state = this.#state;
    if (state.at === 'stopped') return false;
    if (state.at === 'flowing') this.#inspect(state.admission, state.inspector, chunk, endStream);
    else if (state.at !== 'whole') this.#hold(chunk, endStream);
    return true;
  }

  /** Nothing more goes upstream. */
  stop(): void {
    this.#state = { at: 'stopped' };
    this.#held?.clear();
    this.#rest = undefined;
    this.#inspector?.close();
  }

  #hold(chunk: Buffer, endStream: boolean): void {
    if (endStream) this.#heldEnd = true;
    if (chunk.length > 0) (this.#held ??= new SendQueue()).pushData(chunk);
  }

  #resume(): void {
    for (;;) {
      const state = this.#state;
      if (state.at !== 'flowing') return;
      const next = this.#rest ?? this.#held?.takeData(this.#held.firstBytes) ?? NOTHING;
      this.#rest = undefined;
      const ends = this.#heldEnd && this.#held?.isEmpty !== false;
      if (next.length === 0 && !ends) return;
      if (ends) this.#heldEnd = false;
      this.#inspect(state.admission, state.inspector, next, ends);
    }
  }

  #inspect(admission: Admission, inspector: MessageInspector, chunk: Buffer, endStream: boolean): void {
    if (chunk.length === 0 && !endStream) return;
    if (inspector.rewrites) this.#inspectNamed(admission, inspector, chunk, endStream);
    else this.#inspectPlain(admission, inspector, chunk, endStream);
    if (!endStream || this.#state.at !== 'flowing') return;
    this.#messages = inspector.messages;
    inspector.close();
    this.#inspector = undefined;
    this.#state = WHOLE;
  }

  #inspectPlain(admission: Admission, inspector: MessageInspector, chunk: Buffer, endStream: boolean): void {
    let offset = 0;
    let permit: ChargedPermit | undefined;
    while (offset < chunk.length) {
      const step = inspector.scan(chunk, offset);
      if (step === 'more') break;
      if (step === 'reject') return this.#owner.refuse(inspector.denial ?? { kind: 'internal', cause: 'no denial' });
      if (step === 'inflating') {
        if (permit !== undefined) this.#owner.openLeg(admission)?.sendMessage(permit, chunk.subarray(0, offset), false);
        return this.#await(admission, inspector, chunk.subarray(offset), endStream);
      }
      const verdict = this.#owner.permit(admission, inspector);
      if (!verdict.ok) return this.#owner.refuse(verdict.error);
      permit = verdict.value;
      offset = inspector.end;
    }
    const left = endStream ? inspector.finish() : undefined;
    if (left !== undefined) return this.#owner.refuse(left);
    const leg = this.#owner.openLeg(admission);
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

  /** The same where messages have names in them: what goes on is what they were rewritten to. */
  #inspectNamed(admission: Admission, inspector: MessageInspector, chunk: Buffer, endStream: boolean): void {
    let offset = 0;
    while (offset < chunk.length) {
      const step = inspector.scan(chunk, offset);
      if (step === 'reject') return this.#owner.refuse(inspector.denial ?? { kind: 'internal', cause: 'no denial' });
      // The end of a message may be among what it has put out.
      if (step === 'inflating') return this.#await(admission, inspector, chunk.subarray(offset), endStream);
      if (step === 'more') {
        this.#sendRewritten(admission, inspector.rewrite, chunk.length - offset, undefined, false);
        break;
      }
      const verdict = this.#owner.permit(admission, inspector);
      if (!verdict.ok) return this.#owner.refuse(verdict.error);
      const taken = inspector.end - offset;
      offset = inspector.end;
      const ends = endStream && offset === chunk.length;
      const left = ends ? inspector.finish() : undefined;
      if (left !== undefined) return this.#owner.refuse(left);
      this.#sendRewritten(admission, inspector.rewrite, taken, verdict.value, ends);
      if (ends || this.#state.at !== 'flowing') return;
    }
    if (!endStream) return;
    const left = inspector.finish();
    if (left !== undefined) return this.#owner.refuse(left);
    this.#owner.openLeg(admission)?.sendEnd(admission.permit);
  }

  /** Sends what `taken` bytes have become. With a permit, the last piece is the one that ends the message. */
  #sendRewritten(
    admission: Admission,
    rewrite: MessageRewrite | undefined,
    taken: number,
    permit: ChargedPermit | undefined,
    endStream: boolean,
  ): void {
    const only = rewrite?.takeOnly();
    if (only !== undefined) {
      this.#owner.requestGrew(only.length - taken);
      const leg = this.#owner.openLeg(admission);
      if (permit === undefined) leg?.sendPart(only);
      else leg?.sendMessage(permit, only, endStream);
      return;
    }
    const pieces = rewrite?.takeOutput() ?? NONE;
    let growth = -taken;
    for (const piece of pieces) growth += piece.length;
    this.#owner.requestGrew(growth);
    for (let index = 0; index < pieces.length; index++) {
      const [piece, leg] = [pieces[index] ?? NOTHING, this.#owner.openLeg(admission)];
      if (permit === undefined || index < pieces.length - 1) leg?.sendPart(piece);
      else leg?.sendMessage(permit, piece, endStream);
    }
  }

  /** What stands before the message's end may go on; the rest waits for the verdict. */
  #await(admission: Admission, inspector: MessageInspector, rest: Buffer, endStream: boolean): void {
    this.#state = { at: 'inflating', admission, inspector };
    this.#rest = rest;
    if (endStream) this.#heldEnd = true;
    const resume = (): void => {
      if (this.#state.at !== 'inflating') return;
      this.#state = { at: 'flowing', admission, inspector };
      this.#resume();
    };
    (inspector.ready ?? Promise.resolve()).then(resume).catch((cause: unknown) => this.#owner.fault(cause));
  }
}

const NOTHING = Buffer.alloc(0);
const NONE: readonly Buffer[] = [];
