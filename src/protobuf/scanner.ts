/**
 * Reads a few strings and integers out of a protobuf message while it streams by, in any pieces, with constant memory.
 *
 * The values are those that a full decode would end up with: the last occurrence wins, wherever it stands. Strings and bytes
 * of other fields are stepped over without being looked at. Hostile input is the normal case here: whatever parsers are known
 * to read differently from each other is refused, so that the server cannot see another value than we did. Where a plan reads
 * from a repeated field, every element is a target with values of its own.
 */
import { CapturedInteger } from './captured-integer.ts';
import type { FieldPlan, MeasuredField, PlannedField, PlannedMessage } from './field-plan.ts';
import { nameOf } from './findings.ts';
import type { Measures } from './measures.ts';
import type { NameEdits } from './name-edits.ts';
import { Nesting } from './nesting.ts';
import type { TextCache } from './text-cache.ts';
import { allows, elementBytes, WireType } from './wire-type.ts';

/** Longest captured string. Model names are file names, of at most 255 bytes; a limit keeps the capture buffer small. */
export const MAX_CAPTURED_BYTES = 1_024;

/** Reads one message at a time: `begin`, any number of `push`, `finish`; then `begin` again. */
export class WireScanner extends Nesting {
  readonly #texts: TextCache;
  readonly #names: NameEdits | undefined;
  #measures: Measures | undefined;
  /** Whether the innermost message is inside an element that is a target, and how deep that is. */
  #targetDepth = NO_TARGET;
  #state: State = State.Tag;
  /** Message bytes before the current chunk. */
  #consumed = 0;
  #varint = 0;
  #varintBytes = 0;
  #integer: CapturedInteger | undefined;
  /** The field whose length or payload comes next. */
  #field: PlannedField = UNKNOWN;
  /** Bytes of its payload still to come. */
  #remaining = 0;
  #captured: Buffer | undefined;
  #capturedBytes = 0;
  /** No byte of the text that is scoped, or a key, has been read. */
  #keyBegins = false;
  /** Message positions where the field's tag begins, and an integer's value. */
  #tagAt = 0;
  #integerAt = 0;

  /** `names` hears of the fields of the plan that are scoped; without it they are stepped over. */
  constructor(plan: FieldPlan, texts: TextCache, names?: NameEdits) {
    super(plan);
    this.#texts = texts;
    this.#names = names;
  }

  /** Who hears of the fields that are measured, until `clear`; without it they are stepped over. */
  set measures(measures: Measures | undefined) {
    this.#measures = measures;
  }

  /** Begins a message of `bytes` bytes; Infinity when only its end will tell. */
  begin(bytes: number): void {
    this.forget();
    this.outermost(bytes);
    this.#names?.begin();
    this.#measures?.begin();
    this.#targetDepth = NO_TARGET;
    this.#state = State.Tag;
    this.#consumed = 0;
    this.#varint = 0;
    this.#varintBytes = 0;
  }

  /** Forgets the last message, and what was gathered of it. */
  clear(): void {
    this.#measures = undefined;
    this.begin(0);
    this.#captured = undefined;
    this.#field = UNKNOWN;
  }

