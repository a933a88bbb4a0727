/**
 * Reads a few string fields out of a protobuf message while it streams by, in any pieces, with constant memory.
 *
 * The values are those that a full decode would end up with: the last occurrence wins, wherever it stands. Payloads of other
 * fields are stepped over without being looked at. Hostile input is the normal case here: whatever parsers are known to
 * read differently from each other is refused, so that the server cannot see another value than we did.
 */
import type { Capture, FieldPlan, PlanNode } from './field-plan.ts';
import type { TextCache } from './text-cache.ts';

/** Why a message was refused. */
export interface ScanRefusal {
  /** A planned field's name, or `message`. */
  readonly field: string;
  readonly why: string;
}

/** Longest captured string. Model names are file names, of at most 255 bytes; a limit keeps the capture buffer small. */
export const MAX_CAPTURED_BYTES = 1_024;

/** Deepest nesting of groups and planned messages: below every parser's own limit (100 and more). */
export const MAX_NESTING = 64;

/** Reads one message at a time: `begin`, any number of `push`, `finish`; then `begin` again. */
export class WireScanner {
  readonly #plan: FieldPlan;
  readonly #texts: TextCache;
  readonly #values: string[] = [];
  #state: State = State.Tag;
  /** Message bytes before the current chunk. */
  #consumed = 0;
  /** Message position where the innermost message ends. */
  #limit = 0;
  #node: PlanNode | undefined;
  /** Around the innermost message or group. */
  readonly #outer: Frame[] = [];
  /** Field number of the innermost group; 0 inside a message. */
  #group = 0;
  #varint = 0;
  #varintBytes = 0;
  /** What the LEN field whose length is being read is for. */
  #purpose: Purpose = SKIP;
  /** Bytes still to step over or to capture. */
  #remaining = 0;
  #captured: Buffer | undefined;
  #capturedBytes = 0;
  #refusal: ScanRefusal | undefined;

  constructor(plan: FieldPlan, texts: TextCache) {
    this.#plan = plan;
    this.#texts = texts;
  }

