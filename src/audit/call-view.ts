/**
 * A call's payload taken apart into numbers and offsets, without making a string or an object per field. One view is used
 * over and over: `read` points it at the next payload.
 *
 * This is also the decoder's judge: `read` accepts only what `codec.ts` can have written.
 */
import {
  FLAG_CERTIFICATE,
  FLAG_CLIENT_TRACE,
  FLAG_CLIENT_TRACE_IS_PARENT,
  FLAG_CONSUMED,
  FLAG_PROXIED,
  FLAG_SHADOW,
  GATES,
  MAX_GATES,
  MAX_TEXT_CHARS,
  OUTCOMES,
  RECORD_CALL,
  SHADOW_VERDICTS,
  VERDICTS,
} from './codec.ts';

/** The texts of a call in the order in which they are written. The first eight seldom change from call to call. */
export const CALL_TEXTS = [
  'tenant',
  'caller',
  'peerAddress',
  'method',
  'model',
  'modelVersion',
  'rule',
  'upstream',
  'methodOriginal',
  'reason',
  'detail',
] as const;
export type CallText = (typeof CALL_TEXTS)[number];

/** Index of the text that only the calls have that came by way of a load balancer. */
export const PROXY_TEXT = CALL_TEXTS.length;

/** Index of each text in `CallView.textStart` and `textEnd`. */
export const TEXT = Object.freeze({
  tenant: 0,
  caller: 1,
  peerAddress: 2,
  method: 3,
  model: 4,
  modelVersion: 5,
  rule: 6,
  upstream: 7,
  methodOriginal: 8,
  reason: 9,
  detail: 10,
} satisfies Record<CallText, number>);

export class CallView {
  /** What the offsets below point into. */
  bytes: Buffer = Buffer.alloc(0);
  flags = 0;
  outcome = 0;
  grpcStatus = 0;
  startedAt = 0;
  /** Offset of the 16-byte trace id; the span id and upstream span id follow it. */
  traceIdAt = 0;
  /** Offset of the client's trace id and span id, 0 when there is none. */
  clientTraceAt = 0;
  /** Offset of the certificate's SHA-256, 0 when there is none. */
  certificateAt = 0;
  /** Where what seldom changes begins: the certificate and the first eight texts. It ends with the text `upstream`. */
  stableAt = 0;
  durationMicros = 0;
  peerPort = 0;
  requestBytes = 0;
  responseBytes = 0;
  requestMessages = 0;
  responseMessages = 0;
  generation = 0;
  /** What was counted of it beside the call and its bytes, if `FLAG_CONSUMED`. */
  tensorElements = 0;
  inputTokens = 0;
  outputTokens = 0;
  computeMicros = 0;
  gateCount = 0;
  readonly gateCode = new Uint8Array(MAX_GATES);
  readonly gateFrom = new Float64Array(MAX_GATES);
  readonly gateTo = new Float64Array(MAX_GATES);
  readonly textStart = new Uint32Array(CALL_TEXTS.length + 1);
  readonly textEnd = new Uint32Array(CALL_TEXTS.length + 1);
  /** 1 + the index in `SHADOW_VERDICTS`; 0: rules in shadow agree. */
  shadow = 0;
  /** Where the rule in shadow is written. */
  shadowStart = 0;
  shadowEnd = 0;
  #at = 0;
  #end = 0;

  get spanIdAt(): number {
    return this.traceIdAt + 16;
  }

  get upstreamSpanIdAt(): number {
    return this.traceIdAt + 24;
  }

  /** A text as a string. */
  text(index: number): string {
    return this.bytes.toString('utf8', this.textStart[index], this.textEnd[index]);
  }

