/**
 * From a field path in a described message type to the shape that the scanner reads it by.
 *
 * What stands on the path is captured or claimed; everything else is only stepped over, but its wire types are known all the way
 * down. A path goes through messages, singular or repeated, and members of oneofs; not through maps or groups.
 */
import { type DescField, type DescMessage, type DescOneof, ScalarType } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import type { Claim, FieldShape, IntegerForm, MessageShape } from '../protobuf/field-plan.ts';
import { FIXED32, FIXED64, message, number, numbers, PAYLOAD, VARINT } from './shape.ts';

/** A path that resolves to something that can be read. */
export interface ReadPath {
  readonly text: string;
  readonly slot: number;
  /** From the request on; the last is the string or integer, or a wrapper message of one. */
  readonly steps: readonly DescField[];
}

/** Why a path cannot be read. */
export class PathFault extends Error {
  readonly fix: string;

  constructor(text: string, fix: string) {
    super(text);
    this.fix = fix;
  }
}

/** Most message types below one request. More are a mistake, or an attack on who compiles them. */
export const MAX_REQUEST_TYPES = 2_000;

/** Resolves a path. Throws a PathFault. */
export function readPath(type: DescMessage, text: string, slot: number): ReadPath {
  const steps: DescField[] = [];
  let at: DescMessage | undefined = type;
  for (const name of text.split('.')) {
    if (at === undefined) throw new PathFault(`${text}: there is nothing in ${steps.at(-1)?.name ?? ''}`, 'shorten it');
    const field: DescField | undefined = at.fields.find((each) => each.name === name);
    if (field === undefined) {
      const names = at.fields.slice(0, 20).map((each) => each.name);
      throw new PathFault(
        `${at.typeName} has no field ${name}`,
        `write one of: ${names.join(', ') || '(it has none)'}`,
      );
    }
    if (field.fieldKind === 'map') throw new PathFault(`${text}: ${name} is a map`, 'name a field outside of maps');
    if (isGroup(field)) throw new PathFault(`${text}: ${name} is a group`, 'name a field outside of groups');
    steps.push(field);
    at = field.message;
  }
  judgeLeaf(text, steps.at(-1));
  return { text, slot, steps };
}

function isGroup(field: DescField): boolean {
  return field.message !== undefined && field.fieldKind !== 'map' && field.delimitedEncoding;
}

function judgeLeaf(text: string, leaf: DescField | undefined): void {
  if (leaf === undefined || leafForm(leaf) === undefined)
    throw new PathFault(
      `${text} is neither a string nor an integer`,
      'name a string, an int32, int64, uint32 or uint64',
    );
  if (leaf.proto.defaultValue !== '')
    throw new PathFault(`${text} has a default, which stands for a field that is not sent`, 'name another field');
  const isText = leafForm(leaf) === 'text' && leaf.message === undefined;
  if (leaf.fieldKind === 'list' && !isText)
    throw new PathFault(`${text} is a list of what is no string`, 'name a field that is not repeated');
}

const WRAPPERS: ReadonlySet<string> = new Set(
  ['String', 'Int32', 'Int64', 'UInt32', 'UInt64'].map((kind) => `google.protobuf.${kind}Value`),
);

/** What a leaf holds; undefined: nothing that can be read. */
function leafForm(field: DescField): IntegerForm | 'text' | undefined {
  if (field.message !== undefined) {
    const value = WRAPPERS.has(field.message.typeName)
      ? field.message.fields.find((each) => each.number === 1)
      : undefined;
    return value === undefined || value.message !== undefined ? undefined : leafForm(value);
  }
  switch (field.scalar) {
    case ScalarType.STRING:
      return 'text';
    case ScalarType.INT32:
      return 'int32';
    case ScalarType.INT64:
      return 'int64';
    case ScalarType.UINT32:
      return 'uint32';
    case ScalarType.UINT64:
      return 'uint64';
    default:
      return undefined;
  }
}

/** The request's shape, with what the paths name captured. Throws a PathFault, or a RangeError when there are too many types. */
export function pathShape(type: DescMessage, paths: readonly ReadPath[]): MessageShape {
  judgeTogether(paths);
  return new Shaper().onPath(type, paths, 0);
}

