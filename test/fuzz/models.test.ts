/**
 * The models that the wire scanner reads of every protocol's requests, against a full decode of the same bytes.
 *
 * Requests are written from the descriptors, field by field in any order: known and unknown ones, twice and in both orders of a
 * oneof, packed and not, with over-long varints, groups and nested messages; then mutated. `FUZZ_RUNS` is how many of each;
 * the long run (`FUZZ_RUNS=20000`) makes more than 100,000.
 */
import { gzipSync } from 'node:zlib';
import { type DescField, type DescMessage, fromBinary, ScalarType } from '@bufbuild/protobuf';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageInspector } from '../../src/inspection/message-inspector.ts';
import { MessageReaders } from '../../src/inspection/message-reader.ts';
import { MethodTable } from '../../src/inspection/method-table.ts';
import { type ProtocolName, servicesOf } from '../../src/inspection/protocols.ts';
import { pathShape, readPath } from '../../src/inspection/protoset-path.ts';
import { MODEL_SLOT, VERSION_SLOT } from '../../src/inspection/shape.ts';
import { type FieldPlan, planFields } from '../../src/protobuf/field-plan.ts';
import { WireScanner } from '../../src/protobuf/scanner.ts';
import { TextCache } from '../../src/protobuf/text-cache.ts';
import { SERVICES } from '../fakes/protocol-protos.ts';
import { frame } from '../fakes/raw-grpc-client.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 400);

/** Refusals that are stricter than the specification on purpose: parsers are known to differ, or limits. */
const STRICTER = [
  'not a text: invalid UTF-8 or a control character',
  'nested too deeply',
  'a tag or a length does not fit 32 bits',
  'a message that says which model stands twice',
  'two members of a oneof',
  'names too many models',
];

interface Case {
  readonly protocol: ProtocolName;
  readonly name: string;
  readonly path: string;
  readonly plan: FieldPlan;
  readonly type: DescMessage;
  /** Undefined: the method table has the plan; else the path of the version, whose labels nobody reads. */
  readonly version?: string;
}

/** One method of each request type that is read. */
const CASES: readonly Case[] = SERVICES.flatMap(({ protocol, service, rows, methods }) =>
  [...methods.values()].flatMap((method) => {
    const plan = rows.get(method.name)?.plan;
    const path = `/${service}/${method.name}`;
    return plan === undefined ? [] : [{ protocol, name: method.input.typeName, path, plan, type: method.input }];
  }),
).filter((each, index, all) => all.findIndex(({ name, plan }) => name === each.name && plan === each.plan) === index);

/** The same, by a tenant's descriptors and field paths instead of our tables. */
const DESCRIBED: readonly Case[] = (
  [
    ['PredictRequest', 'model_spec.name', 'model_spec.version'],
    ['MultiInferenceRequest', 'tasks.model_spec.name', 'tasks.model_spec.version'],
    ['SessionRunRequest', 'model_spec.name', 'model_spec.version.value'],
  ] as const
).map(([name, model, version]) => {
  const known = CASES.find((each) => each.name === `tensorflow.serving.${name}`);
  if (known === undefined) throw new Error(`no ${name}`);
  const { protocol, type, path } = known;
  const shape = pathShape(type, [readPath(type, model, MODEL_SLOT), readPath(type, version, VERSION_SLOT)]);
  return { protocol, name: `${known.name} by ${version}`, path, type, plan: planFields(shape), version };
});

type Target = readonly [model: string, version: string];
type Verdict = { readonly targets: readonly Target[] } | { readonly why: string };

function scan(plan: FieldPlan, message: Buffer, cuts: readonly number[]): Verdict {
  const scanner = new WireScanner(plan, new TextCache());
  scanner.begin(message.length);
  let start = 0;
  for (const end of [...cuts.map((cut) => cut % (message.length + 1)).sort((a, b) => a - b), message.length]) {
    if (!scanner.push(message, start, end)) break;
    start = end;
  }
  if (!scanner.finish()) return { why: scanner.refusal?.why ?? '' };
  const targets = Array.from({ length: scanner.targets }, (_, target): Target => {
    const version = plan.slots > VERSION_SLOT ? scanner.value(VERSION_SLOT, target) : '';
    return [scanner.value(MODEL_SLOT, target), version];
  });
  return { targets };
}

/** What a full decode finds; undefined when it finds no message. */
function decode(type: DescMessage, message: Buffer, version?: string): readonly Target[] | undefined {
  let decoded: object;
  try {
    decoded = fromBinary(type, message);
  } catch {
    return undefined;
  }
  const tasks = read(decoded, 'tasks');
  const withPath = ([model, text]: Target): Target => [model, version === undefined ? text : byPath(version, text)];
  if (!Array.isArray(tasks)) return [withPath(targetOf(type, decoded))];
  const targets = tasks.map((task: unknown) => withPath(specOf(read(task, 'modelSpec'))));
  if (targets.length === 0) return [['', '']];
  return targets.filter((each, index) => targets.findIndex((other) => other.join('\0') === each.join('\0')) === index);
}

