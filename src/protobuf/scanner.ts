/**
 * Reads a few strings and integers out of a protobuf message while it streams by, in any pieces, with constant memory.
 *
 * The values are those that a full decode would end up with: the last occurrence wins, wherever it stands. Strings and bytes
 * of other fields are stepped over without being looked at. Hostile input is the normal case here: whatever parsers are known
 * to read differently from each other is refused, so that the server cannot see another value than we did. Where a plan reads
 * from a repeated field, every element is a target with values of its own.
 */
import { CapturedInteger } from './captured-integer.ts';
import type { FieldPlan, PlanNode, PlannedField, PlannedMessage } from './field-plan.ts';
import type { TextCache } from './text-cache.ts';

/** Why a message was refused. */
export interface ScanRefusal {
  /** A captured field's name, or `message`. */
  readonly field: string;
  readonly why: string;
}

/** Longest captured string. Model names are file names, of at most 255 bytes; a limit keeps the capture buffer small. */
export const MAX_CAPTURED_BYTES = 1_024;

/** Deepest nesting of groups and messages: below every parser's own limit (100 and more). */
export const MAX_NESTING = 64;

/** Most different targets of one message. */
export const MAX_TARGETS = 64;

/** Reads one message at a time: `begin`, any number of `push`, `finish`; then `begin` again. */
export class WireScanner {
  readonly #plan: FieldPlan;
  readonly #texts: TextCache;
  readonly #values: string[] = [];
  /** Number of the field that has made each claim in the message; 0: none yet. */
  readonly #claims: number[];
  /** Values of the targets that have ended, `slots` after `slots`. */
  readonly #targets: string[];
  /** Whether the innermost message is inside an element that is a target, and how deep that is. */
  #targetDepth = NO_TARGET;
  #state: State = State.Tag;
  /** Message bytes before the current chunk. */
  #consumed = 0;
  /** Message position where the innermost message ends. */
  #limit = 0;
  /** The innermost message's fields; undefined inside a group. */
  #node: PlanNode | undefined;
  /** Field number of the innermost group; 0 inside a message. */
  #group = 0;
  /** How many messages and groups are around the innermost one. What they are, outermost first: */
  #depth = 0;
  readonly #outerNodes: (PlanNode | undefined)[] = [];
  readonly #outerLimits: number[] = [];
  readonly #outerGroups: number[] = [];
  #varint = 0;
  #varintBytes = 0;
  #integer: CapturedInteger | undefined;
  /** The field whose length or payload comes next. */
  #field: PlannedField = UNKNOWN;
  /** Bytes of its payload still to come. */
  #remaining = 0;
  #captured: Buffer | undefined;
  #capturedBytes = 0;
  #refusal: ScanRefusal | undefined;

  constructor(plan: FieldPlan, texts: TextCache) {
    this.#plan = plan;
    this.#texts = texts;
    // Most plans have neither, and a scanner is made for every call.
    this.#claims = plan.claims === 0 ? NO_CLAIMS : [];
    this.#targets = plan.repeated ? [] : NO_TARGETS;
  }

