/**
 * A call's spans, straight from its audit record: a SERVER span with an event per gate, a child span for each gate that took
 * time, and the CLIENT span of the upstream leg (OpenTelemetry semantic conventions for gRPC).
 */
import { type CallView, TEXT } from '../audit/call-view.ts';
import {
  FLAG_CLIENT_TRACE,
  FLAG_CLIENT_TRACE_IS_PARENT,
  FLAG_SAMPLED,
  GATES,
  OUTCOMES,
  VERDICTS,
} from '../audit/codec.ts';
import { ATTRIBUTES_OF, blockOf, stringAttribute, textAttribute } from './attributes.ts';
import { CallAttributes, isServerError, KEY } from './call-attributes.ts';
import { StableBlocks } from './call-blocks.ts';
import { statusText } from './names.ts';
import type { OtlpBytes } from './otlp-bytes.ts';

// opentelemetry/proto/trace/v1/trace.proto
const SPANS = 2; // in ScopeSpans
const SPAN = {
  traceId: 1,
  spanId: 2,
  parentSpanId: 4,
  name: 5,
  kind: 6,
  start: 7,
  end: 8,
  events: 11,
  links: 13,
  status: 15,
  flags: 16,
} as const;
const KIND = { internal: 1, server: 2, client: 3 } as const;
const EVENT = { time: 1, name: 2 } as const;
const LINK = { traceId: 1, spanId: 2, flags: 6 } as const;
/** `Status { code = 3: STATUS_CODE_ERROR }` in field 15. */
const ERROR_STATUS = blockOf((out) => {
  const status = out.begin(SPAN.status);
  out.integer(3, 2);
  out.end(status);
});
/** Flags of a span: W3C's sampled, and whether the parent is known to be (256) and is (512) remote. */
export const SAMPLED = 1;
const LOCAL_PARENT = 256;
const REMOTE_PARENT = 256 + 512;

const UPSTREAM_GATE = GATES.indexOf('upstream');
const VERDICT_FAIL = VERDICTS.indexOf('fail');
const OUTCOME_OK = OUTCOMES.indexOf('ok');
const OUTCOME_DENIED = OUTCOMES.indexOf('denied');
const CANCELLED = 1;
/** More than a span's ids, times, kind, flags and one link take. */
const FRAMING_BYTES = 256;

/** Whether a call's spans are exported: those that head sampling chose, and whatever did not end well. */
export function isTraced(view: CallView): boolean {
  return hasTrace(view) && ((view.flags & FLAG_SAMPLED) !== 0 || view.outcome !== OUTCOME_OK);
}

/** Whether a call has a trace id; all zero is none. */
export function hasTrace(view: CallView): boolean {
  return !isZero(view.bytes, view.traceIdAt, 16);
}

