/**
 * What has to be changed in one message so that its scoped names stand in their tenant's namespace, or leave it: found while the wire
 * scanner passes, applied to the message's head when no more can come. Every other byte stays as it is, in its place.
 *
 * A name that grows makes every message around it grow, whose lengths stand before it. So names count only in the first
 * `windowBytes` of a message: so much of it is held back, and the rest streams on in constant memory.
 */
import type { Arena } from '../kernel/arena.ts';
import { bytesOf, type Edit, inOrder, isTakenOut, type LengthEdit, NO_LENGTH, writeEdit } from './edit.ts';
import type { EntryScope, PlannedField } from './field-plan.ts';

/** How a tenant's names are mapped, in one direction. */
export interface NameMapping {
  /** `enter`: strings get the prefix; `leave`: they lose it. */
  readonly direction: 'enter' | 'leave';
  readonly prefix: Buffer;
  /** The tenant's, for what is written anew. */
  readonly arena: Arena;
  /** Maps 64 bits; never asked for zero, and never gives it. */
  integer(bits: bigint): bigint;
}

/** Most names of one message that are changed. */
export const MAX_NAMES = 1_024;

/** Most integers among them: each costs as much as a small call. A request is of one sequence. */
export const MAX_SCOPED_INTEGERS = 8;

type ScopedField = Extract<PlannedField, { readonly kind: 'scoped' | 'key' }>;

/** An entry of a map with a scope, while it is open. */
interface OpenEntry {
  scope: EntryScope | undefined;
  depth: number;
  tagAt: number;
  /** How many edits there were before it. */
  edits: number;
  keys: number;
  /** Its key is the one that makes its names scoped, or is in the namespace. */
  matches: boolean;
  /** A name in it came too late to be changed. */
  late: boolean;
}

export class NameEdits {
  readonly #mapping: NameMapping;
  readonly #windowBytes: number;
  /** The first `#count` of these are the message's. */
  readonly #edits: Edit[] = [];
  #count = 0;
  /** Of the open messages, outermost first: where their length stands, how long it is (0: a group has none), and what it says. */
  readonly #lengths: number[] = [];
  /** What becomes of these lengths, where something does: it may be of an earlier message of this depth. */
  #lengthEdits: LengthEdit[] | undefined;
  #depth = 0;
  readonly #entry: OpenEntry = { scope: undefined, depth: 0, tagAt: 0, edits: 0, keys: 0, matches: false, late: false };
  /** The text whose bytes are read, from where its length stands on. */
  #field: ScopedField | undefined;
  #textAt = 0;
  #textLengthBytes = 0;
  #textBytes = 0;
  #seen = 0;
  #equal = false;
  /** No more edits: the head has moved on. */
  #closed = false;
  #named = false;
  #integers = 0;
  /** All that changes, in order, of a message that is more than one name. */
  #final: readonly Edit[] | undefined;

  constructor(mapping: NameMapping, windowBytes: number) {
    this.#mapping = mapping;
    this.#windowBytes = windowBytes;
  }

  begin(): void {
    this.#forget();
    this.#lengthEdits = undefined;
    this.#depth = 0;
    this.#entry.scope = undefined;
    this.#field = undefined;
    this.#closed = false;
    this.#named = false;
    this.#integers = 0;
  }

