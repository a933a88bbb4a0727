/**
 * Which fields of a message the wire scanner reads, and how every other field of the type is encoded.
 *
 * A plan knows the fields that are only stepped over too, because parsers differ on them. Those that do not check a known
 * field's wire type take `id` sent as an integer for a string, and eat what we saw as the next fields. Those that do not
 * confine a nested message to its length go on reading behind it. Either would see another model name than we did, so what
 * they could read differently is refused; that takes knowing the wire types, all the way down.
 */

/** A message type, by field number. Every field that the type declares must be in it. */
export type MessageShape = Readonly<Record<number, FieldShape>>;

export type FieldShape =
  /** A string that is read into a slot; fields may share one, and the last on the wire wins. Not repeated, not in a oneof. */
  | { readonly kind: 'captured'; readonly slot: number; readonly name: string }
  /** A string or bytes field that is stepped over unseen. */
  | { readonly kind: 'payload' }
  /** A message or a map's entry. */
  | { readonly kind: 'message'; readonly shape: MessageShape }
  /** A number, boolean or enum. A repeated one may come packed. */
  | { readonly kind: 'number'; readonly wireType: NumberWireType; readonly repeated: boolean };

/** Varint, fixed64, fixed32. */
export type NumberWireType = 0 | 1 | 5;

/** A compiled plan. Immutable, shared by all scanners of its message type. */
export interface FieldPlan {
  readonly root: PlanNode;
  /** How many values the scanner yields. */
  readonly slots: number;
}

export interface PlanNode {
  /** By field number; a number beyond the end is an unknown field. */
  readonly fields: readonly PlannedField[];
}

export type PlannedField =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'captured'; readonly slot: number; readonly name: string }
  | { readonly kind: 'payload' }
  | { readonly kind: 'message'; readonly node: PlanNode }
  | { readonly kind: 'number'; readonly wireType: NumberWireType; readonly repeated: boolean };

/** Compiles a plan. Throws a RangeError when the shape contradicts itself: plans are written by us. */
export function planFields(shape: MessageShape): FieldPlan {
  const slots = new Set<number>();
  const root = compile(shape, slots);
  for (let slot = 0; slot < slots.size; slot++) if (!slots.has(slot)) throw new RangeError(`slot ${slot} is not used`);
  return { root, slots: slots.size };
}

/** Highest field number that a plan may name: plans are arrays. */
const MAX_PLANNED_FIELD = 255;

const UNKNOWN: PlannedField = { kind: 'unknown' };

function compile(shape: MessageShape, slots: Set<number>): PlanNode {
  const fields: PlannedField[] = [UNKNOWN];
  for (const [key, field] of Object.entries(shape)) {
    const number = Number(key);
    if (!(Number.isInteger(number) && number >= 1 && number <= MAX_PLANNED_FIELD))
      throw new RangeError(`field ${key} cannot be planned`);
    while (fields.length <= number) fields.push(UNKNOWN);
    if (field.kind === 'captured') slots.add(field.slot);
    fields[number] = field.kind === 'message' ? { kind: 'message', node: compile(field.shape, slots) } : field;
  }
  return { fields };
}
