/**
 * Triton's messages with names in them, in any order and as often as the wire allows, and what they say when they are decoded as a
 * whole: to compare what the sidecar rewrites with.
 */
import { type DescMessage, fromBinary } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { loadRegistry } from './proto-registry.ts';

const registry = loadRegistry('inference/grpc_inference_service.proto');

function typeOf(name: string): DescMessage {
  const found = registry.getMessage(`inference.${name}`);
  if (found === undefined) throw new Error(`no type ${name}`);
  return found;
}

export const REQUEST = typeOf('ModelInferRequest');
export const RESPONSE = typeOf('ModelInferResponse');
export const STREAM_RESPONSE = typeOf('ModelStreamInferResponse');
export const SYSTEM_STATUS = typeOf('SystemSharedMemoryStatusResponse');

/** What a full decode makes of a message; undefined when it is none. */
export function decoded(type: DescMessage, message: Uint8Array): unknown {
  try {
    return plain(reflect(type, fromBinary(type, message)));
  } catch {
    return undefined;
  }
}

/** Fields by name; 64-bit integers as text. */
function plain(message: ReflectMessage): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    if (field.fieldKind === 'map')
      fields[field.name] = Object.fromEntries([...message.get(field)].map(([key, value]) => [key, plainValue(value)]));
    else if (field.fieldKind === 'list') fields[field.name] = [...message.get(field)].map(plainValue);
    else fields[field.name] = plainValue(message.get(field));
  }
  return fields;
}

function plainValue(value: unknown): unknown {
  if (isReflected(value)) return plain(value);
  return typeof value === 'bigint' ? String(value) : value;
}

function isReflected(value: unknown): value is ReflectMessage {
  return isRecord(value) && 'desc' in value && 'fields' in value;
}

/** The same with its names mapped: what has no name, or an empty one, stays. */
export function mapped(
  value: unknown,
  text: (name: string) => string,
  integer: (id: bigint) => bigint,
  signed: (id: bigint) => bigint = (id) => BigInt.asIntN(64, integer(BigInt.asUintN(64, id))),
): unknown {
  const name = (from: unknown): unknown => (typeof from === 'string' && from !== '' ? text(from) : from);
  const parameter = (from: unknown): unknown => {
    if (!isRecord(from)) return from;
    const { int64_param: int64, uint64_param: uint64, string_param: string } = from;
    if (typeof int64 === 'string' && int64 !== '0') return { int64_param: String(signed(BigInt(int64))) };
    if (typeof uint64 === 'string' && uint64 !== '0') return { uint64_param: String(integer(BigInt(uint64))) };
    return typeof string === 'string' ? { string_param: name(string) } : from;
  };
  const region = (from: unknown): unknown =>
    isRecord(from) && 'string_param' in from ? { string_param: name(from['string_param']) } : from;
  const within = (from: unknown, key: string, map: (value: unknown) => unknown): unknown =>
    isRecord(from) && key in from ? { ...from, [key]: map(from[key]) } : from;
  const tensors = (from: unknown): unknown =>
    Array.isArray(from)
      ? from.map((each) => within(each, 'parameters', (all) => within(all, 'shared_memory_region', region)))
      : from;
  let result = within(value, 'id', name);
  result = within(result, 'parameters', (all) => within(all, 'sequence_id', parameter));
  result = within(result, 'inputs', tensors);
  return within(result, 'outputs', tensors);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function bytesField(number: number, bytes: Uint8Array): Buffer {
  return Buffer.from(new BinaryWriter().tag(number, 2).bytes(bytes).finish());
}

export function textField(number: number, text: string): Buffer {
  return bytesField(number, Buffer.from(text));
}

/** InferParameter. */
export type Choice = { readonly int64: bigint } | { readonly uint64: bigint } | { readonly text: string };

export function choice(value: Choice): Buffer {
  if ('text' in value) return textField(3, value.text);
  if ('int64' in value) return Buffer.from(new BinaryWriter().tag(2, 0).int64(value.int64).finish());
  return Buffer.from(new BinaryWriter().tag(5, 0).uint64(value.uint64).finish());
}

export function parameter(field: number, key: string, value: Choice, valueFirst = false): Buffer {
  const parts = [textField(1, key), bytesField(2, choice(value))];
  return bytesField(field, Buffer.concat(valueFirst ? parts.reverse() : parts));
}

const name = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.constantFrom('', 'r', 'a:b', 'x'.repeat(119)));
const choices: fc.Arbitrary<Choice> = fc.oneof(
  fc.record({ int64: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n) }),
  fc.record({ uint64: fc.bigInt(0n, 2n ** 64n - 1n) }),
  fc.record({ text: name }),
  fc.constantFrom<Choice>({ int64: 0n }, { int64: 7n }, { uint64: 1n }),
);
const parameters = (field: number): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      fc.constantFrom('sequence_id', 'shared_memory_region', 'sequence_end', 'priority', 'sequence_ix', ''),
      choices,
      fc.boolean(),
    )
    .map(([key, value, valueFirst]) => parameter(field, key, value, valueFirst));
const payload = fc.uint8Array({ maxLength: 200 });
const inOrder = (parts: fc.Arbitrary<Buffer>, maxLength: number): fc.Arbitrary<Buffer> =>
  fc.array(parts, { maxLength }).map((all) => Buffer.concat(all));

const input = inOrder(
  fc.oneof(
    name.map((text) => textField(1, text)),
    parameters(4),
    payload.map((bytes) => bytesField(5, bytesField(8, bytes))),
  ),
  4,
);
const output = inOrder(
  fc.oneof(
    name.map((text) => textField(1, text)),
    parameters(2),
  ),
  3,
);

/** ModelInferRequest: its fields in any order, repeated, with unknown ones between them. */
export const requests = inOrder(
  fc.oneof(
    fc.constantFrom(1, 2).map((number) => textField(number, 'm')),
    name.map((text) => textField(3, text)),
    parameters(4),
    input.map((bytes) => bytesField(5, bytes)),
    output.map((bytes) => bytesField(6, bytes)),
    payload.map((bytes) => bytesField(7, bytes)),
    payload.map((bytes) => bytesField(99, bytes)),
  ),
  8,
);

/** Where a message is cut into pieces. */
export const cuts = fc.array(fc.nat(4_000), { maxLength: 4 });