/** A version as a path to it says it: a label is another field's, and a 0 inside of a message is as none. */
function byPath(path: string, text: string): string {
  return text.startsWith('label:') || (path.endsWith('.value') && text === '0') ? '' : text;
}

function targetOf(type: DescMessage, decoded: object): Target {
  const names = new Set(type.fields.map(({ name }) => name));
  if (names.has('model_spec')) return specOf(read(decoded, 'modelSpec'));
  if (names.has('model_name')) return [textOf(decoded, 'modelName'), textOf(decoded, 'modelVersion')];
  return [textOf(decoded, 'name'), textOf(decoded, 'version')];
}

function specOf(spec: unknown): Target {
  const choice = read(spec, 'versionChoice');
  const value = read(choice, 'value');
  const kind = read(choice, 'case');
  if (kind === 'versionLabel') return [textOf(spec, 'name'), `label:${String(value)}`];
  if (kind === undefined) return [textOf(spec, 'name'), ''];
  return [textOf(spec, 'name'), String(typeof value === 'bigint' ? value : read(value, 'value'))];
}

function read(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

function textOf(value: unknown, key: string): string {
  const found = read(value, key);
  return typeof found === 'string' ? found : '';
}

function check({ plan, type, version }: Case, message: Buffer, cuts: readonly number[]): Verdict {
  const verdict = scan(plan, message, cuts);
  expect(verdict).toEqual(scan(plan, message, []));
  const decoded = decode(type, message, version);
  if ('targets' in verdict && decoded !== undefined) expect(verdict.targets).toEqual(decoded);
  return verdict;
}

describe.each([...CASES, ...DESCRIBED])('$protocol, $name', (each) => {
  const requests = messages(each.type, 4);
  const cuts = fc.array(fc.nat(2_000), { maxLength: 4 });

  it('is read as a full decode reads it, wherever it is cut, and refused only on purpose', () => {
    let accepted = 0;
    fc.assert(
      fc.property(requests, cuts, (message, at) => {
        const verdict = check(each, message, at);
        if ('why' in verdict) expect(STRICTER).toContain(verdict.why);
        else accepted += 1;
      }),
      { numRuns: RUNS },
    );
    expect(accepted).toBeGreaterThan(RUNS / 5);
  });

  it('is never read as another model when it is mutated', () => {
    fc.assert(
      fc.property(requests, cuts, mutations(), (message, at, mutate) => {
        check(each, mutate(message), at);
      }),
      { numRuns: RUNS },
    );
  });

  it('is inspected the same compressed', async () => {
    const found = new MethodTable([], { services: servicesOf([each.protocol]), model: '' }).find(each.path);
    if (found === undefined) throw new Error('no entry');
    const readers = new MessageReaders({ plan: each.plan, texts: new TextCache() });
    const entry = { ...found, plan: each.plan, requests: readers };
    await fc.assert(
      fc.asyncProperty(requests, fc.nat(), async (message, cut) => {
        const plain = scan(each.plan, message, []);
        const chunk = frame(gzipSync(message));
        chunk[0] = 1;
        const inspector = new MessageInspector(entry, 'gzip', { maxMessageBytes: 65_536, maxInflatedBytes: 65_536 });
        const at = 1 + (cut % (chunk.length - 1));
        let outcome = inspector.scan(chunk.subarray(0, at), 0);
        if (outcome !== 'reject') {
          while (outcome === 'inflating') {
            await inspector.ready;
            outcome = inspector.scan(chunk.subarray(0, at), 0);
          }
          await inspector.ready;
          outcome = inspector.scan(chunk.subarray(at), 0);
          while (outcome === 'inflating') {
            await inspector.ready;
            outcome = inspector.scan(chunk.subarray(at), 0);
          }
        }
        if ('why' in plain) {
          expect(outcome).toBe('reject');
          return;
        }
        expect(outcome).toBe('message');
        const all = [inspector, ...inspector.further].map(({ model, version }) => [model, version]);
        expect(all).toEqual(plain.targets);
      }),
      { numRuns: Math.min(60, RUNS) },
    );
  });
});

describe('a second model', () => {
  const of = (name: string): Case => {
    const found = CASES.find((each) => each.name === `tensorflow.serving.${name}`);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };
  const spec = (name: string): Uint8Array => new BinaryWriter().tag(1, 2).string(name).finish();
  const twice = (...parts: readonly Uint8Array[]): Buffer => {
    const writer = new BinaryWriter();
    for (const part of parts) writer.tag(1, 2).bytes(part);
    return Buffer.from(writer.finish());
  };

  it('in a second ModelSpec would be merged into the first, and is refused', () => {
    const message = twice(spec('mine'), spec('secret'));
    expect(decode(of('PredictRequest').type, message)).toEqual([['secret', '']]);
    expect(check(of('PredictRequest'), message, [])).toEqual({ why: 'a message that says which model stands twice' });
    // An empty one leaves the first’s name to those who merge, and none to those who take the last.
    const empty = twice(spec('secret'), new Uint8Array());
    expect(decode(of('PredictRequest').type, empty)).toEqual([['secret', '']]);
    expect(check(of('PredictRequest'), empty, [])).toEqual({ why: 'a message that says which model stands twice' });
  });

  it('in the same ModelSpec is the one that counts', () => {
    const both = Buffer.concat([spec('mine'), spec('secret')]);
    expect(check(of('PredictRequest'), twice(both), [])).toEqual({ targets: [['secret', '']] });
  });

  it('in a second task is seen beside the first', () => {
    const task = (name: string): Uint8Array => new BinaryWriter().tag(1, 2).bytes(spec(name)).finish();
    const message = twice(task('mine'), task('secret'), task('mine'), new Uint8Array());
    const targets = [
      ['mine', ''],
      ['secret', ''],
      ['', ''],
    ] as const;
    for (let cut = 0; cut <= message.length; cut++)
      expect(check(of('MultiInferenceRequest'), message, [cut])).toEqual({ targets });
    expect(check(of('MultiInferenceRequest'), Buffer.alloc(0), [])).toEqual({ targets: [['', '']] });
  });

  it('of a version by number and by label is refused in both orders', () => {
    const number = new BinaryWriter().tag(2, 2).bytes(new BinaryWriter().tag(1, 0).int64(7n).finish()).finish();
    const label = new BinaryWriter().tag(4, 2).string('prod').finish();
    for (const version of [
      [number, label],
      [label, number],
    ])
      expect(check(of('PredictRequest'), twice(Buffer.concat([spec('m'), ...version])), [])).toEqual({
        why: 'two members of a oneof',
      });
    expect(check(of('PredictRequest'), twice(Buffer.concat([number, spec('m')])), [])).toEqual({
      targets: [['m', '7']],
    });
    expect(check(of('PredictRequest'), twice(Buffer.concat([spec('m'), label])), [])).toEqual({
      targets: [['m', 'label:prod']],
    });
  });

  it.each([
    [1n, '1'],
    [0n, '0'],
    [-1n, '-1'],
    [2n ** 53n + 1n, '9007199254740993'],
    [2n ** 63n - 1n, '9223372036854775807'],
    [-(2n ** 63n), '-9223372036854775808'],
    [2n ** 32n, '4294967296'],
    [128n, '128'],
  ])('the version %s is read as %s', (value, text) => {
    const inner = new BinaryWriter().tag(1, 0).int64(value).finish();
    const message = twice(new BinaryWriter().tag(2, 2).bytes(inner).finish());
    expect(check(of('GetModelStatusRequest'), message, [4, 5])).toEqual({ targets: [['', text]] });
  });

  it('that is an integer of more than 64 bits is refused', () => {
    const inner = Buffer.from([0x08, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02]);
    const message = twice(new BinaryWriter().tag(2, 2).bytes(inner).finish());
    expect(check(of('GetModelStatusRequest'), message, [])).toEqual({ why: 'an integer does not fit its type' });
  });

  it.each([64, 65])('is one of %s different ones', (count) => {
    const task = (name: string): Uint8Array => new BinaryWriter().tag(1, 2).bytes(spec(name)).finish();
    const message = twice(...Array.from({ length: count }, (_, index) => task(`m${String(index)}`)));
    const verdict = check(of('MultiInferenceRequest'), message, []);
    if (count > 64) expect(verdict).toEqual({ why: 'names too many models' });
    else expect('targets' in verdict && verdict.targets).toHaveLength(64);
  });
});

/** Bytes of a message of the type, as a client might write it, or a hostile one within the format. */
function messages(type: DescMessage, depth: number): fc.Arbitrary<Buffer> {
  const field = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...(type.fields.length > 0 ? type.fields : [undefined])) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
  const one = field.chain((known) => (known === undefined ? unknownFields(depth) : fieldBytes(known, depth)));
  return fc.array(one, { maxLength: depth > 2 ? 6 : 3 }).map((parts) => Buffer.concat(parts));
}

