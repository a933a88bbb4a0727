import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  type FieldDescriptorProtoSchema,
  type FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_wrappers,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { MessageInspector } from '../../../src/inspection/message-inspector.ts';
import { MethodTable } from '../../../src/inspection/method-table.ts';
import {
  MAX_DESCRIPTOR_BYTES,
  MAX_DESCRIPTOR_FILES,
  type ProtosetMethod,
  readProtoset,
} from '../../../src/inspection/protoset.ts';
import { MAX_REQUEST_TYPES } from '../../../src/inspection/protoset-path.ts';
import { frame } from '../../fakes/raw-grpc-client.ts';

type File = MessageInitShape<typeof FileDescriptorProtoSchema>;
type Field = MessageInitShape<typeof FieldDescriptorProtoSchema>;

const OPTIONAL = { label: Label.OPTIONAL };
const text = (name: string, number: number, more: Field = {}): Field => ({
  ...OPTIONAL,
  ...{ name, number, type: Type.STRING },
  ...more,
});
const nested = (name: string, number: number, typeName: string, more: Field = {}): Field => ({
  ...OPTIONAL,
  ...{ name, number, type: Type.MESSAGE, typeName: `.${typeName}` },
  ...more,
});

const ACME: File = {
  name: 'acme.proto',
  package: 'acme',
  syntax: 'proto3',
  dependency: ['google/protobuf/wrappers.proto'],
  messageType: [
    {
      name: 'Spec',
      field: [
        text('dataset', 1),
        { ...OPTIONAL, name: 'revision', number: 300, type: Type.UINT32 },
        nested('pinned', 3, 'google.protobuf.Int64Value'),
        nested('spec', 4, 'acme.Spec'),
        text('alias', 5, { oneofIndex: 0 }),
        text('id', 6, { oneofIndex: 0 }),
        { ...OPTIONAL, name: 'ratio', number: 7, type: Type.DOUBLE },
      ],
      oneofDecl: [{ name: 'naming' }],
    },
    {
      name: 'Request',
      field: [
        nested('spec', 1, 'acme.Spec'),
        nested('specs', 2, 'acme.Spec', { label: Label.REPEATED }),
        text('names', 3, { label: Label.REPEATED }),
        nested('labels', 4, 'acme.Request.LabelsEntry', { label: Label.REPEATED }),
      ],
      nestedType: [{ name: 'LabelsEntry', field: [text('key', 1), text('value', 2)], options: { mapEntry: true } }],
    },
  ],
  service: [
    {
      name: 'Scoring',
      method: [
        { name: 'Score', inputType: '.acme.Request', outputType: '.acme.Request' },
        { name: 'Stream', inputType: '.acme.Request', outputType: '.acme.Request', clientStreaming: true },
      ],
    },
  ],
};

function setOf(...files: readonly File[]): Uint8Array {
  return toBinary(
    FileDescriptorSetSchema,
    create(FileDescriptorSetSchema, { file: [file_google_protobuf_wrappers.proto, ...files] }),
  );
}

function listed(model?: string, version?: string, method = 'acme.Scoring/Score'): ProtosetMethod {
  return { method, model, version, sensitive: false };
}

function problemsOf(methods: readonly ProtosetMethod[], set = setOf(ACME)): readonly string[] {
  const read = readProtoset(set, methods);
  return read.ok ? [] : read.error.map(({ at, message }) => `${at?.key ?? 'file'}: ${message}`);
}

/** What the method's requests are read as. */
function inspect(method: ProtosetMethod, message: Uint8Array): readonly string[] | string {
  const read = readProtoset(setOf(ACME), [method]);
  if (!read.ok) throw new Error(read.error[0]?.message);
  const entry = new MethodTable([], { services: read.value, model: '' }).find(`/${method.method}`);
  if (entry === undefined) throw new Error('no entry');
  const subject = new MessageInspector(entry, 'identity', { maxMessageBytes: 1e6, maxInflatedBytes: 1e6 });
  if (subject.scan(frame(Buffer.from(message)), 0) !== 'message')
    return subject.denial?.kind === 'payload_rejected' ? subject.denial.why : 'no message';
  return [subject, ...subject.further].map(({ model, version }) => `${model}@${version}`);
}

const spec = (dataset: string): BinaryWriter => new BinaryWriter().tag(1, 2).string(dataset);
const within = (number: number, ...parts: readonly BinaryWriter[]): Uint8Array => {
  const writer = new BinaryWriter();
  for (const part of parts) writer.tag(number, 2).bytes(part.finish());
  return writer.finish();
};