  /** Whether there is anything to change, as far as it is certain. */
  get any(): boolean {
    return (this.#entry.scope === undefined ? this.#count : this.#entry.edits) > 0;
  }

  /** Whether the last required name was there, and not empty. */
  get named(): boolean {
    return this.#named;
  }

  /** Whether the bytes of the text that has just begun are to be given to `part`. */
  get reads(): boolean {
    return this.#field !== undefined;
  }

  /** A message, whose length stands at `lengthAt` and is `lengthBytes` long, or a group (0). `tagAt`: where its field begins. */
  enter(lengthAt: number, lengthBytes: number, length: number, scope?: EntryScope, tagAt = 0): void {
    const at = LENGTH_PARTS * this.#depth++;
    this.#lengths[at] = lengthAt;
    this.#lengths[at + 1] = lengthBytes;
    this.#lengths[at + 2] = length;
    if (scope === undefined) return;
    const entry = this.#entry;
    entry.scope = scope;
    entry.depth = this.#depth;
    entry.tagAt = tagAt;
    entry.edits = this.#count;
    entry.keys = 0;
    entry.matches = false;
    entry.late = false;
  }

  /** The innermost message ends at this position. Returns why it cannot be. */
  leave(position: number): string | undefined {
    const { scope, depth } = this.#entry;
    const why = scope !== undefined && depth === this.#depth ? this.#endEntry(scope, position) : undefined;
    this.#depth -= 1;
    return why;
  }

  /** A text begins: its length stands at `lengthAt`. Returns why it cannot be. */
  text(field: ScopedField, lengthAt: number, lengthBytes: number, length: number): string | undefined {
    this.#field = undefined;
    if (field.kind === 'key') {
      const entry = this.#entry;
      entry.keys += 1;
      if (entry.scope?.kind === 'own') entry.matches = false;
      else if (entry.scope?.key.length !== length) return undefined;
    } else {
      if (field.required === true) this.#named = length > 0;
      if (length === 0 || this.#isForeign) return undefined;
      if (this.#mapping.direction === 'enter') return this.#enterName(field, lengthAt, lengthBytes, length);
    }
    if (length === 0) return undefined;
    this.#textAt = lengthAt;
    this.#textLengthBytes = lengthBytes;
    this.#textBytes = length;
    this.#seen = 0;
    this.#equal = true;
    this.#field = field;
    return undefined;
  }

  /** Bytes of the text that is read. Returns why it cannot be. */
  part(chunk: Buffer, start: number, end: number, last: boolean): string | undefined {
    const field = this.#field;
    const { scope } = this.#entry;
    if (field === undefined) return undefined;
    if (field.kind === 'key' && scope?.kind === 'keyed') {
      for (let at = start; at < end; at++) if (chunk[at] !== scope.key.charCodeAt(this.#seen++)) this.#equal = false;
      if (last && this.#equal) this.#entry.matches = true;
      return undefined;
    }
    const { prefix } = this.#mapping;
    const stop = Math.min(end, start + prefix.length - this.#seen);
    for (let at = start; at < stop; at++) if (chunk[at] !== prefix[this.#seen++]) this.#equal = false;
    if (!last || !this.#equal || this.#seen < prefix.length) return undefined;
    if (field.kind === 'key') this.#entry.matches = true;
    return this.#add(this.#textAt, this.#textLengthBytes + prefix.length, this.#textBytes - prefix.length, NOTHING);
  }

  /** An integer stands in `[at, end)`. Returns why it cannot be. */
  integer(at: number, end: number, bits: bigint): string | undefined {
    if (bits === 0n || this.#isForeign) return undefined;
    if (this.#integers === MAX_SCOPED_INTEGERS) return TOO_MANY;
    this.#integers += 1;
    return this.#add(at, end - at, NO_LENGTH, NOTHING, bits);
  }

  /** No more names: what is known now is what is changed. Returns by how many bytes the message grows. */
  close(): number {
    this.#closed = true;
    // An entry that is open may yet turn out to be one of another key.
    const entry = this.#entry;
    if (entry.scope !== undefined && this.#count > entry.edits) {
      this.#drop(entry.edits);
      entry.late = true;
    }
    for (let index = 0; index < this.#count; index++) this.#mapInteger(this.#edits[index]);
    const only = this.#only;
    if (only !== undefined) return bytesOf(only) - only.removed;
    this.#final = this.#count === 0 ? NONE : inOrder(this.#edits.slice(0, this.#count));
    let growth = 0;
    for (const edit of this.#final) growth += bytesOf(edit) - edit.removed;
    return growth;
  }

  /** Nothing is changed after all, if it is not too late. */
  abandon(): void {
    if (!this.#closed) this.begin();
    this.#closed = true;
  }

  /** After `close`: up to where the message changes. */
  get changedBytes(): number {
    let end = 0;
    for (let index = 0; index < this.#count; index++) {
      const edit = this.#edits[index];
      if (edit !== undefined) end = Math.max(end, edit.at + edit.removed);
    }
    return end;
  }

  /**
   * After `close`: `chunk[start, end)`, the message's first bytes, at least `changedBytes` of them, as they become, behind `room` bytes
   * that are to be filled.
   */
  apply(chunk: Buffer, start: number, end: number, growth: number, room = 0): Buffer {
    const whole = this.#mapping.arena.take(room + end - start + growth);
    const only = this.#only;
    let to = room;
    let from = start;
    if (only !== undefined) {
      to += chunk.copy(whole, to, from, start + only.at);
      to = writeEdit(only, whole, to);
      from = start + only.at + only.removed;
    } else {
      for (const edit of this.#final ?? NONE) {
        to += chunk.copy(whole, to, from, start + edit.at);
        to = writeEdit(edit, whole, to);
        from = start + edit.at + edit.removed;
      }
    }
    chunk.copy(whole, to, from, end);
    // A call may last for long after its message.
    this.#forget();
    return whole;
  }

  /** Most messages have one name, in none of the messages that they are made of. */
  get #only(): Edit | undefined {
    const first = this.#edits[0];
    return this.#count === 1 && first?.around === undefined ? first : undefined;
  }

  #forget(): void {
    if (this.#edits.length > KEPT_EDITS) this.#edits.length = 0;
    this.#count = 0;
    this.#final = undefined;
  }

  /** In an entry whose only key has come and is another one: what is in it has no namespace. */
  get #isForeign(): boolean {
    const { scope, keys, matches } = this.#entry;
    return scope?.kind === 'keyed' && keys > 0 && !matches;
  }

  #enterName(field: ScopedField, lengthAt: number, lengthBytes: number, length: number): string | undefined {
    const { prefix } = this.#mapping;
    const bytes = length + prefix.length;
    if (field.kind === 'scoped' && field.maxBytes !== undefined && bytes > field.maxBytes)
      return `is longer than ${field.maxBytes - prefix.length} bytes`;
    return this.#add(lengthAt, lengthBytes, bytes, prefix);
  }

  #add(at: number, removed: number, length: number, after: Buffer, integer = 0n): string | undefined {
    const { scope } = this.#entry;
    if (this.#closed || at + removed > this.#windowBytes) {
      if (scope !== undefined) this.#entry.late = true;
      // On its way back a name that cannot be changed any more does no harm: it is the tenant's own.
      else if (this.#mapping.direction === 'enter') return LATE;
      return undefined;
    }
    if (this.#count === MAX_NAMES) return TOO_MANY;
    this.#put(at, removed, this.#around(this.#depth - 1), length, after, integer);
    return undefined;
  }

  #put(
    at: number,
    removed: number,
    around: LengthEdit | undefined,
    length: number,
    after: Buffer,
    integer: bigint,
  ): void {
    const edit = this.#edits[this.#count];
    if (edit === undefined) this.#edits.push({ at, removed, around, length, after, integer });
    else {
      edit.at = at;
      edit.removed = removed;
      edit.around = around;
      edit.length = length;
      edit.after = after;
      edit.integer = integer;
    }
    this.#count += 1;
  }

  #mapInteger(edit: Edit | undefined): void {
    if (edit === undefined || edit.integer === 0n) return;
    edit.after = varint(this.#mapping.integer(edit.integer));
    edit.integer = 0n;
  }

  #endEntry(scope: EntryScope, position: number): string | undefined {
    const entry = this.#entry;
    entry.scope = undefined;
    const named = this.#count > entry.edits || entry.late;
    if (scope.kind === 'own') {
      if (position > this.#windowBytes || this.#closed) return LATE;
      if (entry.matches) return undefined;
      this.#drop(entry.edits);
      return this.#takeOut(entry.tagAt, position);
    }
    if (!entry.matches) this.#drop(entry.edits);
    // Most parsers take the last, some the first.
    else if (entry.keys > 1) return 'an entry of a map has two keys';
    else if (named && (entry.late || position > this.#windowBytes || this.#closed)) {
      if (this.#mapping.direction === 'enter') return LATE;
      this.#drop(entry.edits);
    }
    return undefined;
  }

  /** An entry of the outermost message is taken out; with the one before it, if that was too. */
  #takeOut(at: number, end: number): string | undefined {
    const last = this.#edits[this.#count - 1];
    if (this.#count > 0 && last !== undefined && isTakenOut(last) && last.at + last.removed === at) {
      last.removed += end - at;
      return undefined;
    }
    if (this.#count === MAX_NAMES) return TOO_MANY;
    this.#put(at, end - at, undefined, NO_LENGTH, NOTHING, 0n);
    return undefined;
  }

  #drop(edits: number): void {
    this.#count = edits;
  }

  /** The lengths that change with what stands in the message at this depth. */
  #around(depth: number): LengthEdit | undefined {
    if (depth < 0) return undefined;
    const parts = LENGTH_PARTS * depth;
    const [at, removed, length] = [this.#lengths[parts], this.#lengths[parts + 1], this.#lengths[parts + 2]];
    const around = this.#around(depth - 1);
    if (at === undefined || removed === undefined || length === undefined || removed === 0) return around;
    const edits = (this.#lengthEdits ??= []);
    const known = edits[depth];
    if (known !== undefined && known.at === at) return known;
    const edit = { at, removed, around, length, growth: 0 };
    edits[depth] = edit;
    return edit;
  }
}

/** Numbers in a row for each open message. */
const LENGTH_PARTS = 3;
const NOTHING = Buffer.alloc(0);
const TOO_MANY = 'has too many names';
const LATE = 'names something too late in the message';

/** Of so many edits the records are kept for the next message. */
const KEPT_EDITS = 16;
const NONE: readonly Edit[] = [];

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