const modelText = fc.oneof(
  fc.constantFrom('mine', 'secret', '', 'label:1', '1', 'x'.repeat(130)),
  fc.string({ unit: 'grapheme', maxLength: 8 }).map((text) => text.replaceAll(/\p{Cc}/gu, '-')),
);
const bigs = fc.oneof(fc.constantFrom(0n, 1n, 127n, 128n, 2n ** 63n, 2n ** 64n - 1n), fc.bigInt(0n, 2n ** 64n - 1n));

function fieldBytes(field: DescField, depth: number): fc.Arbitrary<Buffer> {
  const { number } = field;
  if (field.fieldKind === 'map') return fc.uint8Array({ maxLength: 0 }).map((empty) => lengthDelimited(number, empty));
  if (field.message !== undefined) {
    const inner = depth === 0 ? fc.constant(Buffer.alloc(0)) : messages(field.message, depth - 1);
    return fc.tuple(inner, fc.nat(2)).map(([bytes, pad]) => lengthDelimited(number, bytes, pad));
  }
  const scalar = field.scalar ?? ScalarType.INT32;
  if (scalar === ScalarType.STRING || scalar === ScalarType.BYTES)
    return fc.tuple(modelText, fc.nat(2)).map(([text, pad]) => lengthDelimited(number, Buffer.from(text), pad));
  const width = widthOf(scalar);
  const element =
    width === 0
      ? fc.tuple(bigs, fc.nat(1)).map(([value, pad]) => bigVarint(value, pad))
      : fc.uint8Array({ minLength: width, maxLength: width }).map((bytes) => Buffer.from(bytes));
  const wireType = width === 0 ? 0 : width === 8 ? 1 : 5;
  const single = element.map((bytes) => Buffer.concat([varint(number * 8 + wireType), bytes]));
  if (field.fieldKind !== 'list') return single;
  const packed = fc.array(element, { maxLength: 4 }).map((each) => lengthDelimited(number, Buffer.concat(each)));
  return fc.oneof(single, packed);
}

