/**
 * The wire scanner against full decoders, on messages that are well-formed, odd, and broken.
 *
 * What is held: a message that the scanner accepts has, for every decoder that accepts it too, exactly the model and version
 * that the scanner read. And the scanner refuses nothing that a client writes.
 */
import { type DescMessage, fromBinary } from '@bufbuild/protobuf';
import { reflect } from '@bufbuild/protobuf/reflect';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import protoLoader from '@grpc/proto-loader';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { INFER } from '../../src/inspection/inference-shapes.ts';
import { MODEL_SLOT, VERSION_SLOT } from '../../src/inspection/shape.ts';
import { WireScanner } from '../../src/protobuf/scanner.ts';
import { TextCache } from '../../src/protobuf/text-cache.ts';
import { loadRegistry } from '../fakes/proto-registry.ts';
import { decodeStrings } from '../fakes/reference-decoder.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 20_000);

const request = messageOf(loadRegistry('inference/grpc_inference_service.proto'), 'inference.ModelInferRequest');
const texts = new TextCache();
const scanner = new WireScanner(INFER, texts);

/** Refusals that are stricter than the specification on purpose; every other refusal must be the reference's too. */
const STRICTER = [
  'a known field in another wire type',
  'not a text: invalid UTF-8 or a control character',
  'too long',
  'nested too deeply',
  'a tag or a length does not fit 32 bits',
  'an integer is longer than 10 bytes',
];

interface Names {
  readonly model: string;
  readonly version: string;
}

function scan(message: Buffer, cuts: readonly number[]): Names | { readonly why: string } {
  scanner.begin(message.length);
  let start = 0;
  for (const end of [...cuts.map((cut) => cut % (message.length + 1)).sort((a, b) => a - b), message.length]) {
    if (!scanner.push(message, start, end)) break;
    start = end;
  }
  if (!scanner.finish()) return { why: scanner.refusal?.why ?? '' };
  return { model: scanner.value(MODEL_SLOT), version: scanner.value(VERSION_SLOT) };
}

function decodeWithBufbuild(message: Buffer): Names | undefined {
  try {
    const decoded = reflect(request, fromBinary(request, message));
    const read = (number: number) => {
      const field = request.fields.find((candidate) => candidate.number === number);
      const value = field === undefined ? '' : decoded.get(field);
      return typeof value === 'string' ? value : '';
    };
    return { model: read(1), version: read(2) };
  } catch {
    return undefined;
  }
}

const decodeWithProtobufjs = protobufjsDecoder();

function check(message: Buffer, cuts: readonly number[]): void {
  const seen = scan(message, cuts);
  expect(seen).toEqual(scan(message, []));
  const reference = decodeByReference(message);
  if ('why' in seen) {
    if (!STRICTER.includes(seen.why)) expect({ why: seen.why, reference }).toEqual({ why: seen.why });
    return;
  }
  for (const decoded of [reference, decodeWithBufbuild(message), decodeWithProtobufjs(message)])
    if (decoded !== undefined) expect(decoded).toEqual(seen);
}

function decodeByReference(message: Buffer): Names | undefined {
  const strings = decodeStrings(request, message);
  return strings && { model: strings.get(1) ?? '', version: strings.get(2) ?? '' };
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom('digits', 'digits-shared', '', '1', 'x'.repeat(130)),
);
const cuts = fc.array(fc.nat(2_000), { maxLength: 4 });
const fields = fc.array(field(3), { maxLength: 8 });