/** The version has to be in the same elements as the model: else nobody could say which version is which model's. */
function judgeTogether([model, version]: readonly ReadPath[]): void {
  if (model === undefined || version === undefined) return;
  if (version.steps.every((step, index) => step === model.steps[index]) || version.text.startsWith(`${model.text}.`))
    throw new PathFault(`${version.text} is a part of the model, or the model itself`, 'name another field');
  const repeated = ({ steps }: ReadPath) => steps.findLastIndex((step) => step.fieldKind === 'list');
  const last = Math.max(repeated(model), repeated(version));
  const same = model.steps.slice(0, last + 1).every((step, index) => step === version.steps[index]);
  if (!same)
    throw new PathFault(
      `${version.text} and ${model.text} are not in the same elements of repeated fields`,
      'name fields of the same element, or only the model',
    );
}

class Shaper {
  readonly #types = new Map<DescMessage, MessageShape>();
  readonly #claims = new Map<DescOneof | DescField, Claim>();

  /** A message that the paths go on in, after `depth` steps. */
  onPath(type: DescMessage, paths: readonly ReadPath[], depth: number): MessageShape {
    const named = new Set(paths.map(({ steps }) => steps[depth]));
    const oneofs = new Set([...named].map((field) => field?.oneof).filter((oneof) => oneof !== undefined));
    const shape: Record<number, FieldShape> = {};
    for (const field of type.fields) {
      const through = paths.filter(({ steps }) => steps[depth] === field);
      const [first] = through;
      if (first === undefined) {
        const plain = this.#offPath(field);
        const shared = field.oneof !== undefined && oneofs.has(field.oneof);
        shape[field.number] = shared ? { ...plain, claim: this.#claim(field) } : plain;
      } else if (first.steps.length === depth + 1) shape[field.number] = this.#leaf(field, first);
      else shape[field.number] = this.#step(field, through, depth);
    }
    return shape;
  }

  #step(field: DescField, paths: readonly ReadPath[], depth: number): FieldShape {
    if (field.message === undefined) throw new PathFault('a path goes through what is no message', 'shorten it');
    const shape = this.onPath(field.message, paths, depth + 1);
    if (field.fieldKind !== 'list') return { kind: 'message', shape, claim: this.#claim(field) };
    const further = paths.some(({ steps }) => steps.slice(depth + 1).some((step) => step.fieldKind === 'list'));
    return { kind: 'message', shape, repeats: further ? 'fresh' : 'each' };
  }

  #leaf(field: DescField, { text, slot }: ReadPath): FieldShape {
    const form = leafForm(field);
    if (form === undefined) throw new PathFault(`${text} cannot be read`, 'name a string or an integer');
    if (field.message !== undefined) {
      const value: FieldShape =
        form === 'text'
          ? { kind: 'captured', slot, name: text }
          : { kind: 'integer', slot, name: text, form, zero: '0' };
      const wrapper = { kind: 'message', shape: { 1: value }, claim: this.#claim(field) } as const;
      return form === 'text' ? wrapper : { ...wrapper, present: { slot, text: '0' } };
    }
    const claim = field.oneof === undefined ? {} : { claim: this.#claim(field) };
    if (form !== 'text') {
      const zero = field.presence === FeatureSet_FieldPresence.IMPLICIT ? '' : '0';
      return { kind: 'integer', slot, name: text, form, zero, ...claim };
    }
    if (field.fieldKind === 'list') return { kind: 'captured', slot, name: text, each: true };
    return { kind: 'captured', slot, name: text, ...claim };
  }

  #claim(field: DescField): Claim {
    const owner = field.oneof ?? field;
    const claim = this.#claims.get(owner) ?? this.#claims.size;
    this.#claims.set(owner, claim);
    return claim;
  }

  #offPath(field: DescField): FieldShape {
    if (field.fieldKind === 'map') {
      const value = field.mapKind === 'message' ? message(this.#type(field.message)) : scalar(field.scalar, false);
      return message({ 1: scalar(field.mapKey, false), 2: value });
    }
    if (field.message === undefined) return scalar(field.scalar, field.fieldKind === 'list');
    const shape = this.#type(field.message);
    return isGroup(field) ? { kind: 'group', shape } : message(shape);
  }

  #type(type: DescMessage): MessageShape {
    const known = this.#types.get(type);
    if (known !== undefined) return known;
    if (this.#types.size >= MAX_REQUEST_TYPES) throw new RangeError('too many types');
    const shape: Record<number, FieldShape> = {};
    this.#types.set(type, shape);
    for (const field of type.fields) shape[field.number] = this.#offPath(field);
    return shape;
  }
}

/** `type` undefined: an enum. */
function scalar(type: ScalarType | undefined, list: boolean): FieldShape {
  switch (type) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return PAYLOAD;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return list ? numbers(FIXED64) : number(FIXED64);
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return list ? numbers(FIXED32) : number(FIXED32);
    default:
      return list ? numbers(VARINT) : number(VARINT);
  }
}
