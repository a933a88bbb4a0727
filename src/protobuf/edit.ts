/**
 * One change of a message's bytes, and what it makes of the lengths that stand before it.
 */

/** Bytes that give way to others: to a length if there is one, and what follows it. Used again for the next message. */
export interface Edit {
  at: number;
  removed: number;
  /** The length of the message around it that the change makes another, if it has one. */
  around: LengthEdit | undefined;
  /** Written as a varint; `NO_LENGTH`: none. */
  length: number;
  after: Buffer;
  /** Comes instead, mapped and as a varint; zero: none does. */
  integer: bigint;
}

export interface LengthEdit {
  readonly at: number;
  readonly removed: number;
  readonly around: LengthEdit | undefined;
  readonly length: number;
  /** By how much what is inside grows. */
  growth: number;
}

export const NO_LENGTH = -1;

/**
 * All that changes with these edits, in order: they themselves, and the lengths around them. They must be mapped.
 */
export function inOrder(edits: readonly Edit[]): readonly Edit[] {
  const lengths = new Set<LengthEdit>();
  const found = [...edits];
  for (const edit of edits) {
    if (edit.around !== undefined) edit.around.growth += bytesOf(edit) - edit.removed;
    for (let outer = edit.around; outer !== undefined; outer = outer.around) lengths.add(outer);
  }
  // From the inside out: a length that takes another byte makes what is around it longer, too.
  for (const { at, removed, around, length, growth } of [...lengths].sort((a, b) => b.at - a.at)) {
    if (growth === 0) continue;
    const edit = { at, removed, around, length: length + growth, after: NOTHING, integer: 0n };
    if (around !== undefined) around.growth += growth + bytesOf(edit) - removed;
    found.push(edit);
  }
  return found.sort((a, b) => a.at - b.at);
}

/** Nothing comes instead. */
export function isTakenOut(edit: Edit): boolean {
  return edit.length === NO_LENGTH && edit.after.length === 0 && edit.integer === 0n;
}

/** How long it is that comes instead. */
export function bytesOf({ length, after }: Edit): number {
  return length === NO_LENGTH ? after.length : lengthBytes(length) + after.length;
}

function lengthBytes(length: number): number {
  let bytes = 1;
  for (let rest = length; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes += 1;
  return bytes;
}

/** Writes what comes instead. Returns where it ends. */
export function writeEdit({ length, after }: Edit, into: Buffer, start: number): number {
  let at = start;
  if (length !== NO_LENGTH) {
    let rest = length;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) into[at++] = (rest % 0x80) | 0x80;
    into[at++] = rest;
  }
  return at + after.copy(into, at);
}

const NOTHING = Buffer.alloc(0);
