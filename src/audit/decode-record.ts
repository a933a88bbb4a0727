/** A frame's payload back into the record it was made from. */
import { isUtf8 } from 'node:buffer';
import type { EpochMicros } from '../kernel/ids.ts';
import { err, ok, type Result } from '../kernel/result.ts';
import { CallView, PROXY_TEXT, readU64, readVarint, TEXT } from './call-view.ts';
import {
  FLAG_CLIENT_TRACE_IS_PARENT,
  FLAG_CONSUMED,
  FLAG_PROXIED,
  FLAG_SAMPLED,
  FLAG_TENANT_VERIFIED,
  GATES,
  MAX_TEXT_CHARS,
  OUTCOMES,
  RECORD_CALL,
  RECORD_EVENT,
  RECORD_REFUSAL,
  SHADOW_VERDICTS,
  VERDICTS,
} from './codec.ts';
import type { AuditRecord, CallRecord, GateRecord } from './record.ts';

/** Decodes a payload. Tolerates nothing: the error says what the encoder would never have written. */
export function decodeRecord(payload: Buffer): Result<AuditRecord, string> {
  switch (payload[0]) {
    case RECORD_CALL:
      return decodeCall(payload);
    case RECORD_REFUSAL:
      return decodeRefusal(payload);
    case RECORD_EVENT:
      return decodeEvent(payload);
    default:
      return err('unknown record type');
  }
}

function decodeCall(payload: Buffer): Result<CallRecord, string> {
  const view = new CallView();
  const problem = view.read(payload, 0, payload.length);
  if (problem !== undefined) return err(problem);
  for (const [index, start] of view.textStart.entries()) {
    if (!isUtf8(payload.subarray(start, view.textEnd[index]))) return err('text is not UTF-8');
  }
  if (!isUtf8(payload.subarray(view.shadowStart, view.shadowEnd))) return err('text is not UTF-8');
  return ok({
    type: 'call',
    startedAt: epochMicros(view.startedAt),
    durationMicros: view.durationMicros,
    tenant: view.text(TEXT.tenant),
    tenantVerified: (view.flags & FLAG_TENANT_VERIFIED) !== 0,
    caller: view.text(TEXT.caller),
    peerAddress: view.text(TEXT.peerAddress),
    peerPort: view.peerPort,
    ...((view.flags & FLAG_PROXIED) === 0 ? {} : { proxyAddress: view.text(PROXY_TEXT) }),
    certificateSha256: view.certificateAt === 0 ? '' : hex(payload, view.certificateAt, 32),
    method: view.text(TEXT.method),
    methodOriginal: view.text(TEXT.methodOriginal),
    model: view.text(TEXT.model),
    modelVersion: view.text(TEXT.modelVersion),
    outcome: OUTCOMES[view.outcome] ?? 'failed',
    grpcStatus: view.grpcStatus,
    reason: view.text(TEXT.reason),
    rule: view.text(TEXT.rule),
    detail: view.text(TEXT.detail),
    ...shadowOf(view),
    requestBytes: view.requestBytes,
    responseBytes: view.responseBytes,
    requestMessages: view.requestMessages,
    responseMessages: view.responseMessages,
    ...consumedOf(view),
    upstream: view.text(TEXT.upstream),
    traceId: idText(payload, view.traceIdAt, 16),
    spanId: idText(payload, view.spanIdAt, 8),
    upstreamSpanId: idText(payload, view.upstreamSpanIdAt, 8),
    sampled: (view.flags & FLAG_SAMPLED) !== 0,
    clientTrace:
      view.clientTraceAt === 0
        ? undefined
        : {
            traceId: idText(payload, view.clientTraceAt, 16),
            spanId: idText(payload, view.clientTraceAt + 16, 8),
            as: (view.flags & FLAG_CLIENT_TRACE_IS_PARENT) === 0 ? 'link' : 'parent',
          },
    gates: gatesOf(view),
    generation: view.generation,
  });
}

function shadowOf({ bytes, shadow, shadowStart, shadowEnd }: CallView): Pick<CallRecord, 'shadow'> {
  const verdict = SHADOW_VERDICTS[shadow - 1];
  return verdict === undefined ? {} : { shadow: { verdict, rule: bytes.toString('utf8', shadowStart, shadowEnd) } };
}

function consumedOf(view: CallView): Pick<CallRecord, 'consumed'> {
  if ((view.flags & FLAG_CONSUMED) === 0) return {};
  const { tensorElements, inputTokens, outputTokens, computeMicros } = view;
  return { consumed: { tensorElements, inputTokens, outputTokens, computeMicros } };
}

function gatesOf(view: CallView): readonly GateRecord[] {
  const gates: GateRecord[] = [];
  for (let i = 0; i < view.gateCount; i++) {
    const code = view.gateCode[i] ?? 0;
    gates.push({
      gate: GATES[code >> 2] ?? 'identify',
      fromMicros: view.gateFrom[i] ?? 0,
      toMicros: view.gateTo[i] ?? 0,
      verdict: VERDICTS[code & 3] ?? 'fail',
    });
  }
  return gates;
}

function decodeRefusal(payload: Buffer): Result<AuditRecord, string> {
  const at = readU64(payload, 1);
  const count = readVarint(payload, 9, payload.length);
  if (payload.length < 10 || at === undefined || count === undefined) return err('a number is malformed');
  const texts = decodeTexts(payload, count.end, 5);
  if (!texts.ok) return texts;
  const [reason = '', serverName = '', tenantClaim = '', peerAddress = '', detail = ''] = texts.value;
  return ok({
    type: 'refusal',
    at: epochMicros(at),
    reason,
    serverName,
    tenantClaim,
    peerAddress,
    detail,
    count: count.value,
  });
}

function decodeEvent(payload: Buffer): Result<AuditRecord, string> {
  const at = readU64(payload, 1);
  if (payload.length < 9 || at === undefined) return err('a number is malformed');
  const texts = decodeTexts(payload, 9, 2);
  if (!texts.ok) return texts;
  const [event = '', detail = ''] = texts.value;
  return ok({ type: 'event', at: epochMicros(at), event, detail });
}

function decodeTexts(payload: Buffer, start: number, count: number): Result<readonly string[], string> {
  const texts: string[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const length = readVarint(payload, at, payload.length);
    if (length === undefined || length.value > MAX_TEXT_CHARS * 3 || length.end + length.value > payload.length) {
      return err('a number or text is malformed');
    }
    const bytes = payload.subarray(length.end, length.end + length.value);
    if (!isUtf8(bytes)) return err('text is not UTF-8');
    texts.push(bytes.toString('utf8'));
    at = length.end + length.value;
  }
  return at === payload.length ? ok(texts) : err('bytes after the record');
}

function hex(bytes: Buffer, at: number, length: number): string {
  return bytes.toString('hex', at, at + length);
}

/** All zero stands for an id that there is not. */
function idText(bytes: Buffer, at: number, length: number): string {
  const text = hex(bytes, at, length);
  return /[^0]/.test(text) ? text : '';
}

function epochMicros(value: number): EpochMicros {
  // A brand is given by whoever read the value from where it was written as one: here, the record.
  return value as EpochMicros;
}