describe('a service that is read by its descriptors', () => {
  it('has a row for each listed method and none for others', () => {
    const read = readProtoset(setOf(ACME), [{ ...listed('spec.dataset'), sensitive: true }]);
    expect(read).toMatchObject({ ok: true });
    if (!read.ok) return;
    expect([...read.value.keys()]).toEqual(['acme.Scoring']);
    expect(read.value.get('acme.Scoring')?.get('Score')).toMatchObject({ sensitive: true, requestStreaming: false });
    const table = new MethodTable(['acme.Scoring'], { services: read.value, model: '' });
    expect(table.find('/acme.Scoring/Score')?.readsModel).toBe(true);
    expect(table.find('/acme.Scoring/Stream')).toBeUndefined();
    const stream = readProtoset(setOf(ACME), [listed(undefined, undefined, 'acme.Scoring/Stream')]);
    expect(stream.ok && stream.value.get('acme.Scoring')?.get('Stream')).toMatchObject({
      plan: undefined,
      requestStreaming: true,
    });
  });

  it('reads a string and an integer inside of a message', () => {
    const message = within(1, spec('mine').tag(300, 0).uint32(7));
    expect(inspect(listed('spec.dataset', 'spec.revision'), message)).toEqual(['mine@7']);
    expect(inspect(listed('spec.dataset', 'spec.revision'), within(1, spec('mine').tag(300, 0).uint32(0)))).toEqual([
      'mine@',
    ]);
    expect(inspect(listed('spec.dataset', 'spec.revision'), new Uint8Array())).toEqual(['@']);
  });

  it('reads a wrapper, whose 0 is not the same as none', () => {
    const pinned = (inner: BinaryWriter) => within(1, spec('m').tag(3, 2).bytes(inner.finish()));
    const method = listed('spec.dataset', 'spec.pinned');
    expect(inspect(method, pinned(new BinaryWriter().tag(1, 0).int64(-3n)))).toEqual(['m@-3']);
    expect(inspect(method, pinned(new BinaryWriter()))).toEqual(['m@0']);
    expect(inspect(method, within(1, spec('m')))).toEqual(['m@']);
  });

  it('reads every element of a repeated field', () => {
    const message = within(2, spec('a'), spec('b').tag(300, 0).uint32(2), new BinaryWriter(), spec('a'));
    expect(inspect(listed('specs.dataset', 'specs.revision'), message)).toEqual(['a@', 'b@2', '@']);
    const names = new BinaryWriter().tag(3, 2).string('x').tag(3, 2).string('').tag(3, 2).string('y').finish();
    expect(inspect(listed('names'), names)).toEqual(['x@', '@', 'y@']);
    expect(inspect(listed('names'), new Uint8Array())).toEqual(['@']);
  });

  it('takes neither a second message nor a second member of a oneof', () => {
    expect(inspect(listed('spec.dataset'), within(1, spec('mine'), spec('secret')))).toBe(
      'a message that says which model stands twice',
    );
    const both = (first: number, second: number) =>
      within(1, new BinaryWriter().tag(first, 2).string('mine').tag(second, 2).string('secret'));
    expect(inspect(listed('spec.alias'), both(5, 6))).toBe('two members of a oneof');
    expect(inspect(listed('spec.alias'), both(6, 5))).toBe('two members of a oneof');
    expect(inspect(listed('spec.alias'), both(5, 5))).toEqual(['secret@']);
  });

  it('does not take the same name further in for the model', () => {
    const inner = spec('inner').finish();
    expect(inspect(listed('spec.dataset'), within(1, spec('mine').tag(4, 2).bytes(inner)))).toEqual(['mine@']);
    expect(inspect(listed('spec.spec.dataset'), within(1, spec('mine').tag(4, 2).bytes(inner)))).toEqual(['inner@']);
  });
});

describe('a path', () => {
  it.each([
    ['nothing', 'model: acme.Request has no field nothing'],
    ['spec', 'model: spec is neither a string nor an integer'],
    ['spec.ratio', 'model: spec.ratio is neither a string nor an integer'],
    ['labels.value', 'model: labels.value: labels is a map'],
    ['spec.dataset.more', 'model: spec.dataset.more: there is nothing in dataset'],
    ['specs', 'model: specs is neither a string nor an integer'],
  ])('%s is refused', (path, problem) => {
    expect(problemsOf([listed(path)])).toEqual([problem]);
    expect(problemsOf([listed('spec.dataset')])).toEqual([]);
  });

  it('of a version has to be in the same element as the model', () => {
    for (const [model, version] of [
      ['specs.dataset', 'spec.revision'],
      ['spec.dataset', 'specs.revision'],
      ['names', 'spec.revision'],
    ])
      expect(problemsOf([listed(model, version)])).toEqual([
        `version: ${String(version)} and ${String(model)} are not in the same elements of repeated fields`,
      ]);
    expect(problemsOf([listed('spec.dataset', 'spec.dataset')])).toHaveLength(1);
    expect(problemsOf([listed(undefined, 'spec.revision')])).toEqual(['version: is the version of no model']);
  });

  it('to a group or to a field with a default is refused', () => {
    const old: File = {
      name: 'old.proto',
      package: 'old',
      messageType: [
        { name: 'G', field: [text('name', 1)] },
        {
          name: 'Request',
          field: [
            text('name', 1, { defaultValue: 'secret' }),
            { ...OPTIONAL, name: 'g', number: 2, type: Type.GROUP, typeName: '.old.G' },
          ],
        },
      ],
      service: [{ name: 'S', method: [{ name: 'M', inputType: '.old.Request', outputType: '.old.Request' }] }],
    };
    expect(problemsOf([listed('name', undefined, 'old.S/M')], setOf(old))[0]).toMatch(/has a default/);
    expect(problemsOf([listed('g.name', undefined, 'old.S/M')], setOf(old))[0]).toMatch(/is a group/);
  });
});

