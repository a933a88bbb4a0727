/**
 * A record as bytes: the payload of one frame of a segment.
 *
 * Written once per call on the data path, read by the telemetry thread, `audit show` and tests. So the encoder writes
 * straight into the caller's buffer, and everything that repeats from call to call (tenant, caller, method, …) lies in one
 * run of bytes, which lets a reader recognise it without taking it apart. The decoder accepts only what the encoder can
 * have written.
 *
 *     call     1, flags, outcome, status, startedAt u64, trace id 16, span id 8, upstream span id 8,
 *              [client trace id 16, client span id 8],
 *              varints: duration, port, request bytes, response bytes, request messages, response messages, generation,
 *              gates (count, then each: gate × 4 + verdict, from, length),
 *              what seldom changes: [certificate SHA-256 32], texts: tenant, caller, peer address, method, model, version, rule, upstream,
 *              other texts: method as sent, reason, detail, [proxy address], [verdict in shadow, its rule as a text],
 *              [varints: tensor elements, input tokens, output tokens, compute microseconds]
 *     refusal  2, at u64, count varint, texts: reason, server name, tenant claim, peer address, detail
 *     event    3, at u64, texts: event, detail
 *
 * Integers are little-endian, varints as in protobuf (below 2^53), texts UTF-8 with their length as a varint.
 */
import type { AuditRecord, CallRecord, EventRecord, GateName, GateRecord, RefusalRecord } from './record.ts';
import { StableRuns } from './stable-runs.ts';

/** Characters of one text that are kept; the rest is cut. Keeps every record below `MAX_PAYLOAD_BYTES`. */
export const MAX_TEXT_CHARS = 1024;

/** Gates of one call that are kept. */
export const MAX_GATES = 32;

/** More than the longest payload: 13 texts of 3 × 1024 + 2 bytes, 32 gates of 17, and the numbers. */
export const MAX_PAYLOAD_BYTES = 40 * 1024;

export const RECORD_CALL = 1;
export const RECORD_REFUSAL = 2;
export const RECORD_EVENT = 3;

export const FLAG_TENANT_VERIFIED = 1;
export const FLAG_SAMPLED = 2;
export const FLAG_CLIENT_TRACE = 4;
export const FLAG_CLIENT_TRACE_IS_PARENT = 8;
export const FLAG_CERTIFICATE = 16;
export const FLAG_PROXIED = 32;
/** Rules in shadow would have decided otherwise. */
export const FLAG_SHADOW = 64;
/** More was counted of it than the call and its bytes. */
export const FLAG_CONSUMED = 128;

export const OUTCOMES = ['ok', 'denied', 'failed', 'cancelled'] as const satisfies readonly CallRecord['outcome'][];
export const GATES = [
  'identify',
  'authenticate',
  'authorize',
  'reserve',
  'inspect',
  'upstream',
  // Numbers are what is on disk: this one comes after `authorize` and was the last to be added.
  'queue',
] as const satisfies readonly GateName[];
export const SHADOW_VERDICTS = ['allow', 'deny'] as const;
export const VERDICTS = ['pass', 'deny', 'fail'] as const satisfies readonly GateRecord['verdict'][];

/**
 * Writes a record at `at` and returns where it ends. The target must have `MAX_PAYLOAD_BYTES` left. Ids must be hex digits
 * of their length, or empty; numbers are cut to integers from 0 to 2^53 - 1.
 */
export function encodeRecord(record: AuditRecord, target: Buffer, at: number): number {
  switch (record.type) {
    case 'call':
      return encodeCall(record, target, at);
    case 'refusal':
      return encodeRefusal(record, target, at);
    case 'event':
      return encodeEvent(record, target, at);
  }
}

function encodeCall(record: CallRecord, target: Buffer, at: number): number {
  const { clientTrace: client, shadow, consumed } = record;
  target[at] = RECORD_CALL;
  target[at + 1] =
    (record.tenantVerified ? FLAG_TENANT_VERIFIED : 0) |
    (record.sampled ? FLAG_SAMPLED : 0) |
    (client === undefined ? 0 : FLAG_CLIENT_TRACE | (client.as === 'parent' ? FLAG_CLIENT_TRACE_IS_PARENT : 0)) |
    (hasCertificate(record) ? FLAG_CERTIFICATE : 0) |
    (record.proxyAddress === undefined ? 0 : FLAG_PROXIED) |
    (shadow === undefined ? 0 : FLAG_SHADOW) |
    (consumed === undefined ? 0 : FLAG_CONSUMED);
  target[at + 2] = outcomeNumber(record.outcome);
  target[at + 3] = record.grpcStatus;
  writeU64(target, at + 4, record.startedAt);
  writeHex(target, at + 12, record.traceId, 16);
  writeHex(target, at + 28, record.spanId, 8);
  writeHex(target, at + 36, record.upstreamSpanId, 8);
  let end = at + 44;
  if (client !== undefined) {
    writeHex(target, end, client.traceId, 16);
    writeHex(target, end + 16, client.spanId, 8);
    end += 24;
  }
  end = writeVarint(target, end, record.durationMicros);
  end = writeVarint(target, end, record.peerPort);
  end = writeVarint(target, end, record.requestBytes);
  end = writeVarint(target, end, record.responseBytes);
  end = writeVarint(target, end, record.requestMessages);
  end = writeVarint(target, end, record.responseMessages);
  end = writeVarint(target, end, record.generation);
  end = writeGates(target, end, record.gates);
  end = stableRuns.write(record, target, end);
  end = writeText(target, end, record.methodOriginal);
  end = writeText(target, end, record.reason);
  end = writeText(target, end, record.detail);
  if (record.proxyAddress !== undefined) end = writeText(target, end, record.proxyAddress);
  if (shadow !== undefined) {
    target[end] = shadow.verdict === 'allow' ? 0 : 1;
    end = writeText(target, end + 1, shadow.rule);
  }
  if (consumed === undefined) return end;
  end = writeVarint(target, end, consumed.tensorElements);
  end = writeVarint(target, end, consumed.inputTokens);
  end = writeVarint(target, end, consumed.outputTokens);
  return writeVarint(target, end, consumed.computeMicros);
}