export class SpanWriter {
  readonly #attributes = new CallAttributes(ATTRIBUTES_OF.span);
  /** Per gate and verdict: an event's name and attribute. */
  readonly #events: readonly Buffer[] = gateBlocks((out, gate, verdict) => {
    out.stringField(EVENT.name, `bulkhead.gate.${gate}`);
    stringAttribute(out, ATTRIBUTES_OF.spanEvent, KEY.gateVerdict, verdict);
  });
  /** Per gate and verdict: a child span's name, kind and attribute. */
  readonly #gates: readonly Buffer[] = gateBlocks((out, gate, verdict) => {
    out.stringField(SPAN.name, `bulkhead.gate.${gate}`);
    out.integer(SPAN.kind, KIND.internal);
    stringAttribute(out, ATTRIBUTES_OF.span, KEY.gateVerdict, verdict);
  });
  readonly #clientEnds: (Buffer | undefined)[] = [];
  readonly #clientTexts = new StableBlocks(writeClientTexts, MAX_CLIENT_BLOCKS);

  /** Appends a call's spans as `ScopeSpans.spans`; returns how many. */
  write(out: OtlpBytes, view: CallView): number {
    if (!isTraced(view)) return 0;
    this.#server(out, view);
    let spans = 1;
    for (let i = 0; i < view.gateCount; i++) {
      const from = view.gateFrom[i] ?? 0;
      const to = view.gateTo[i] ?? 0;
      if ((view.gateCode[i] ?? 0) >> 2 === UPSTREAM_GATE) {
        if (this.#client(out, view, i, from, to)) spans++;
      } else if (to > from) {
        this.#gate(out, view, i, from, to);
        spans++;
      }
    }
    return spans;
  }

  #server(out: OtlpBytes, view: CallView): void {
    const { bytes } = view;
    out.reserve(FRAMING_BYTES + textLength(view, TEXT.method) + view.gateCount * MAX_EVENT_BYTES);
    const span = out.begin(SPANS);
    out.bytesField(SPAN.traceId, bytes, view.traceIdAt, view.traceIdAt + 16);
    out.bytesField(SPAN.spanId, bytes, view.spanIdAt, view.spanIdAt + 8);
    const isChild = (view.flags & FLAG_CLIENT_TRACE_IS_PARENT) !== 0;
    const client = view.clientTraceAt;
    if (isChild) out.bytesField(SPAN.parentSpanId, bytes, client + 16, client + 24);
    this.#name(out, view);
    out.integer(SPAN.kind, KIND.server);
    out.nanos(SPAN.start, view.startedAt);
    out.nanos(SPAN.end, view.startedAt + view.durationMicros);
    for (let i = 0; i < view.gateCount; i++) {
      const event = out.begin(SPAN.events);
      out.nanos(EVENT.time, view.startedAt + (view.gateTo[i] ?? 0));
      out.block(blockAt(this.#events, view.gateCode[i]));
      out.end(event);
    }
    if ((view.flags & FLAG_CLIENT_TRACE) !== 0 && !isChild) {
      const link = out.begin(SPAN.links);
      out.bytesField(LINK.traceId, bytes, client, client + 16);
      out.bytesField(LINK.spanId, bytes, client + 16, client + 24);
      out.fixed32(LINK.flags, REMOTE_PARENT);
      out.end(link);
    }
    if (isServerError(view.grpcStatus)) out.block(ERROR_STATUS);
    out.fixed32(SPAN.flags, SAMPLED | (isChild ? REMOTE_PARENT : LOCAL_PARENT));
    this.#attributes.write(out, view);
    out.end(span);
  }

  /** The upstream leg. Its id is the one that the model server was told, so what that server traces hangs below it. */
  #client(out: OtlpBytes, view: CallView, index: number, from: number, to: number): boolean {
    const { bytes } = view;
    if (isZero(bytes, view.upstreamSpanIdAt, 8)) return false;
    // A denial after the upstream leg began means that we cancelled it.
    const status = view.outcome === OUTCOME_DENIED ? CANCELLED : view.grpcStatus;
    const failed = status !== 0 || ((view.gateCode[index] ?? 0) & 3) === VERDICT_FAIL;
    out.reserve(2 * FRAMING_BYTES + textLength(view, TEXT.method));
    const span = out.begin(SPANS);
    out.bytesField(SPAN.traceId, bytes, view.traceIdAt, view.traceIdAt + 16);
    out.bytesField(SPAN.spanId, bytes, view.upstreamSpanIdAt, view.upstreamSpanIdAt + 8);
    out.bytesField(SPAN.parentSpanId, bytes, view.spanIdAt, view.spanIdAt + 8);
    this.#name(out, view);
    out.integer(SPAN.kind, KIND.client);
    out.nanos(SPAN.start, view.startedAt + from);
    out.nanos(SPAN.end, view.startedAt + to);
    if (failed) out.block(ERROR_STATUS);
    out.fixed32(SPAN.flags, SAMPLED | LOCAL_PARENT);
    const end = this.#clientEnd(status, failed);
    const texts = this.#clientTexts.of(view);
    out.reserve(end.length + texts.length);
    out.block(end);
    out.block(texts);
    out.end(span);
    return true;
  }

  #clientEnd(status: number, failed: boolean): Buffer {
    const index = status * 2 + (failed ? 1 : 0);
    let block = this.#clientEnds[index];
    if (block === undefined) {
      const name = statusText(status);
      block = blockOf((out) => {
        stringAttribute(out, ATTRIBUTES_OF.span, KEY.rpcSystemName, 'grpc');
        stringAttribute(out, ATTRIBUTES_OF.span, KEY.rpcResponseStatusCode, name);
        stringAttribute(out, ATTRIBUTES_OF.span, KEY.rpcStatusCode, name);
        if (failed) stringAttribute(out, ATTRIBUTES_OF.span, KEY.errorType, name);
      });
      this.#clientEnds[index] = block;
    }
    return block;
  }

  #gate(out: OtlpBytes, view: CallView, index: number, from: number, to: number): void {
    const { bytes } = view;
    out.reserve(FRAMING_BYTES + MAX_EVENT_BYTES);
    const span = out.begin(SPANS);
    out.bytesField(SPAN.traceId, bytes, view.traceIdAt, view.traceIdAt + 16);
    this.#childId(out, view, index);
    out.bytesField(SPAN.parentSpanId, bytes, view.spanIdAt, view.spanIdAt + 8);
    out.nanos(SPAN.start, view.startedAt + from);
    out.nanos(SPAN.end, view.startedAt + to);
    out.fixed32(SPAN.flags, SAMPLED | LOCAL_PARENT);
    out.block(blockAt(this.#gates, view.gateCode[index]));
    out.end(span);
  }

  /**
   * A gate's span id is made from the server span's, so that a record delivered twice has the same spans both times. The
   * sixth byte on is changed by more than zero, so it is never the server span's own.
   */
  #childId(out: OtlpBytes, view: CallView, index: number): void {
    const at = view.spanIdAt;
    CHILD_ID.set(view.bytes.subarray(at, at + 8));
    CHILD_ID[6] = (CHILD_ID[6] ?? 0) ^ 0xa5;
    CHILD_ID[7] = (CHILD_ID[7] ?? 0) ^ (index + 1);
    out.bytesField(SPAN.spanId, CHILD_ID, 0, 8);
  }

  #name(out: OtlpBytes, view: CallView): void {
    const start = view.textStart[TEXT.method] ?? 0;
    const end = view.textEnd[TEXT.method] ?? 0;
    // `_OTHER` is a value of the attribute; a span of an unknown method is just `grpc`.
    if (view.bytes[start] === UNDERSCORE) out.block(UNKNOWN_METHOD_NAME);
    else out.bytesField(SPAN.name, view.bytes, start, end);
  }
}

