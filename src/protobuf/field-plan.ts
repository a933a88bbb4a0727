/**
 * Which fields of a message the wire scanner reads. A plan also names the fields that it does not read, because not every
 * parser checks a known field's wire type: one that does not would take `id` sent as an integer for a string, eat what we
 * saw as the next fields, and see another model name than we did. So a known field in the wrong wire type is refused.
 */

/** What a plan says about one message type. Every field of the type must be in it, and all of them are length-delimited. */
export interface MessageShape {
  /** String fields that are captured. Fields of a oneof cannot be: their siblings would have to clear them. */
  readonly captured?: Readonly<Record<number, Capture>>;
  /** Message fields with captured fields inside. Not repeated, not in a oneof. */
  readonly nested?: Readonly<Record<number, MessageShape>>;
  /** Fields that are passed over: strings, bytes, messages, maps. */
  readonly skipped?: readonly number[];
}

export interface Capture {
  /** Where the scanner puts the value; several fields may share one, and the last on the wire wins. */
  readonly slot: number;
  /** The field's name, for refusals. */
  readonly name: string;
}

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
  | { readonly kind: 'skipped' }
  | { readonly kind: 'captured'; readonly capture: Capture }
  | { readonly kind: 'nested'; readonly node: PlanNode };

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
  const put = (field: number, planned: PlannedField): void => {
    if (!(Number.isInteger(field) && field >= 1 && field <= MAX_PLANNED_FIELD))
      throw new RangeError(`field ${field} cannot be planned`);
    while (fields.length <= field) fields.push(UNKNOWN);
    if (fields[field] !== UNKNOWN) throw new RangeError(`field ${field} is planned twice`);
    fields[field] = planned;
  };
  for (const [field, capture] of Object.entries(shape.captured ?? {})) {
    slots.add(capture.slot);
    put(Number(field), { kind: 'captured', capture });
  }
  for (const [field, inner] of Object.entries(shape.nested ?? {}))
    put(Number(field), { kind: 'nested', node: compile(inner, slots) });
  for (const field of shape.skipped ?? []) put(field, { kind: 'skipped' });
  return { fields };
}
