import { BinaryWriter } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ANSWERS_SLOT,
  ELEMENTS_SLOT,
  MAX_TOKENS_SLOT,
  MEASURE_SLOTS,
} from '../../../src/inspection/measured-fields.ts';
import { PROTOCOLS } from '../../../src/inspection/protocols.ts';
import { GENERATE_TOKENS } from '../../../src/inspection/token-usage.ts';
import type { FieldPlan } from '../../../src/protobuf/field-plan.ts';
import { Measures } from '../../../src/protobuf/measures.ts';
import { WireScanner } from '../../../src/protobuf/scanner.ts';
import { TextCache } from '../../../src/protobuf/text-cache.ts';

function planOf(protocol: keyof typeof PROTOCOLS, service: string, method: string): FieldPlan {
  const plan = PROTOCOLS[protocol].get(service)?.get(method)?.plan;
  if (plan === undefined) throw new Error('no plan');
  return plan;
}

const INFER = planOf('triton', 'inference.GRPCInferenceService', 'ModelInfer');
const OPEN_INFER = planOf('kserve', 'inference.GRPCInferenceService', 'ModelInfer');
const PREDICT = planOf('tensorflow-serving', 'tensorflow.serving.PredictionService', 'Predict');

/** Elements of a message, or why it is refused: whole, and byte by byte, which have to agree. */
function elementsOf(plan: FieldPlan, message: Uint8Array, slot = ELEMENTS_SLOT): number | string {
  const bytes = Buffer.from(message);
  const results = [bytes.length, 1].map((step) => {
    const measures = new Measures(MEASURE_SLOTS);
    const scanner = new WireScanner(plan, new TextCache());
    scanner.measures = measures;
    scanner.begin(bytes.length);
    for (let at = 0; at < bytes.length; at += step) {
      const piece = Buffer.from(bytes.subarray(at, at + step));
      if (!scanner.push(piece, 0, piece.length)) return scanner.refusal?.why ?? '';
    }
    return scanner.finish() ? measures.value(slot) : (scanner.refusal?.why ?? '');
  });
  expect(results[1]).toEqual(results[0]);
  return results[0] ?? '';
}

/** A packed list of dimensions, or one by one. */
function shape(writer: BinaryWriter, dimensions: readonly (number | bigint)[], packed: boolean): BinaryWriter {
  if (!packed) {
    for (const one of dimensions) writer.tag(3, 0).int64(one);
    return writer;
  }
  writer.tag(3, 2).fork();
  for (const one of dimensions) writer.int64(one);
  return writer.join();
}

function infer(tensors: readonly (readonly (number | bigint)[])[], packed = true): Uint8Array {
  const writer = new BinaryWriter();
  for (const dimensions of tensors) shape(writer.tag(5, 2).fork().tag(1, 2).string('input'), dimensions, packed).join();
  return writer.tag(1, 2).string('digits').tag(7, 2).bytes(new Uint8Array(20)).finish();
}

/** A TensorProto with these sizes, each dimension's written as often as it says. */
function tensorProto(writer: BinaryWriter, dimensions: readonly (readonly number[])[]): BinaryWriter {
  writer.tag(2, 2).fork();
  for (const sizes of dimensions) {
    writer.tag(2, 2).fork();
    for (const size of sizes) writer.tag(1, 0).int64(size);
    writer.join();
  }
  return writer.join();
}

function predict(...tensors: readonly (readonly (readonly number[])[])[]): Uint8Array {
  const writer = new BinaryWriter().tag(1, 2).fork().tag(1, 2).string('digits').join();
  for (const [index, dimensions] of tensors.entries())
    tensorProto(writer.tag(2, 2).fork().tag(1, 2).string(`input-${index}`).tag(2, 2).fork(), dimensions)
      .join()
      .join();
  return writer.finish();
}

const MANY = 'has more elements than can be counted (2^53 - 1)';

