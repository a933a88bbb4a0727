/**
 * The attributes that a call's span and its audit log have in common, as ready blocks.
 *
 * Two kinds of block serve nearly every call without writing an attribute: one for what a call's end can be (status, outcome,
 * verified or not), and one for who called what (tenant, caller, model, …), which is recognised by its run of bytes in the
 * record.
 */
import { type CallView, PROXY_TEXT, TEXT } from '../audit/call-view.ts';
import { FLAG_PROXIED, FLAG_TENANT_VERIFIED, OUTCOMES, SHADOW_VERDICTS } from '../audit/codec.ts';
import {
  AttributeKey,
  blockOf,
  booleanAttribute,
  integerAttribute,
  stringAttribute,
  textAttribute,
} from './attributes.ts';
import { NumberBlocks, StableBlocks } from './call-blocks.ts';
import { ATTRIBUTE, statusText } from './names.ts';
import type { OtlpBytes } from './otlp-bytes.ts';

export const KEY = Object.freeze(
  Object.fromEntries(Object.entries(ATTRIBUTE).map(([name, text]) => [name, new AttributeKey(text)])),
) as Readonly<Record<keyof typeof ATTRIBUTE, AttributeKey>>;

/** SERVER spans are errors only for these (gRPC semantic conventions): a refusal that works as meant is none. */
const SERVER_ERRORS: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);

export function isServerError(status: number): boolean {
  return SERVER_ERRORS.has(status);
}

/** Writes a call's common attributes under one field number (a span's or a log's). */
export class CallAttributes {
  readonly #field: number;
  readonly #ends: (Buffer | undefined)[] = [];
  readonly #stable = new StableBlocks((out, view) => this.#writeStable(out, view));
  readonly #numbers = new NumberBlocks((out, view) => this.#writeNumbers(out, view));

  constructor(field: number) {
    this.#field = field;
  }

  write(out: OtlpBytes, view: CallView): void {
    const field = this.#field;
    const end = this.#end(view);
    const stable = this.#stable.of(view);
    out.reserve(end.length + stable.length);
    out.block(end);
    out.block(stable);
    this.#numbers.write(out, view);
    this.#text(out, view, KEY.rpcMethodOriginal, TEXT.methodOriginal);
    this.#text(out, view, KEY.decisionReason, TEXT.reason);
    this.#text(out, view, KEY.decisionDetail, TEXT.detail);
    if ((view.flags & FLAG_PROXIED) !== 0) this.#text(out, view, KEY.proxyAddress, PROXY_TEXT);
    const verdict = SHADOW_VERDICTS[view.shadow - 1];
    if (verdict === undefined) return;
    stringAttribute(out, field, KEY.shadowDecision, verdict);
    textAttribute(out, field, KEY.shadowRule, view.bytes, view.shadowStart, view.shadowEnd);
  }

  #text(out: OtlpBytes, view: CallView, key: AttributeKey, text: number): void {
    textAttribute(out, this.#field, key, view.bytes, view.textStart[text] ?? 0, view.textEnd[text] ?? 0);
  }

  #end(view: CallView): Buffer {
    const verified = view.flags & FLAG_TENANT_VERIFIED;
    const index = (view.grpcStatus * OUTCOMES.length + view.outcome) * 2 + verified;
    let block = this.#ends[index];
    if (block === undefined) {
      block = endBlock(this.#field, view.grpcStatus, OUTCOMES[view.outcome] ?? 'failed', verified !== 0);
      this.#ends[index] = block;
    }
    return block;
  }

  #writeNumbers(out: OtlpBytes, view: CallView): void {
    const field = this.#field;
    integerAttribute(out, field, KEY.peerPort, view.peerPort);
    integerAttribute(out, field, KEY.requestBytes, view.requestBytes);
    integerAttribute(out, field, KEY.responseBytes, view.responseBytes);
    integerAttribute(out, field, KEY.requestMessages, view.requestMessages);
    integerAttribute(out, field, KEY.responseMessages, view.responseMessages);
    integerAttribute(out, field, KEY.generation, view.generation);
  }

  #writeStable(out: OtlpBytes, view: CallView): void {
    this.#text(out, view, KEY.tenantId, TEXT.tenant);
    this.#text(out, view, KEY.callerId, TEXT.caller);
    this.#text(out, view, KEY.peerAddress, TEXT.peerAddress);
    this.#text(out, view, KEY.rpcMethod, TEXT.method);
    this.#text(out, view, KEY.modelName, TEXT.model);
    this.#text(out, view, KEY.modelVersion, TEXT.modelVersion);
    this.#text(out, view, KEY.decisionRule, TEXT.rule);
    this.#text(out, view, KEY.upstream, TEXT.upstream);
    if (view.certificateAt !== 0) {
      const hex = view.bytes.toString('hex', view.certificateAt, view.certificateAt + 32);
      stringAttribute(out, this.#field, KEY.certificateSha256, hex);
    }
  }
}

function endBlock(field: number, status: number, outcome: (typeof OUTCOMES)[number], verified: boolean): Buffer {
  const name = statusText(status);
  return blockOf((out) => {
    stringAttribute(out, field, KEY.rpcSystemName, 'grpc');
    stringAttribute(out, field, KEY.rpcResponseStatusCode, name);
    stringAttribute(out, field, KEY.rpcStatusCode, name);
    if (isServerError(status)) stringAttribute(out, field, KEY.errorType, name);
    booleanAttribute(out, field, KEY.tenantVerified, verified);
    stringAttribute(out, field, KEY.decision, outcome === 'denied' ? 'deny' : 'allow');
    stringAttribute(out, field, KEY.outcome, outcome);
  });
}