function hasCertificate(record: CallRecord): boolean {
  return record.certificateSha256.length === 64;
}

function writeStableRun(record: CallRecord, target: Buffer, at: number): number {
  let end = at;
  if (hasCertificate(record)) {
    writeHex(target, end, record.certificateSha256, 32);
    end += 32;
  }
  end = writeText(target, end, record.tenant);
  end = writeText(target, end, record.caller);
  end = writeText(target, end, record.peerAddress);
  end = writeText(target, end, record.method);
  end = writeText(target, end, record.model);
  end = writeText(target, end, record.modelVersion);
  end = writeText(target, end, record.rule);
  return writeText(target, end, record.upstream);
}

const stableRuns = new StableRuns(writeStableRun);

function encodeRefusal(record: RefusalRecord, target: Buffer, at: number): number {
  target[at] = RECORD_REFUSAL;
  writeU64(target, at + 1, record.at);
  let end = writeVarint(target, at + 9, record.count);
  end = writeText(target, end, record.reason);
  end = writeText(target, end, record.serverName);
  end = writeText(target, end, record.tenantClaim);
  end = writeText(target, end, record.peerAddress);
  return writeText(target, end, record.detail);
}

function encodeEvent(record: EventRecord, target: Buffer, at: number): number {
  target[at] = RECORD_EVENT;
  writeU64(target, at + 1, record.at);
  return writeText(target, writeText(target, at + 9, record.event), record.detail);
}

function writeGates(target: Buffer, at: number, gates: readonly GateRecord[]): number {
  const count = Math.min(gates.length, MAX_GATES);
  target[at] = count;
  let end = at + 1;
  for (let i = 0; i < count; i++) {
    const gate = gates[i];
    if (gate === undefined) break;
    target[end] = gateNumber(gate.gate) * 4 + verdictNumber(gate.verdict);
    end = writeVarint(target, end + 1, gate.fromMicros);
    end = writeVarint(target, end, gate.toMicros - gate.fromMicros);
  }
  return end;
}

// Comparisons instead of `indexOf`: these run for every gate of every call.
function gateNumber(gate: GateName): number {
  switch (gate) {
    case 'identify':
      return 0;
    case 'authenticate':
      return 1;
    case 'authorize':
      return 2;
    case 'reserve':
      return 3;
    case 'inspect':
      return 4;
    case 'upstream':
      return 5;
    case 'queue':
      return 6;
  }
}

function verdictNumber(verdict: GateRecord['verdict']): number {
  return verdict === 'pass' ? 0 : verdict === 'deny' ? 1 : 2;
}

function outcomeNumber(outcome: CallRecord['outcome']): number {
  return outcome === 'ok' ? 0 : outcome === 'denied' ? 1 : outcome === 'failed' ? 2 : 3;
}

function writeText(target: Buffer, at: number, text: string): number {
  if (text.length === 0) {
    target[at] = 0;
    return at + 1;
  }
  const kept = text.length > MAX_TEXT_CHARS ? text.slice(0, MAX_TEXT_CHARS) : text;
  const bytes = target.write(kept, at + 1, kept.length * 3);
  if (bytes < 0x80) {
    target[at] = bytes;
    return at + 1 + bytes;
  }
  // The length needs a second byte after all: move the text by one.
  target.copyWithin(at + 2, at + 1, at + 1 + bytes);
  return writeVarint(target, at, bytes) + bytes;
}

/** Writes an unsigned varint (protobuf's base 128) and returns where it ends. */
export function writeVarint(target: Uint8Array, at: number, value: number): number {
  let rest = clampInteger(value);
  let end = at;
  while (rest > 0x7fffffff) {
    target[end++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest > 0x7f) {
    target[end++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[end] = rest;
  return end + 1;
}

function clampInteger(value: number): number {
  if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) return Math.floor(value);
  return value > 0 ? Number.MAX_SAFE_INTEGER : 0;
}

/** Writes an unsigned integer below 2^53 into eight bytes, little-endian. */
export function writeU64(target: Uint8Array, at: number, value: number): void {
  const whole = clampInteger(value);
  let low = whole >>> 0;
  let high = Math.floor(whole / 0x1_0000_0000);
  for (let i = 0; i < 4; i++) {
    target[at + i] = low & 0xff;
    target[at + 4 + i] = high & 0xff;
    low >>>= 8;
    high >>>= 8;
  }
}

function writeHex(target: Uint8Array, at: number, hex: string, bytes: number): void {
  if (hex.length !== bytes * 2) {
    target.fill(0, at, at + bytes);
    return;
  }
  for (let i = 0; i < bytes; i++) {
    const high = NIBBLE[hex.charCodeAt(2 * i) & 0x7f] ?? 0;
    const low = NIBBLE[hex.charCodeAt(2 * i + 1) & 0x7f] ?? 0;
    target[at + i] = (high << 4) | low;
  }
}

const NIBBLE = new Uint8Array(128);
for (let digit = 0; digit < 16; digit++) {
  NIBBLE[digit.toString(16).charCodeAt(0)] = digit;
  NIBBLE[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}