describe('a file of descriptors', () => {
  it('that has no such service or method is told so', () => {
    expect(problemsOf([listed(undefined, undefined, 'acme.Other/Score')])[0]).toMatch(/no service acme.Other/);
    expect(problemsOf([listed(undefined, undefined, 'acme.Scoring/Skore')])[0]).toMatch(/no method Skore/);
    expect(problemsOf([listed(), listed()])).toEqual(['method: acme.Scoring/Score stands twice']);
    const triton = 'inference.GRPCInferenceService/ModelInfer';
    expect(problemsOf([listed(undefined, undefined, triton)])[0]).toMatch(/has a table of its own/);
  });

  it.each([
    ['nothing', new Uint8Array()],
    ['text', Buffer.from('syntax = "proto3";')],
    ['a cut file', setOf(ACME).subarray(0, -3)],
    ['random bytes', Buffer.from('0affffffff0fdeadbeef', 'hex')],
    ['a missing import', setOf({ ...ACME, dependency: ['absent.proto'] })],
    ['a type that is not there', setOf({ ...ACME, messageType: [] })],
    [
      'files that import each other',
      setOf({ ...ACME, dependency: ['b.proto'] }, { name: 'b.proto', dependency: ['acme.proto'] }),
    ],
    ['messages in messages without end', deep(100_000)],
  ])('of %s is refused with a finding', (_, set) => {
    const problems = problemsOf([listed('spec.dataset')], set);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^file: [\x20-\x7e]{1,300}$/);
  });

  it('may be as large as the limit and not one byte larger', () => {
    const set = setOf(ACME);
    // Field 1000 of the set is unknown: padding.
    const padded = (bytes: number): Uint8Array => {
      const room = bytes - set.length - 6;
      return Buffer.concat([
        set,
        new BinaryWriter()
          .tag(1000, 2)
          .bytes(Buffer.alloc(room + 1))
          .finish(),
      ]);
    };
    const exact = padded(MAX_DESCRIPTOR_BYTES - (padded(MAX_DESCRIPTOR_BYTES).length - MAX_DESCRIPTOR_BYTES));
    expect(exact).toHaveLength(MAX_DESCRIPTOR_BYTES);
    expect(problemsOf([listed('spec.dataset')], exact)).toEqual([]);
    expect(problemsOf([listed('spec.dataset')], Buffer.concat([exact, Buffer.alloc(1)]))).toEqual([
      'file: is larger than 1 MiB',
    ]);
  });

  it('may have as many files as the limit and not one more', () => {
    const others = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ name: `f${String(index)}.proto` }));
    const count = MAX_DESCRIPTOR_FILES - 2;
    expect(problemsOf([listed('spec.dataset')], setOf(ACME, ...others(count)))).toEqual([]);
    expect(problemsOf([listed('spec.dataset')], setOf(ACME, ...others(count + 1)))[0]).toMatch(/more than 1000 files/);
  });

  it('may have requests of as many types as the limit and not one more', () => {
    const chain = (count: number): File => ({
      name: 'chain.proto',
      package: 'chain',
      syntax: 'proto3',
      messageType: [
        { name: 'Request', field: [text('name', 1), nested('next', 2, 'chain.T0')] },
        ...Array.from({ length: count }, (_, index) => ({
          name: `T${String(index)}`,
          field: index + 1 < count ? [nested('next', 1, `chain.T${String(index + 1)}`)] : [],
        })),
      ],
      service: [{ name: 'S', method: [{ name: 'M', inputType: '.chain.Request', outputType: '.chain.Request' }] }],
    });
    const method = listed('name', undefined, 'chain.S/M');
    expect(problemsOf([method], setOf(chain(MAX_REQUEST_TYPES)))).toEqual([]);
    expect(problemsOf([method], setOf(chain(MAX_REQUEST_TYPES + 1)))[0]).toMatch(/too many or too deep types/);
  });
});

/** A message type in a message type, so many times. */
function deep(levels: number): Uint8Array {
  // Lengths first, from inside out: DescriptorProto.nested_type is 3.
  const lengths: number[] = [0];
  for (let level = 1; level <= levels; level++) {
    const inner = lengths[level - 1] ?? 0;
    lengths.push(inner + 1 + (inner < 128 ? 1 : inner < 16_384 ? 2 : inner < 2_097_152 ? 3 : 4));
  }
  const writer = new BinaryWriter();
  const outer = lengths[levels] ?? 0;
  const file = outer + 1 + new BinaryWriter().uint32(outer).finish().length;
  writer.tag(1, 2).uint32(file).tag(4, 2).uint32(outer);
  for (let level = levels; level > 0; level--) writer.tag(3, 2).uint32(lengths[level - 1] ?? 0);
  return writer.finish();
}