describe('the scanner and a full decode', () => {
  it('agree on what a client writes, and the scanner accepts it', () => {
    const names = text.map((name) => name.replaceAll(/\p{Cc}/gu, '-'));
    const sent = fc.record({ model: names, version: names, payload: fc.uint8Array({ maxLength: 300 }), cuts });
    fc.assert(
      fc.property(sent, ({ model, version, payload, cuts: at }) => {
        const message = Buffer.from(
          new BinaryWriter()
            .tag(7, 2)
            .bytes(payload)
            .tag(1, 2)
            .string(model)
            .tag(2, 2)
            .string(version)
            .tag(5, 2)
            .bytes(new BinaryWriter().tag(1, 2).string('in').tag(3, 0).int64(4).finish())
            .finish(),
        );
        expect(scan(message, at)).toEqual({ model, version });
        check(message, at);
      }),
      { numRuns: RUNS / 4 },
    );
  });

  it('agree on fields in any order, number and wire type', () => {
    fc.assert(
      fc.property(fields, cuts, (parts, at) => check(Buffer.concat(parts), at)),
      { numRuns: RUNS },
    );
  });

  it('agree on mutated messages', () => {
    fc.assert(
      fc.property(fields, cuts, mutations(), (parts, at, mutate) => check(mutate(Buffer.concat(parts)), at)),
      { numRuns: RUNS },
    );
  });

  it('agree on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), cuts, (bytes, at) => check(Buffer.from(bytes), at)),
      { numRuns: RUNS },
    );
  });

  it('agree on a second model_name, split at every byte', () => {
    const head = Buffer.from(new BinaryWriter().tag(1, 2).string('mine').tag(7, 2).bytes(Buffer.alloc(300)).finish());
    for (const second of ['', 's', 'secret', 'x'.repeat(200)]) {
      const message = Buffer.concat([head, Buffer.from(new BinaryWriter().tag(1, 2).string(second).finish())]);
      for (let split = 0; split <= message.length; split++) {
        expect(scan(message, [split])).toEqual({ model: second, version: '' });
        check(message, [split, split + 1, split + 2]);
      }
    }
  });
});

describe('the check itself', () => {
  it('would notice a scanner that takes the first model_name', () => {
    const message = Buffer.from(new BinaryWriter().tag(1, 2).string('mine').tag(1, 2).string('secret').finish());
    for (const decode of [decodeByReference, decodeWithBufbuild, decodeWithProtobufjs])
      expect(decode(message)).toEqual({ model: 'secret', version: '' });
  });

  it('knows why a known field in another wire type is refused: decoders read different models', () => {
    // To a parser that checks wire types: id is unknown, then model_name = "secret". To one that does not: id eats it.
    const message = Buffer.from('0a046d696e6518080a06736563726574', 'hex');
    expect(scan(message, [])).toEqual({ why: 'a known field in another wire type' });
    expect(decodeByReference(message)).toEqual({ model: 'secret', version: '' });
    expect(decodeWithProtobufjs(message)).toEqual({ model: 'mine', version: '' });
  });

  it('knows why nested messages are followed: decoders that do not confine them read different models', () => {
    // A parameter whose unknown fixed64 leaves its message, and eats the model_name behind it.
    const message = Buffer.from('0a046d696e65220159 0a06736563726574'.replace(' ', ''), 'hex');
    expect(scan(message, [])).toEqual({ why: 'a field is longer than the message around it' });
    expect(decodeWithBufbuild(message)).toEqual({ model: 'mine', version: '' });
  });
});