  /** Begins a message of `bytes` bytes; Infinity when only its end will tell. */
  begin(bytes: number): void {
    for (let slot = 0; slot < this.#plan.slots; slot++) this.#values[slot] = '';
    for (let claim = 0; claim < this.#plan.claims; claim++) this.#claims[claim] = 0;
    if (this.#plan.repeated) this.#targets.length = 0;
    this.#targetDepth = NO_TARGET;
    this.#state = State.Tag;
    this.#consumed = 0;
    this.#limit = bytes;
    this.#node = this.#plan.root;
    this.#group = 0;
    this.#depth = 0;
    this.#varint = 0;
    this.#varintBytes = 0;
    this.#refusal = undefined;
  }

  /** Scans `chunk[start, end)`, the next bytes of the message. False: refused, and stays so until `begin`. */
  push(chunk: Buffer, start: number, end: number): boolean {
    let at = start;
    const origin = this.#consumed - start;
    while (at < end && this.#refusal === undefined) {
      if (this.#state >= State.Payload) at = this.#readPayload(chunk, at, end);
      else at = this.#readVarint(chunk, at, end, origin);
      if (origin + at === this.#limit && this.#state === State.Tag && this.#varintBytes === 0)
        this.#leaveEnded(origin + at);
    }
    this.#consumed = origin + end;
    return this.#refusal === undefined;
  }

  /** Ends the message. False: it was refused, or ended in the middle of something. */
  finish(): boolean {
    if (this.#state !== State.Tag || this.#varintBytes > 0 || this.#depth > 0)
      this.#refuse('message', 'ends inside a field');
    // A message without elements names nothing; it has one target all the same, so that somebody decides on it.
    else if (this.#plan.repeated && this.#targets.length === 0) this.#clearValues();
    return this.#refusal === undefined;
  }

  /** How many targets the message has: one, unless its plan is `repeated`. Final after `finish`. */
  get targets(): number {
    return this.#targets.length === 0 ? 1 : this.#targets.length / this.#plan.slots;
  }

  /** The value of a slot, empty when the field is absent or the plan has no such slot. Final after `finish`. */
  value(slot: number, target = 0): string {
    if (slot >= this.#plan.slots) return '';
    const values = this.#targets.length === 0 ? this.#values : this.#targets;
    return values[target * this.#plan.slots + slot] ?? '';
  }

  get refusal(): ScanRefusal | undefined {
    return this.#refusal;
  }

  /** Reads bytes of a tag, a length or an integer up to the varint's end, the chunk's end or the enclosing message's. */
  #readVarint(chunk: Buffer, start: number, end: number, origin: number): number {
    const stop = Math.min(end, this.#limit - origin);
    let at = start;
    if (at < stop && this.#varintBytes === 0 && (chunk[at] ?? 0) < 0x80)
      return this.#onByte(chunk[at] ?? 0, at + 1, origin);
    while (at < stop) {
      const byte = chunk[at++] ?? 0;
      const index = this.#varintBytes++;
      if (this.#state === State.Integer || this.#state === State.CapturedInteger) {
        if (this.#state === State.CapturedInteger) this.#integer?.add(byte, index);
        if (byte < 0x80) {
          if (this.#state === State.CapturedInteger) this.#keepInteger();
          this.#state = State.Tag;
          this.#varintBytes = 0;
          return at;
        }
        if (index === MAX_INTEGER_BYTES - 1) return this.#refuse('message', 'an integer is longer than 10 bytes', at);
        continue;
      }
      // Parsers differ on what a longer tag or length means: some refuse, some drop the excess bits.
      if (index === 4 && byte > 0x0f) return this.#refuse('message', 'a tag or a length does not fit 32 bits', at);
      this.#varint += (byte & 0x7f) * (POWERS[index] ?? 0);
      if (byte < 0x80) return this.#endVarint(at, origin + at);
    }
    if (at < end) this.#refuse('message', OVERLONG);
    return at;
  }

  /** Most tags, lengths and integers are one byte long. */
  #onByte(byte: number, at: number, origin: number): number {
    if (this.#state === State.Length) this.#onLength(byte, origin + at);
    else if (this.#state === State.Integer) this.#state = State.Tag;
    else if (this.#state === State.CapturedInteger) {
      this.#integer?.add(byte, 0);
      this.#keepInteger();
      this.#state = State.Tag;
    } else this.#onTag(byte >>> 3, byte & 7, origin + at);
    return at;
  }

  #endVarint(at: number, position: number): number {
    const value = this.#varint;
    this.#varint = 0;
    this.#varintBytes = 0;
    if (this.#state === State.Length) this.#onLength(value, position);
    else this.#onTag(Math.floor(value / 8), value & 7, position);
    return at;
  }

  #onTag(number: number, wireType: number, position: number): void {
    if (number === 0) {
      this.#refuse('message', 'field number 0');
      return;
    }
    const field = this.#node?.fields[number] ?? this.#node?.high?.get(number) ?? UNKNOWN;
    if (field.kind !== 'unknown' && !allows(field, wireType)) {
      this.#refuse(nameOf(field), 'a known field in another wire type');
      return;
    }
    if (this.#plan.claims > 0 && field.claim !== undefined && !this.#claim(field, field.claim, number)) return;
    switch (wireType) {
      case WireType.Varint:
        if (field.kind === 'integer') this.#beginInteger(field);
        else this.#state = State.Integer;
        return;
      case WireType.Fixed64:
        return this.#beginPayload(State.Payload, 8, position);
      case WireType.Length:
        this.#field = field;
        this.#state = State.Length;
        return;
      case WireType.GroupStart:
        return this.#enter(field.kind === 'group' ? field.node : undefined, this.#limit, number);
      case WireType.GroupEnd:
        if (this.#group === number) this.#leave();
        else this.#refuse('message', 'a group ends that did not begin');
        return;
      case WireType.Fixed32:
        return this.#beginPayload(State.Payload, 4, position);
      default:
        this.#refuse('message', 'unknown wire type');
    }
  }

  #onLength(bytes: number, position: number): void {
    const field = this.#field;
    switch (field.kind) {
      case 'integer':
      case 'group':
        // Never with a length: `allows` has seen to it.
        this.#refuse('message', 'a known field in another wire type');
        return;
      case 'unknown':
      case 'payload':
        return this.#beginPayload(State.Payload, bytes, position);
      case 'message':
        this.#state = State.Tag;
        if (position + bytes > this.#limit) this.#refuse('message', OVERLONG);
        else this.#enterMessage(field, position + bytes);
        return;
      case 'captured':
        this.#capturedBytes = 0;
        if (bytes > MAX_CAPTURED_BYTES) this.#refuse(field.name, 'too long');
        else this.#beginPayload(State.Capture, bytes, position);
        if (bytes === 0 && this.#refusal === undefined) this.#keepText(field, '');
        return;
      case 'number':
        // A packed list that ends inside an element: some parsers read that element to its end, behind the list's.
        if (bytes % elementBytes(field.wireType) !== 0) this.#refuse('message', UNEVEN);
        else this.#beginPayload(field.wireType === WireType.Varint ? State.Integers : State.Payload, bytes, position);
    }
  }

  #beginPayload(state: State, bytes: number, position: number): void {
    if (position + bytes > this.#limit) this.#refuse('message', OVERLONG);
    this.#remaining = bytes;
    this.#state = bytes === 0 ? State.Tag : state;
  }

  #readPayload(chunk: Buffer, start: number, end: number): number {
    const stop = Math.min(start + this.#remaining, end);
    this.#remaining -= stop - start;
    const last = this.#remaining === 0;
    if (this.#state === State.Capture) this.#capture(chunk, start, stop, last);
    else if (last && this.#state === State.Integers && (chunk[stop - 1] ?? 0) >= 0x80) this.#refuse('message', UNEVEN);
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
    if (text === undefined) this.#refuse(field.name, 'not a text: invalid UTF-8 or a control character');
    else this.#keepText(field, text);
  }

  #keepText(field: CapturedField, text: string): void {
    this.#values[field.slot] = field.prefix === undefined ? text : field.prefix + text;
    if (field.each === true) this.#endTarget();
  }

  #beginInteger(field: PlannedField): void {
    this.#integer ??= new CapturedInteger();
    this.#integer.begin();
    this.#field = field;
    this.#state = State.CapturedInteger;
  }

  #keepInteger(): void {
    const field = this.#field;
    if (field.kind !== 'integer') return;
    const text = this.#integer?.text(field.form);
    if (text === undefined) this.#refuse(field.name, 'an integer does not fit its type');
    else this.#values[field.slot] = text === '0' ? field.zero : text;
  }

  /** Whether this field may come: it is the first with its claim, or the same field again where the last one wins. */
  #claim(field: PlannedField, claim: number, number: number): boolean {
    const holder = this.#claims[claim] ?? 0;
    this.#claims[claim] = number;
    if (holder === 0 || (holder === number && field.kind !== 'message' && field.kind !== 'group')) return true;
    this.#refuse(nameOf(field), holder === number ? TWICE : TWO_MEMBERS);
    return false;
  }

  #enterMessage(field: PlannedMessage, limit: number): void {
    if (field.repeats !== undefined) for (const claim of field.inside) this.#claims[claim] = 0;
    this.#enter(field.node, limit, 0);
    if (field.repeats === 'each') {
      this.#clearValues();
      this.#targetDepth = this.#depth;
    }
    if (field.present !== undefined) this.#values[field.present.slot] = field.present.text;
  }

  #clearValues(): void {
    for (let slot = 0; slot < this.#plan.slots; slot++) this.#values[slot] = '';
  }

  /** Puts the values down as a target, unless an earlier one has the same. */
  #endTarget(): void {
    const { slots } = this.#plan;
    const targets = this.#targets;
    for (let at = 0; at < targets.length; at += slots) {
      let slot = 0;
      while (slot < slots && targets[at + slot] === this.#values[slot]) slot += 1;
      if (slot === slots) return;
    }
    if (targets.length === MAX_TARGETS * slots) {
      this.#refuse('message', 'names too many models');
      return;
    }
    for (let slot = 0; slot < slots; slot++) targets.push(this.#values[slot] ?? '');
  }

  #enter(node: PlanNode | undefined, limit: number, group: number): void {
    if (this.#depth === MAX_NESTING) {
      this.#refuse('message', 'nested too deeply');
      return;
    }
    this.#outerNodes[this.#depth] = this.#node;
    this.#outerLimits[this.#depth] = this.#limit;
    this.#outerGroups[this.#depth] = this.#group;
    this.#depth += 1;
    this.#node = node;
    this.#limit = limit;
    this.#group = group;
  }

  /** Leaves every message that ends at this position. */
  #leaveEnded(position: number): void {
    while (position === this.#limit && this.#depth > 0 && this.#refusal === undefined) {
      if (this.#group === 0) this.#leave();
      else this.#refuse('message', 'a group does not end');
    }
  }

  #leave(): void {
    if (this.#depth === this.#targetDepth) {
      this.#endTarget();
      this.#targetDepth = NO_TARGET;
    }
    this.#depth -= 1;
    this.#node = this.#outerNodes[this.#depth];
    this.#limit = this.#outerLimits[this.#depth] ?? 0;
    this.#group = this.#outerGroups[this.#depth] ?? 0;
  }

  #refuse(field: string, why: string, at = 0): number {
    this.#refusal ??= { field, why };
    return at;
  }
}

/** What the next byte belongs to; from `Payload` on it is a payload of known length. */
const State = { Tag: 0, Length: 1, Integer: 2, CapturedInteger: 3, Payload: 4, Integers: 5, Capture: 6 } as const;
type State = (typeof State)[keyof typeof State];

const WireType = { Varint: 0, Fixed64: 1, Length: 2, GroupStart: 3, GroupEnd: 4, Fixed32: 5 } as const;

const UNKNOWN: PlannedField = { kind: 'unknown' };
const OVERLONG = 'a field is longer than the message around it';
const UNEVEN = 'a packed list ends inside an element';
const TWICE = 'a message that says which model stands twice';
const TWO_MEMBERS = 'two members of a oneof';
/** Never written to. */
const NO_CLAIMS: number[] = [];
const NO_TARGETS: string[] = [];
/** No depth is this. */
const NO_TARGET = -1;
const MAX_INTEGER_BYTES = 10;
const POWERS: readonly number[] = [1, 2 ** 7, 2 ** 14, 2 ** 21, 2 ** 28];

type CapturedField = Extract<PlannedField, { readonly kind: 'captured' }>;

function nameOf(field: PlannedField): string {
  return field.kind === 'captured' || field.kind === 'integer' ? field.name : 'message';
}

function allows(field: PlannedField, wireType: number): boolean {
  if (field.kind === 'integer') return wireType === WireType.Varint;
  if (field.kind === 'group') return wireType === WireType.GroupStart;
  if (field.kind !== 'number') return wireType === WireType.Length;
  return wireType === field.wireType || (wireType === WireType.Length && field.repeated);
}

function elementBytes(wireType: number): number {
  if (wireType === WireType.Fixed64) return 8;
  return wireType === WireType.Fixed32 ? 4 : 1;
}