function widthOf(scalar: ScalarType): 0 | 4 | 8 {
  if ([ScalarType.DOUBLE, ScalarType.FIXED64, ScalarType.SFIXED64].includes(scalar)) return 8;
  return [ScalarType.FLOAT, ScalarType.FIXED32, ScalarType.SFIXED32].includes(scalar) ? 4 : 0;
}

/** Fields that no type here has, groups among them. */
function unknownFields(depth: number): fc.Arbitrary<Buffer> {
  const number = fc.integer({ min: 200, max: 2 ** 29 - 1 });
  const leaf = fc.oneof(
    fc.tuple(number, bigs).map(([no, value]) => Buffer.concat([varint(no * 8), bigVarint(value, 0)])),
    fc.tuple(number, fc.uint8Array({ maxLength: 9 })).map(([no, bytes]) => lengthDelimited(no, bytes)),
    number.map((no) => Buffer.concat([varint(no * 8 + 1), Buffer.alloc(8)])),
    number.map((no) => Buffer.concat([varint(no * 8 + 5), Buffer.alloc(4)])),
  );
  if (depth === 0) return leaf;
  const named = modelText.map((text) => lengthDelimited(1, Buffer.from(text)));
  const inner = fc.array(fc.oneof(named, unknownFields(depth - 1)), { maxLength: 2 });
  const group = fc
    .tuple(number, inner)
    .map(([no, parts]) => Buffer.concat([varint(no * 8 + 3), ...parts, varint(no * 8 + 4)]));
  return fc.oneof(leaf, group);
}

function mutations(): fc.Arbitrary<(message: Buffer) => Buffer> {
  const one = fc.oneof(
    fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })).map(([at, bits]) => (message: Buffer) => {
      const copy = Buffer.from(message);
      if (copy.length > 0) copy[at % copy.length] = (copy[at % copy.length] ?? 0) ^ bits;
      return copy;
    }),
    fc.nat().map((at) => (message: Buffer) => message.subarray(0, at % (message.length + 1))),
    fc.tuple(fc.nat(), fc.nat(30)).map(([at, length]) => (message: Buffer) => {
      const start = at % (message.length + 1);
      return Buffer.concat([message, message.subarray(start, start + length)]);
    }),
  );
  return fc
    .array(one, { minLength: 1, maxLength: 3 })
    .map((steps) => (message: Buffer) => steps.reduce((current, step) => step(current), message));
}

/** `pad`: bytes more than needed. */
function varint(value: number, pad = 0): Buffer {
  return bigVarint(BigInt(value), pad);
}

function bigVarint(value: bigint, pad: number): Buffer {
  const out: number[] = [];
  let rest = value;
  while (rest >= 0x80n) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
  for (let more = 0; more < pad && out.length < 10; more++) {
    out[out.length - 1] = (out.at(-1) ?? 0) | 0x80;
    out.push(0);
  }
  return Buffer.from(out);
}

function lengthDelimited(no: number, bytes: Uint8Array, pad = 0): Buffer {
  return Buffer.concat([varint(no * 8 + 2), varint(bytes.length, pad), bytes]);
}