/** One field as it may come: known, unknown, in any wire type, with tags and lengths of any encoding. */
function field(depth: number): fc.Arbitrary<Buffer> {
  const number = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 8 }) },
    fc.integer({ min: 0, max: 40 }),
    fc.integer({ min: 0, max: 2 ** 29 - 1 }),
  );
  const named = fc.tuple(fc.constantFrom(1, 2), text).map(([no, value]) => lengthDelimited(no, Buffer.from(value)));
  const known = fc
    .tuple(fc.integer({ min: 3, max: 7 }), fc.uint8Array({ maxLength: 40 }))
    .map(([no, bytes]) => lengthDelimited(no, Buffer.from(bytes)));
  const padded = fc
    .tuple(fc.constantFrom(1, 2), text, fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }))
    .map(([no, value, tagBytes, lengthBytes]) => {
      const bytes = Buffer.from(value);
      return Buffer.concat([varint(no * 8 + 2, tagBytes), varint(bytes.length, lengthBytes), bytes]);
    });
  const any = fc
    .tuple(number, fc.integer({ min: 0, max: 7 }), fc.uint8Array({ maxLength: 12 }))
    .map(([no, type, bytes]) => Buffer.concat([varint(no * 8 + type), Buffer.from(bytes)]));
  const whole = fc.oneof(
    fc.tuple(number, fc.bigInt(0n, 2n ** 64n - 1n)).map(([no, value]) => {
      return Buffer.concat([varint(no * 8), Buffer.from(new BinaryWriter().uint64(value).finish())]);
    }),
    fc
      .tuple(number, fc.uint8Array({ minLength: 8, maxLength: 8 }))
      .map(([no, b]) => Buffer.concat([varint(no * 8 + 1), b])),
    fc
      .tuple(number, fc.uint8Array({ minLength: 4, maxLength: 4 }))
      .map(([no, b]) => Buffer.concat([varint(no * 8 + 5), b])),
  );
  const group =
    depth === 0
      ? whole
      : fc
          .tuple(fc.integer({ min: 8, max: 30 }), fc.array(field(depth - 1), { maxLength: 3 }))
          .map(([no, inner]) => Buffer.concat([varint(no * 8 + 3), ...inner, varint(no * 8 + 4)]));
  const nested =
    depth === 0
      ? known
      : fc
          .tuple(fc.integer({ min: 1, max: 6 }), fc.array(field(depth - 1), { maxLength: 3 }))
          .map(([no, inner]) => lengthDelimited(no, Buffer.concat(inner)));
  const packed = fc
    .tuple(fc.integer({ min: 1, max: 7 }), fc.array(fc.constantFrom(0x01, 0x7f, 0x80, 0xff), { maxLength: 9 }))
    .map(([no, bytes]) => lengthDelimited(no, Buffer.from(bytes)));
  return fc.oneof(
    { weight: 4, arbitrary: named },
    known,
    padded,
    any,
    whole,
    group,
    { weight: 2, arbitrary: nested },
    packed,
  );
}

function mutations(): fc.Arbitrary<(message: Buffer) => Buffer> {
  const one = fc.oneof(
    fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })).map(([at, bits]) => (message: Buffer) => {
      const copy = Buffer.from(message);
      if (copy.length > 0) copy[at % copy.length] = (copy[at % copy.length] ?? 0) ^ bits;
      return copy;
    }),
    fc.nat().map((at) => (message: Buffer) => message.subarray(0, at % (message.length + 1))),
    fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 4 })).map(([at, bytes]) => (message: Buffer) => {
      const split = at % (message.length + 1);
      return Buffer.concat([message.subarray(0, split), bytes, message.subarray(split)]);
    }),
    fc.tuple(fc.nat(), fc.nat(30)).map(([at, length]) => (message: Buffer) => {
      const start = at % (message.length + 1);
      return Buffer.concat([message, message.subarray(start, start + length)]);
    }),
  );
  return fc
    .array(one, { minLength: 1, maxLength: 3 })
    .map((steps) => (message: Buffer) => steps.reduce((current, step) => step(current), message));
}

function varint(value: number, bytes = 1): Buffer {
  const out: number[] = [];
  let rest = value;
  while (rest >= 0x80 || out.length + 1 < bytes) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
  return Buffer.from(out);
}

function lengthDelimited(no: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint(no * 8 + 2), varint(bytes.length), bytes]);
}

function messageOf(registry: ReturnType<typeof loadRegistry>, name: string): DescMessage {
  const found = registry.getMessage(name);
  if (found === undefined) throw new Error(`no message ${name}`);
  return found;
}

function protobufjsDecoder(): (message: Buffer) => Names | undefined {
  const definition = protoLoader.loadSync('inference/grpc_inference_service.proto', {
    includeDirs: ['proto'],
    keepCase: true,
    defaults: true,
  });
  const type = definition['inference.ModelInferRequest'];
  const deserialize = type === undefined ? undefined : Reflect.get(type, 'deserialize');
  if (typeof deserialize !== 'function') throw new Error('no deserializer');
  return (message) => {
    try {
      const decoded = deserialize(message);
      return { model: String(decoded.model_name), version: String(decoded.model_version) };
    } catch {
      return undefined;
    }
  };
}
