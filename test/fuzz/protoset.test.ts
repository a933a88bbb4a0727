/**
 * Files that are nearly descriptor sets: whatever is in them, reading them says what is wrong, or reads them.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { readProtoset } from '../../src/inspection/protoset.ts';
import { loadRegistry } from '../fakes/proto-registry.ts';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 400);

const files = [...loadRegistry('torchserve/management.proto').files].map(({ proto }) => ({
  ...proto,
  package: 'some',
  name: 'some.proto',
  service: proto.service.map((service) => ({
    ...service,
    method: service.method.map((method) => ({
      ...method,
      inputType: method.inputType.replace('.org.pytorch.serve.grpc.management', '.some'),
      outputType: method.outputType.replace('.org.pytorch.serve.grpc.management', '.some'),
    })),
  })),
}));
const set = Buffer.from(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: files })));
const listed = ['ScaleWorker', 'RegisterModel'].map((name) => ({
  method: `some.ManagementAPIsService/${name}`,
  model: 'model_name',
  version: name === 'ScaleWorker' ? 'model_version' : undefined,
  sensitive: true,
}));

it('a whole one is read', () => {
  expect(readProtoset(set, listed)).toMatchObject({ ok: true });
});

it('a broken one is read, or refused with a line of text', () => {
  let refused = 0;
  const edit = fc.tuple(fc.nat(set.length - 1), fc.integer({ min: 1, max: 255 }));
  const cut = fc.option(fc.nat(set.length));
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 4 }), cut, (edits, end) => {
      const broken = Buffer.from(set.subarray(0, end ?? set.length));
      for (const [at, bits] of edits) if (at < broken.length) broken[at] = (broken[at] ?? 0) ^ bits;
      const read = readProtoset(broken, listed);
      if (read.ok) return;
      refused += 1;
      for (const { message, fix } of read.error) {
        expect(message).toMatch(/^[\x20-\x7e]{1,600}$/);
        expect(fix).toMatch(/^[\x20-\x7e]{1,600}$/);
      }
    }),
    { numRuns: RUNS * 5 },
  );
  expect(refused).toBeGreaterThan(RUNS);
});
