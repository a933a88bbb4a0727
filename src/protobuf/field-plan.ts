/**
 * Which fields of a message the wire scanner reads, and how every other field of the type is encoded.
 *
 * A plan knows the fields that are only stepped over too, because parsers differ on them. Those that do not check a known
 * field's wire type take `id` sent as an integer for a string, and eat what we saw as the next fields. Those that do not
 * confine a nested message to its length go on reading behind it. Either would see another model name than we did, so what
 * they could read differently is refused; that takes knowing the wire types, all the way down.
 */

/** A message type, by field number. Every field that the type declares must be in it. May refer to itself. */
export interface MessageShape {
  readonly [number: number]: FieldShape;
}

/**
 * A field that a message may have only one of, with others or alone: the members of a oneof share a claim, a message with
 * captured fields in it has one of its own. Parsers differ on a second one (most merge two messages of a singular field, some
 * take the last; most forget a oneof's earlier member, some keep both), so it is refused. Numbers from 0 up, one plan's own.
 */
export type Claim = number;

/** What an integer field holds, as its text. All are varints. */
export type IntegerForm = 'int32' | 'int64' | 'uint32' | 'uint64';

export type FieldShape =
  /**
   * A string that is read into a slot, behind `prefix`; fields may share one, and the last on the wire wins. `each`: it is
   * repeated, and every element is a target of its own.
   */
  | {
      readonly kind: 'captured';
      readonly slot: number;
      readonly name: string;
      readonly prefix?: string;
      readonly each?: boolean;
      readonly claim?: Claim;
    }
  /** An integer that is read into a slot, in decimal; `zero` is what 0 is read as, which may say the same as no field at all. */
  | {
      readonly kind: 'integer';
      readonly slot: number;
      readonly name: string;
      readonly form: IntegerForm;
      readonly zero: '' | '0';
      readonly claim?: Claim;
    }
  /** A string that stands in its tenant's namespace. With `required` the message must have one that is not empty. */
  | {
      readonly kind: 'scoped';
      readonly name: string;
      readonly required?: boolean;
      /** The longest that its server takes, with what stands before it. */
      readonly maxBytes?: number;
      readonly claim?: Claim;
    }
  /** An integer (int64, uint64) that stands in its tenant's namespace. */
  | { readonly kind: 'scoped-integer'; readonly name: string; readonly claim?: Claim }
  /** The key of a map's entry whose field has a `scope`. */
  | { readonly kind: 'key'; readonly claim?: Claim }
  /** An integer (a varint), or a list of them, that is a number like any other unless somebody counts: then it goes into a slot of the measures. */
  | MeasuredField
  /** A string or bytes field that is stepped over unseen. */
  | { readonly kind: 'payload'; readonly claim?: Claim }
  /**
   * A message or a map's entry. `each`: it is repeated, and every element with captured fields in it is a target of its own.
   * `fresh`: repeated, with such an element further in. `present` is what its presence puts into a slot.
   */
  | {
      readonly kind: 'message';
      readonly shape: MessageShape;
      readonly claim?: Claim;
      readonly repeats?: 'each' | 'fresh';
      readonly present?: { readonly slot: number; readonly text: string };
      readonly scope?: EntryScope;
      readonly measure?: Measure;
    }
  /** A group (proto2), or a message field with delimited encoding (editions). */
  | { readonly kind: 'group'; readonly shape: MessageShape; readonly claim?: Claim }
  /** A number, boolean or enum. A repeated one may come packed. */
  | {
      readonly kind: 'number';
      readonly wireType: NumberWireType;
      readonly repeated: boolean;
      readonly claim?: Claim;
    };

/** An integer field that `Measures` takes. */
export interface MeasuredField {
  readonly kind: 'measured';
  readonly name: string;
  /** Slot, for `value`, `uint32` and `length`. */
  readonly into: number;
  /**
   * `value`: the last one is the slot's. `uint32`: the same, where nothing else may be said: parsers drop the bits that are too many. `length`: how many there are is added to the slot. `factor`: each multiplies the product around
   * it. `size`: the last one is what the message that it stands in, a `factor`, multiplies by; 0 when there is none. `entry`: the last one
   * is the value of the map's entry that it stands in.
   */
  readonly how: 'value' | 'uint32' | 'length' | 'factor' | 'size' | 'entry';
  readonly repeated: boolean;
  readonly claim?: Claim;
}

/**
 * What a message is to the measures: `product`: the product of all factors in it, which is added to a slot; or one of those. `entry`: of a map,
 * whose value goes into the slot that the measures have for its key.
 */
export type Measure =
  | { readonly kind: 'product'; readonly into: number }
  | { readonly kind: 'factor' }
  | { readonly kind: 'entry' };