  /** Begins a message of `bytes` bytes; Infinity when only its end will tell. */
  begin(bytes: number): void {
    this.#values.length = 0;
    for (let slot = 0; slot < this.#plan.slots; slot++) this.#values.push('');
    this.#state = State.Tag;
    this.#consumed = 0;
    this.#limit = bytes;
    this.#node = this.#plan.root;
    this.#outer.length = 0;
    this.#group = 0;
    this.#varint = 0;
    this.#varintBytes = 0;
    this.#refusal = undefined;
  }

  /** Scans `chunk[start, end)`, the next bytes of the message. False: refused, and stays so until `begin`. */
  push(chunk: Buffer, start: number, end: number): boolean {
    let at = start;
    const origin = this.#consumed - start;
    while (at < end && this.#refusal === undefined) {
      if (this.#state === State.Skip) at = this.#skip(at, end);
      else if (this.#state === State.Capture) at = this.#capture(chunk, at, end);
      else at = this.#readVarint(chunk, at, end, origin);
      if (this.#state === State.Tag && this.#varintBytes === 0) this.#leaveEnded(origin + at);
    }
    this.#consumed = origin + end;
    return this.#refusal === undefined;
  }

  /** Ends the message. False: it was refused, or ended in the middle of something. */
  finish(): boolean {
    if (this.#refusal === undefined && (this.#state !== State.Tag || this.#varintBytes > 0 || this.#outer.length > 0))
      this.#refuse('message', 'ends inside a field');
    return this.#refusal === undefined;
  }

  /** The value of a slot, empty when the field is absent. Final after `finish`. */
  value(slot: number): string {
    return this.#values[slot] ?? '';
  }

  get refusal(): ScanRefusal | undefined {
    return this.#refusal;
  }

  #skip(at: number, end: number): number {
    const step = Math.min(this.#remaining, end - at);
    this.#remaining -= step;
    if (this.#remaining === 0) this.#state = State.Tag;
    return at + step;
  }

  #capture(chunk: Buffer, at: number, end: number): number {
    const step = Math.min(this.#remaining, end - at);
    this.#remaining -= step;
    if (this.#remaining === 0 && this.#capturedBytes === 0) {
      this.#keep(chunk, at, at + step);
    } else {
      this.#captured ??= Buffer.allocUnsafeSlow(MAX_CAPTURED_BYTES);
      chunk.copy(this.#captured, this.#capturedBytes, at, at + step);
      this.#capturedBytes += step;
      if (this.#remaining === 0) this.#keep(this.#captured, 0, this.#capturedBytes);
    }
    return at + step;
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    this.#state = State.Tag;
    const purpose = this.#purpose;
    if (purpose.kind !== 'captured') return;
    const text = this.#texts.read(bytes, start, end);
    if (text === undefined) this.#refuse(purpose.capture.name, 'not a text: invalid UTF-8 or a control character');
    else this.#values[purpose.capture.slot] = text;
  }

  /** Reads bytes of a tag, a length or an integer up to the varint's end, the chunk's end or the enclosing message's. */
  #readVarint(chunk: Buffer, start: number, end: number, origin: number): number {
    const stop = Math.min(end, this.#limit - origin);
    let at = start;
    while (at < stop) {
      const byte = chunk[at++] ?? 0;
      const index = this.#varintBytes++;
      if (this.#state === State.Integer) {
        if (byte < 0x80) return this.#integerEnded(at);
        if (index === MAX_INTEGER_BYTES - 1) return this.#refuse('message', 'an integer is longer than 10 bytes', at);
        continue;
      }
      // Parsers differ on what a longer tag or length means: some refuse, some drop the excess bits.
      if (index === 4 && byte > 0x0f) return this.#refuse('message', 'a tag or a length does not fit 32 bits', at);
      this.#varint += (byte & 0x7f) * (POWERS[index] ?? 0);
      if (byte < 0x80) return this.#varintEnded(at, origin);
    }
    if (at < end) this.#refuse('message', 'a field is longer than the message around it');
    return at;
  }

  #integerEnded(at: number): number {
    this.#state = State.Tag;
    this.#varintBytes = 0;
    return at;
  }

  #varintEnded(at: number, origin: number): number {
    const value = this.#varint;
    this.#varint = 0;
    this.#varintBytes = 0;
    if (this.#state === State.Tag) this.#onTag(Math.floor(value / 8), value & 7, origin + at);
    else this.#onLength(value, origin + at);
    return at;
  }

  #onTag(field: number, wireType: number, position: number): void {
    if (field === 0) return void this.#refuse('message', 'field number 0');
    const planned = this.#node?.fields[field] ?? UNKNOWN;
    if (planned.kind !== 'unknown' && wireType !== WireType.Length) {
      const name = planned.kind === 'captured' ? planned.capture.name : `field ${field}`;
      return void this.#refuse(name, 'wrong wire type');
    }
    switch (wireType) {
      case WireType.Varint:
        this.#state = State.Integer;
        return;
      case WireType.Fixed64:
        return this.#beginSkip(8, position);
      case WireType.Length:
        this.#purpose = planned.kind === 'unknown' ? SKIP : planned;
        this.#state = State.Length;
        return;
      case WireType.GroupStart:
        return this.#enter(undefined, this.#limit, field);
      case WireType.GroupEnd:
        return this.#endGroup(field);
      case WireType.Fixed32:
        return this.#beginSkip(4, position);
      default:
        return void this.#refuse('message', 'unknown wire type');
    }
  }

  #onLength(bytes: number, position: number): void {
    const purpose = this.#purpose;
    if (position + bytes > this.#limit)
      return void this.#refuse('message', 'a field is longer than the message around it');
    switch (purpose.kind) {
      case 'skipped':
        return this.#beginSkip(bytes, position);
      case 'nested':
        this.#state = State.Tag;
        return this.#enter(purpose.node, position + bytes, 0);
      case 'captured':
        if (bytes > MAX_CAPTURED_BYTES) return void this.#refuse(purpose.capture.name, 'too long');
        this.#remaining = bytes;
        this.#capturedBytes = 0;
        this.#state = State.Capture;
        if (bytes === 0) this.#keep(EMPTY, 0, 0);
        return;
    }
  }

  #beginSkip(bytes: number, position: number): void {
    if (position + bytes > this.#limit)
      return void this.#refuse('message', 'a field is longer than the message around it');
    this.#remaining = bytes;
    this.#state = bytes === 0 ? State.Tag : State.Skip;
  }

  #enter(node: PlanNode | undefined, limit: number, group: number): void {
    if (this.#outer.length === MAX_NESTING) return void this.#refuse('message', 'nested too deeply');
    this.#outer.push({ node: this.#node, limit: this.#limit, group: this.#group });
    this.#node = node;
    this.#limit = limit;
    this.#group = group;
  }

  #endGroup(field: number): void {
    if (this.#group !== field) return void this.#refuse('message', 'a group ends that did not begin');
    this.#leave();
  }

  /** Leaves every message that ends at this position. */
  #leaveEnded(position: number): void {
    while (position === this.#limit && this.#outer.length > 0) {
      if (this.#group !== 0) return void this.#refuse('message', 'a group does not end');
      this.#leave();
    }
  }

  #leave(): void {
    const outer = this.#outer.pop();
    if (outer === undefined) return;
    this.#node = outer.node;
    this.#limit = outer.limit;
    this.#group = outer.group;
  }

  #refuse(field: string, why: string, at = 0): number {
    this.#refusal ??= { field, why };
    return at;
  }
}

/** What the next byte belongs to. */
const State = { Tag: 0, Length: 1, Integer: 2, Skip: 3, Capture: 4 } as const;
type State = (typeof State)[keyof typeof State];

const WireType = { Varint: 0, Fixed64: 1, Length: 2, GroupStart: 3, GroupEnd: 4, Fixed32: 5 } as const;

type Purpose =
  | { readonly kind: 'skipped' }
  | { readonly kind: 'captured'; readonly capture: Capture }
  | { readonly kind: 'nested'; readonly node: PlanNode };

interface Frame {
  readonly node: PlanNode | undefined;
  readonly limit: number;
  readonly group: number;
}

const UNKNOWN = { kind: 'unknown' } as const;
const SKIP: Purpose = { kind: 'skipped' };
const EMPTY = Buffer.alloc(0);
const MAX_INTEGER_BYTES = 10;
const POWERS: readonly number[] = [1, 2 ** 7, 2 ** 14, 2 ** 21, 2 ** 28];