const CLIENT_TEXTS = [
  [KEY.rpcMethod, TEXT.method],
  [KEY.serverAddress, TEXT.upstream],
  [KEY.tenantId, TEXT.tenant],
  [KEY.modelName, TEXT.model],
  [KEY.modelVersion, TEXT.modelVersion],
] as const;
/** Different callers, models, … whose block of a client span is kept. */
const MAX_CLIENT_BLOCKS = 1_024;

function writeClientTexts(out: OtlpBytes, { bytes, textStart, textEnd }: CallView): void {
  for (const [key, text] of CLIENT_TEXTS)
    textAttribute(out, ATTRIBUTES_OF.span, key, bytes, textStart[text] ?? 0, textEnd[text] ?? 0);
}

const CHILD_ID = Buffer.alloc(8);
const UNDERSCORE = 0x5f;
const UNKNOWN_METHOD_NAME = blockOf((out) => out.stringField(SPAN.name, 'grpc'));

function gateBlocks(write: (out: OtlpBytes, gate: string, verdict: string) => void): readonly Buffer[] {
  const blocks: Buffer[] = [];
  for (const [gateNumber, gate] of GATES.entries()) {
    for (const [verdictNumber, verdict] of VERDICTS.entries()) {
      blocks[gateNumber * 4 + verdictNumber] = blockOf((out) => write(out, gate, verdict));
    }
  }
  return blocks;
}

/** A gate's event or child span takes less. */
const MAX_EVENT_BYTES = 160;
const EMPTY = Buffer.alloc(0);

function blockAt(blocks: readonly Buffer[], code: number | undefined): Buffer {
  return blocks[code ?? 0] ?? EMPTY;
}

function textLength(view: CallView, text: number): number {
  return (view.textEnd[text] ?? 0) - (view.textStart[text] ?? 0);
}

function isZero(bytes: Buffer, at: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (bytes[at + i] !== 0) return false;
  return true;
}