/** What the key of a map's entry says of the scoped fields in it. Such an entry has no other inside of it. */
export type EntryScope =
  /** They are scoped when the entry's key is this, of ASCII characters. */
  | { readonly kind: 'keyed'; readonly key: string }
  /** The key is scoped, too, and an entry of another namespace is taken out. Only in fields of the outermost message. */
  | { readonly kind: 'own' };

/** Varint, fixed64, fixed32. */
export type NumberWireType = 0 | 1 | 5;

/** A compiled plan. Immutable, shared by all scanners of its message type. */
export interface FieldPlan {
  readonly root: PlanNode;
  /** How many values the scanner yields for each target. */
  readonly slots: number;
  /** Whether a message may have several targets, one for each element of a repeated field. */
  readonly repeated: boolean;
  /** How many claims its fields make. */
  readonly claims: number;
}

export interface PlanNode {
  /** By field number; a number beyond the end is an unknown field, unless it is in `high`. */
  readonly fields: readonly PlannedField[];
  /** Fields with numbers above `MAX_PLANNED_FIELD`. */
  readonly high: ReadonlyMap<number, PlannedField> | undefined;
}

export type PlannedField =
  | { readonly kind: 'unknown'; readonly claim?: undefined }
  | Exclude<FieldShape, { readonly kind: 'message' | 'group' }>
  | { readonly kind: 'group'; readonly node: PlanNode; readonly claim?: Claim }
  | PlannedMessage;

export interface PlannedMessage {
  readonly kind: 'message';
  readonly node: PlanNode;
  readonly claim?: Claim;
  readonly repeats?: 'each' | 'fresh';
  /** With `repeats`: claims inside, which each element makes anew. */
  readonly inside: readonly Claim[];
  readonly present?: { readonly slot: number; readonly text: string };
  readonly scope?: EntryScope;
  readonly measure?: Measure;
}

/** Compiles a plan. Throws a RangeError when the shape contradicts itself: plans are written by us. */
export function planFields(shape: MessageShape): FieldPlan {
  const compiler = new Compiler();
  const root = compiler.compile(shape);
  for (let slot = 0; slot < compiler.slots.size; slot++)
    if (!compiler.slots.has(slot)) throw new RangeError(`slot ${slot} is not used`);
  return { root, slots: compiler.slots.size, repeated: compiler.repeated, claims: compiler.claims };
}

/** Highest field number that stands in a plan's arrays. */
const MAX_PLANNED_FIELD = 255;
/** Protobuf's highest field number. */
const MAX_FIELD = 2 ** 29 - 1;

const UNKNOWN: PlannedField = { kind: 'unknown' };

class Compiler {
  readonly slots = new Set<number>();
  repeated = false;
  claims = 0;
  /** A type that contains itself is compiled once. */
  readonly #nodes = new Map<MessageShape, PlanNode>();

  compile(shape: MessageShape): PlanNode {
    const known = this.#nodes.get(shape);
    if (known !== undefined) return known;
    const fields: PlannedField[] = [UNKNOWN];
    const high = new Map<number, PlannedField>();
    const keys = Object.keys(shape).map(Number);
    const node: PlanNode = { fields, high: keys.some((key) => key > MAX_PLANNED_FIELD) ? high : undefined };
    this.#nodes.set(shape, node);
    for (const number of keys) {
      const field = shape[number];
      if (field === undefined || !(Number.isInteger(number) && number >= 1 && number <= MAX_FIELD))
        throw new RangeError(`field ${number} cannot be planned`);
      const planned = this.#plan(field);
      if (number > MAX_PLANNED_FIELD) {
        high.set(number, planned);
        continue;
      }
      while (fields.length <= number) fields.push(UNKNOWN);
      fields[number] = planned;
    }
    return node;
  }

  #plan(field: FieldShape): PlannedField {
    if (field.claim !== undefined) this.claims = Math.max(this.claims, field.claim + 1);
    if (field.kind === 'group') return { kind: 'group', node: this.compile(field.shape), ...claimOf(field) };
    if (field.kind !== 'message') {
      if (field.kind === 'captured' || field.kind === 'integer') this.slots.add(field.slot);
      if (field.kind === 'captured' && field.each === true) this.repeated = true;
      return field;
    }
    const { shape, ...rest } = field;
    if (field.repeats === 'each') this.repeated = true;
    return { ...rest, node: this.compile(shape), inside: field.repeats === undefined ? [] : [...claimsIn(shape)] };
  }
}

function claimOf(field: FieldShape): { readonly claim?: Claim } {
  return field.claim === undefined ? {} : { claim: field.claim };
}

function claimsIn(shape: MessageShape, claims = new Set<Claim>(), seen = new Set<MessageShape>()): ReadonlySet<Claim> {
  if (seen.has(shape)) return claims;
  seen.add(shape);
  for (const field of Object.values(shape)) {
    if (field.claim !== undefined) claims.add(field.claim);
    if (field.kind === 'message' || field.kind === 'group') claimsIn(field.shape, claims, seen);
  }
  return claims;
}