  /** Scans `chunk[start, end)`, the next bytes of the message. False: refused, and stays so until `begin`. */
  push(chunk: Buffer, start: number, end: number): boolean {
    let at = start;
    const origin = this.#consumed - start;
    while (at < end && this.refusal === undefined) {
      if (this.#state >= State.Payload) at = this.#readPayload(chunk, at, end);
      else at = this.#readVarint(chunk, at, end, origin);
      if (origin + at === this.limit && this.#state === State.Tag && this.#varintBytes === 0)
        this.#leaveEnded(origin + at);
    }
    this.#consumed = origin + end;
    return this.refusal === undefined;
  }

  /** Ends the message. False: it was refused, or ended in the middle of something. */
  finish(): boolean {
    if (this.#state !== State.Tag || this.#varintBytes > 0 || this.depth > 0)
      this.refuse('message', 'ends inside a field');
    else this.complete();
    return this.refusal === undefined;
  }

  /** Reads bytes of a tag, a length or an integer up to the varint's end, the chunk's end or the enclosing message's. */
  #readVarint(chunk: Buffer, start: number, end: number, origin: number): number {
    const stop = Math.min(end, this.limit - origin);
    let at = start;
    if (at < stop && this.#varintBytes === 0 && (chunk[at] ?? 0) < 0x80)
      return this.#onByte(chunk[at] ?? 0, at + 1, origin);
    while (at < stop) {
      const byte = chunk[at++] ?? 0;
      const index = this.#varintBytes++;
      if (this.#state === State.Integer || this.#state === State.CapturedInteger) {
        if (this.#state === State.CapturedInteger) this.#integer?.add(byte, index);
        if (byte < 0x80) {
          if (this.#state === State.CapturedInteger) this.#keepInteger(origin + at);
          this.#state = State.Tag;
          this.#varintBytes = 0;
          return at;
        }
        if (index === MAX_INTEGER_BYTES - 1) return this.refuse('message', 'an integer is longer than 10 bytes', at);
        continue;
      }
      // Parsers differ on what a longer tag or length means: some refuse, some drop the excess bits.
      if (index === 4 && byte > 0x0f) return this.refuse('message', 'a tag or a length does not fit 32 bits', at);
      this.#varint += (byte & 0x7f) * (POWERS[index] ?? 0);
      if (byte < 0x80) return this.#endVarint(at, origin + at);
    }
    if (at < end) this.refuse('message', OVERLONG);
    return at;
  }

  /** Most tags, lengths and integers are one byte long. */
  #onByte(byte: number, at: number, origin: number): number {
    if (this.#state === State.Length) this.#onLength(byte, origin + at, 1);
    else if (this.#state === State.Integer) this.#state = State.Tag;
    else if (this.#state === State.CapturedInteger) {
      this.#integer?.add(byte, 0);
      this.#keepInteger(origin + at);
      this.#state = State.Tag;
    } else this.#onTag(byte >>> 3, byte & 7, origin + at, 1);
    return at;
  }

  #endVarint(at: number, position: number): number {
    const value = this.#varint;
    const width = this.#varintBytes;
    this.#varint = 0;
    this.#varintBytes = 0;
    if (this.#state === State.Length) this.#onLength(value, position, width);
    else this.#onTag(Math.floor(value / 8), value & 7, position, width);
    return at;
  }

  /** `position`: behind the tag, which is `width` bytes long. */
  #onTag(number: number, wireType: number, position: number, width: number): void {
    if (number === 0) {
      this.refuse('message', 'field number 0');
      return;
    }
    const field = this.node?.fields[number] ?? this.node?.high?.get(number) ?? UNKNOWN;
    if (field.kind !== 'unknown' && !allows(field, wireType)) {
      this.refuse(nameOf(field), 'a known field in another wire type');
      return;
    }
    if (this.plan.claims > 0 && field.claim !== undefined && !this.claim(field, field.claim, number)) return;
    this.#tagAt = position - width;
    switch (wireType) {
      case WireType.Varint:
        if (this.#reads(field)) this.#beginInteger(field, position);
        else this.#state = State.Integer;
        return;
      case WireType.Fixed64:
        return this.#beginPayload(State.Payload, 8, position);
      case WireType.Length:
        this.#field = field;
        this.#state = State.Length;
        return;
      case WireType.GroupStart:
        this.#names?.enter(0, 0, 0);
        this.#measures?.enter(undefined);
        return this.enter(field.kind === 'group' ? field.node : undefined, this.limit, number);
      case WireType.GroupEnd:
        if (this.group === number) this.#leave(position);
        else this.refuse('message', 'a group ends that did not begin');
        return;
      case WireType.Fixed32:
        return this.#beginPayload(State.Payload, 4, position);
      default:
        this.refuse('message', 'unknown wire type');
    }
  }

  /** `position`: behind the length, which is `width` bytes long. */
  #onLength(bytes: number, position: number, width: number): void {
    const field = this.#field;
    switch (field.kind) {
      case 'integer':
      case 'scoped-integer':
      case 'group':
        // Never with a length: `allows` has seen to it.
        this.refuse('message', 'a known field in another wire type');
        return;
      case 'unknown':
      case 'payload':
        return this.#beginPayload(State.Payload, bytes, position);
      case 'message':
        this.#state = State.Tag;
        if (position + bytes > this.limit) this.refuse('message', OVERLONG);
        else this.#enterMessage(field, position, bytes, width);
        return;
      case 'scoped':
      case 'key':
        return this.#beginScoped(field, position, bytes, width);
      case 'captured':
        this.#capturedBytes = 0;
        if (bytes > MAX_CAPTURED_BYTES) this.refuse(field.name, 'too long');
        else this.#beginPayload(State.Capture, bytes, position);
        if (bytes === 0 && this.refusal === undefined) this.#keepText(field, '');
        return;
      case 'measured':
        if (this.#measures === undefined || bytes === 0) this.#beginPayload(State.Integers, bytes, position);
        else this.#beginMeasured(bytes, position);
        return;
      case 'number':
        // A packed list that ends inside an element: some parsers read that element to its end, behind the list's.
        if (bytes % elementBytes(field.wireType) !== 0) this.refuse('message', UNEVEN);
        else this.#beginPayload(field.wireType === WireType.Varint ? State.Integers : State.Payload, bytes, position);
    }
  }

  #beginPayload(state: State, bytes: number, position: number): void {
    if (position + bytes > this.limit) this.refuse('message', OVERLONG);
    this.#remaining = bytes;
    this.#state = bytes === 0 ? State.Tag : state;
  }

  #readPayload(chunk: Buffer, start: number, end: number): number {
    const stop = Math.min(start + this.#remaining, end);
    this.#remaining -= stop - start;
    const last = this.#remaining === 0;
    if (this.#state === State.Capture) this.#capture(chunk, start, stop, last);
    else if (this.#state === State.Scoped) this.#onScoped(chunk, start, stop, last);
    else if (this.#state === State.Measured) this.#onMeasured(chunk, start, stop, last);
    else if (last && this.#state === State.Integers && (chunk[stop - 1] ?? 0) >= 0x80) this.refuse('message', UNEVEN);
    if (last) this.#state = State.Tag;
    return stop;
  }

  /** Gathers a captured string, without a copy when it comes in one piece. */
  #capture(chunk: Buffer, start: number, stop: number, last: boolean): void {
    if (last && this.#capturedBytes === 0) {
      this.#keep(chunk, start, stop);
      return;
    }
    this.#captured ??= Buffer.allocUnsafeSlow(MAX_CAPTURED_BYTES);
    chunk.copy(this.#captured, this.#capturedBytes, start, stop);
    this.#capturedBytes += stop - start;
    if (last) this.#keep(this.#captured, 0, this.#capturedBytes);
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    const field = this.#field;
    if (field.kind !== 'captured') return;
    const text = this.#texts.read(bytes, start, end);
    if (text === undefined) this.refuse(field.name, 'not a text: invalid UTF-8 or a control character');
    else this.#keepText(field, text);
  }

  #keepText(field: CapturedField, text: string): void {
    this.values[field.slot] = field.prefix === undefined ? text : field.prefix + text;
    if (field.each === true) this.endTarget();
  }

  /** A string that is scoped, or the key of a map's entry: what it means is not ours to say. */
  #beginScoped(field: ScopedField, position: number, bytes: number, width: number): void {
    const why = this.#names?.text(field, position - width, width, bytes);
    if (why !== undefined) this.refuse(nameOf(field), why);
    else
      this.#beginPayload(
        this.#names?.reads === true || this.#readsKey(field) ? State.Scoped : State.Payload,
        bytes,
        position,
      );
    this.#keyBegins = true;
  }

  #readsKey(field: PlannedField): boolean {
    return field.kind === 'key' && this.#measures?.readsKeys === true;
  }

  #onScoped(chunk: Buffer, start: number, stop: number, last: boolean): void {
    if (this.#readsKey(this.#field)) this.#measures?.key(chunk, start, stop, this.#keyBegins);
    this.#keyBegins = false;
    if (this.#names?.reads !== true) return;
    const why = this.#names.part(chunk, start, stop, last);
    if (why !== undefined) this.refuse(nameOf(this.#field), why);
  }

  /** Whether somebody wants to know the integer. */
  #reads(field: PlannedField): boolean {
    switch (field.kind) {
      case 'integer':
        return true;
      case 'scoped-integer':
        return this.#names !== undefined;
      case 'measured':
        return this.#measures !== undefined;
      default:
        return false;
    }
  }

  #beginMeasured(bytes: number, position: number): void {
    this.#integer ??= new CapturedInteger();
    this.#integer.begin();
    this.#beginPayload(State.Measured, bytes, position);
  }

  /** A packed list of integers that are measured. */
  #onMeasured(chunk: Buffer, start: number, stop: number, last: boolean): void {
    const field = this.#field;
    if (field.kind !== 'measured') return;
    if (field.how === 'length') this.#countIntegers(field, chunk, start, stop);
    else this.#takeIntegers(field, chunk, start, stop);
    if (!last) return;
    if ((chunk[stop - 1] ?? 0) >= 0x80) this.refuse('message', UNEVEN);
    this.#varintBytes = 0;
  }

  #countIntegers(field: MeasuredField, chunk: Buffer, start: number, stop: number): void {
    let integers = 0;
    for (let at = start; at < stop; at++) if ((chunk[at] ?? 0) < 0x80) integers += 1;
    const why = this.#measures?.takeLength(field, integers);
    if (why !== undefined) this.refuse(field.name, why);
  }

  #takeIntegers(field: MeasuredField, chunk: Buffer, start: number, stop: number): void {
    for (let at = start; at < stop && this.refusal === undefined; at++) {
      const byte = chunk[at] ?? 0;
      const index = this.#varintBytes++;
      this.#integer?.add(byte, index);
      if (byte < 0x80) {
        this.#measure(field);
        this.#integer?.begin();
        this.#varintBytes = 0;
      } else if (index === MAX_INTEGER_BYTES - 1) this.refuse('message', 'an integer is longer than 10 bytes');
    }
  }

  #measure(field: MeasuredField): void {
    const why = this.#measures?.take(field, this.#integer?.number ?? Number.NaN);
    if (why !== undefined) this.refuse(field.name, why);
  }

  #beginInteger(field: PlannedField, position: number): void {
    this.#integerAt = position;
    this.#integer ??= new CapturedInteger();
    this.#integer.begin();
    this.#field = field;
    this.#state = State.CapturedInteger;
  }

  #keepInteger(position: number): void {
    const field = this.#field;
    if (field.kind === 'scoped-integer') return this.#keepScopedInteger(field.name, position);
    if (field.kind === 'measured') return this.#measure(field);
    if (field.kind !== 'integer') return;
    const text = this.#integer?.text(field.form);
    if (text === undefined) this.refuse(field.name, NO_FIT);
    else this.values[field.slot] = text === '0' ? field.zero : text;
  }