describe.each([
  ['Triton', INFER],
  ['the Open Inference Protocol', OPEN_INFER],
])('elements of tensors of %s', (_, plan) => {
  it('are the product of each shape, summed, however the list is written', () => {
    const dimensions = fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 4 });
    fc.assert(
      fc.property(fc.array(dimensions, { maxLength: 4 }), fc.boolean(), (tensors, packed) => {
        const sum = tensors.reduce((all, one) => all + one.reduce((product, each) => product * each, 1), 0);
        expect(elementsOf(plan, infer(tensors, packed))).toBe(sum);
      }),
      { numRuns: 200 },
    );
  });

  it.each([
    ['of 2^53 - 1', [[Number.MAX_SAFE_INTEGER]], Number.MAX_SAFE_INTEGER],
    ['of 2^53', [[2n ** 53n]], MANY],
    ['of more than that together', [[2 ** 30, 2 ** 30]], MANY],
    ['that are too many as a sum', [[Number.MAX_SAFE_INTEGER], [1]], MANY],
    ['of 2^64 - 1 as an unsigned integer', [[-1n]], 'a dimension is negative'],
    ['of the least integer', [[-(2n ** 63n)]], 'a dimension is negative'],
    ['negative behind a zero', [[0, -1]], 'a dimension is negative'],
  ])('a tensor %s', (_name, tensors, result) => {
    expect(elementsOf(plan, infer(tensors as readonly (readonly (number | bigint)[])[]))).toBe(result);
    expect(elementsOf(plan, infer(tensors as readonly (readonly (number | bigint)[])[], false))).toBe(result);
  });
});

describe('elements of tensors of TensorFlow Serving', () => {
  it('are the product of the sizes, of which each dimension’s last one counts, and none is zero', () => {
    expect(elementsOf(PREDICT, predict([[2], [3]], [[5]]))).toBe(11);
    expect(elementsOf(PREDICT, predict([[0, 4], [3]]))).toBe(12);
    expect(elementsOf(PREDICT, predict([[4, 0], [3]]))).toBe(0);
    expect(elementsOf(PREDICT, predict([[], [3]]))).toBe(0);
    // A scalar.
    expect(elementsOf(PREDICT, predict([]))).toBe(1);
    expect(elementsOf(PREDICT, predict([[-1]]))).toBe('a dimension is negative');
    expect(elementsOf(PREDICT, predict([[2 ** 40], [2 ** 20]]))).toBe(MANY);
  });

  it('are not those of what a resource handle tells of something else, and are those of a tensor in a variant', () => {
    const writer = new BinaryWriter().tag(2, 2).fork().tag(2, 2).fork();
    tensorProto(writer, [[6]]);
    // resource_handle_val: dtypes_and_shapes: shape, of size 0.
    const handle = writer.tag(14, 2).fork().tag(6, 2).fork().tag(2, 2).fork();
    handle.tag(2, 2).fork().tag(1, 0).int64(0).join();
    handle.join().join().join();
    // variant_val: tensors.
    tensorProto(writer.tag(15, 2).fork().tag(3, 2).fork(), [[7]])
      .join()
      .join();
    expect(elementsOf(PREDICT, writer.join().join().finish())).toBe(13);
  });
});

describe('a scanner that nobody asks for measures', () => {
  it('reads the same messages, whatever their shapes', () => {
    const scanner = new WireScanner(INFER, new TextCache());
    for (const message of [infer([[2n ** 62n, -1n]]), infer([[-5]], false)]) {
      const bytes = Buffer.from(message);
      scanner.begin(bytes.length);
      expect(scanner.push(bytes, 0, bytes.length) && scanner.finish()).toBe(true);
    }
  });
});

describe('what a request to vLLM asks for', () => {
  const plan = GENERATE_TOKENS.request;
  if (plan === undefined) throw new Error('no plan');
  const NO_FIT = 'an integer does not fit its type';

  it.each([
    ['max_tokens', 8, MAX_TOKENS_SLOT],
    ['n', 15, ANSWERS_SLOT],
  ])('is read as it is by the server, or not at all: %s', (_, field, slot) => {
    const asking = (value: bigint): number | string =>
      elementsOf(plan, new BinaryWriter().tag(4, 2).fork().tag(field, 0).uint64(value).join().finish(), slot);
    expect(asking(0n)).toBe(0);
    expect(asking(2n ** 32n - 1n)).toBe(2 ** 32 - 1);
    // The server keeps the low 32 bits of each.
    for (const value of [2n ** 32n + 7n, 2n ** 53n + 7n, 2n ** 63n + 7n, 2n ** 64n - 1n])
      expect(asking(value)).toBe(NO_FIT);
  });
});