  /** Points the view at the payload `bytes[start, end)`; returns what is wrong with it, or undefined. */
  read(bytes: Buffer, start: number, end: number): string | undefined {
    if (end - start < 44 + 8 + CALL_TEXTS.length || bytes[start] !== RECORD_CALL) return 'not a call record';
    this.bytes = bytes;
    this.#at = start + 44;
    this.#end = end;
    this.flags = bytes[start + 1] ?? 0;
    this.outcome = bytes[start + 2] ?? 0;
    this.grpcStatus = bytes[start + 3] ?? 0;
    if ((this.flags & FLAG_CLIENT_TRACE_IS_PARENT) !== 0 && (this.flags & FLAG_CLIENT_TRACE) === 0) {
      return 'a parent without a client trace';
    }
    if (this.outcome >= OUTCOMES.length) return 'unknown outcome';
    const startedAt = readU64(bytes, start + 4);
    if (startedAt === undefined) return 'start time out of range';
    this.startedAt = startedAt;
    this.traceIdAt = start + 12;
    this.clientTraceAt = this.#skip((this.flags & FLAG_CLIENT_TRACE) === 0 ? 0 : 24);
    this.durationMicros = this.#varint();
    this.peerPort = this.#varint();
    this.requestBytes = this.#varint();
    this.responseBytes = this.#varint();
    this.requestMessages = this.#varint();
    this.responseMessages = this.#varint();
    this.generation = this.#varint();
    const problem = this.#gates();
    if (problem !== undefined) return problem;
    this.stableAt = this.#at;
    this.certificateAt = this.#skip((this.flags & FLAG_CERTIFICATE) === 0 || this.#at < 0 ? 0 : 32);
    for (let i = 0; i < CALL_TEXTS.length; i++) this.#text(i);
    if ((this.flags & FLAG_PROXIED) !== 0) this.#text(PROXY_TEXT);
    else this.textStart[PROXY_TEXT] = this.textEnd[PROXY_TEXT] = 0;
    if (!this.#readShadow()) return 'unknown verdict in shadow';
    this.#readConsumed();
    if (this.#at < 0) return 'a number or text is malformed';
    return this.#at === end ? undefined : 'bytes after the record';
  }

  #skip(length: number): number {
    const at = this.#at;
    this.#at += length;
    return length === 0 ? 0 : at;
  }

  #gates(): string | undefined {
    if (this.#at < 0 || this.#at >= this.#end) return 'a number or text is malformed';
    const count = this.bytes[this.#at++] ?? 0;
    if (count > MAX_GATES) return 'too many gates';
    this.gateCount = count;
    for (let i = 0; i < count; i++) {
      if (this.#at < 0 || this.#at >= this.#end) return 'gates cut short';
      const code = this.bytes[this.#at++] ?? 0;
      if (code >> 2 >= GATES.length || (code & 3) >= VERDICTS.length) return 'unknown gate or verdict';
      const from = this.#varint();
      this.gateCode[i] = code;
      this.gateFrom[i] = from;
      this.gateTo[i] = from + this.#varint();
    }
    return undefined;
  }

  #text(index: number): void {
    const end = this.#textEnd();
    this.textStart[index] = this.#at;
    this.textEnd[index] = end;
    this.#at = end;
  }

  #readShadow(): boolean {
    this.shadow = 0;
    this.shadowStart = 0;
    this.shadowEnd = 0;
    if ((this.flags & FLAG_SHADOW) === 0 || this.#at < 0) return true;
    const verdict = this.#at < this.#end ? (this.bytes[this.#at++] ?? 0) : SHADOW_VERDICTS.length;
    if (verdict >= SHADOW_VERDICTS.length) return false;
    this.shadow = verdict + 1;
    this.shadowEnd = this.#textEnd();
    this.shadowStart = this.#at;
    this.#at = this.shadowEnd;
    return true;
  }

  #readConsumed(): void {
    const isThere = (this.flags & FLAG_CONSUMED) !== 0;
    this.tensorElements = isThere ? this.#varint() : 0;
    this.inputTokens = isThere ? this.#varint() : 0;
    this.outputTokens = isThere ? this.#varint() : 0;
    this.computeMicros = isThere ? this.#varint() : 0;
  }

  /** Where the text ends whose length is read; then it begins at `#at`. Negative when it is malformed. */
  #textEnd(): number {
    const length = this.#varint();
    const start = this.#at;
    return start < 0 || length > MAX_TEXT_CHARS * 3 || start + length > this.#end ? -1 : start + length;
  }

  /** Reads a varint, or makes `#at` negative. */
  #varint(): number {
    if (this.#at < 0) return 0;
    const { bytes } = this;
    const first = bytes[this.#at] ?? 0;
    if (first < 0x80 && this.#at < this.#end) {
      this.#at++;
      return first;
    }
    const read = readVarint(bytes, this.#at, this.#end);
    this.#at = read === undefined ? -1 : read.end;
    return read?.value ?? 0;
  }
}

/** Reads a shortest-form varint below 2^53, or returns undefined. */
export function readVarint(
  bytes: Uint8Array,
  start: number,
  end: number,
): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  let scale = 1;
  for (let at = start; at < end && at < start + 8; at++) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      const shortest = byte !== 0 || at === start;
      return shortest && value <= Number.MAX_SAFE_INTEGER ? { value, end: at + 1 } : undefined;
    }
    scale *= 0x80;
  }
  return undefined;
}

/** Reads eight little-endian bytes as an integer, or undefined at 2^53 and above. */
export function readU64(bytes: Uint8Array, at: number): number | undefined {
  let low = 0;
  let high = 0;
  for (let i = 3; i >= 0; i--) {
    low = low * 0x100 + (bytes[at + i] ?? 0);
    high = high * 0x100 + (bytes[at + 4 + i] ?? 0);
  }
  return high > 0x1f_ffff ? undefined : high * 0x1_0000_0000 + low;
}