  #keepScopedInteger(name: string, position: number): void {
    const bits = this.#integer?.bits;
    const why = bits === undefined ? NO_FIT : this.#names?.integer(this.#integerAt, position, bits);
    if (why !== undefined) this.refuse(name, why);
  }

  #enterMessage(field: PlannedMessage, position: number, bytes: number, width: number): void {
    if (field.repeats !== undefined) for (const claim of field.inside) this.claims[claim] = 0;
    this.#names?.enter(position - width, width, bytes, field.scope, this.#tagAt);
    this.#measures?.enter(field.measure);
    this.enter(field.node, position + bytes, 0);
    if (field.repeats === 'each') {
      this.clearValues();
      this.#targetDepth = this.depth;
    }
    if (field.present !== undefined) this.values[field.present.slot] = field.present.text;
  }

  /** Leaves every message that ends at this position. */
  #leaveEnded(position: number): void {
    while (position === this.limit && this.depth > 0 && this.refusal === undefined) {
      if (this.group === 0) this.#leave(position);
      else this.refuse('message', 'a group does not end');
    }
  }

  #leave(position: number): void {
    const why = this.#names?.leave(position) ?? this.#measures?.leave();
    if (why !== undefined) this.refuse('message', why);
    if (this.depth === this.#targetDepth) {
      this.endTarget();
      this.#targetDepth = NO_TARGET;
    }
    this.leave();
  }
}

/** What the next byte belongs to; from `Payload` on it is a payload of known length. */
const State = {
  Tag: 0,
  Length: 1,
  Integer: 2,
  CapturedInteger: 3,
  Payload: 4,
  Integers: 5,
  Capture: 6,
  Scoped: 7,
  /** A packed list whose integers are read. */
  Measured: 8,
} as const;
type State = (typeof State)[keyof typeof State];

const UNKNOWN: PlannedField = { kind: 'unknown' };
const OVERLONG = 'a field is longer than the message around it';
const NO_FIT = 'an integer does not fit its type';
const UNEVEN = 'a packed list ends inside an element';
/** No depth is this. */
const NO_TARGET = -1;
const MAX_INTEGER_BYTES = 10;
const POWERS: readonly number[] = [1, 2 ** 7, 2 ** 14, 2 ** 21, 2 ** 28];

type CapturedField = Extract<PlannedField, { readonly kind: 'captured' }>;
type ScopedField = Extract<PlannedField, { readonly kind: 'scoped' | 'key' }>;
