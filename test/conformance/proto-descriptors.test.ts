/**
 * Our description of the KServe V2 service against what an installed client carries: the same methods, and for every field that
 * we name the same name, number, type and label.
 *
 * `BULKHEAD_PEER_DESCRIPTORS` names files, separated by `:`, each a serialized FileDescriptorProto or FileDescriptorSet
 * (test/conformance/descriptors-of-wheel.py takes them out of the `tritonclient` wheel). Named and absent is a failure.
 */
import { readFileSync } from 'node:fs';
import {
  create,
  createFileRegistry,
  type DescField,
  type DescMessage,
  type FileRegistry,
  fromBinary,
} from '@bufbuild/protobuf';
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { INFERENCE_SERVICE } from '../../src/inspection/inference-methods.ts';
import { differences } from '../fakes/plan-of-type.ts';
import { loadRegistry } from '../fakes/proto-registry.ts';
import { SERVICES } from '../fakes/protocol-protos.ts';

const files = (process.env['BULKHEAD_PEER_DESCRIPTORS'] ?? '').split(':').filter((file) => file !== '');
const ours = loadRegistry('inference/grpc_inference_service.proto');

const WELL_KNOWN = [file_google_protobuf_any, file_google_protobuf_timestamp, file_google_protobuf_wrappers].map(
  ({ proto }) => proto,
);

/** Messages of which we describe a part on purpose; every other one has to be complete. */
const PARTIAL = new Set(['inference.ModelConfig']);

describe('the inference proto', () => {
  it('has the methods that the protocol has, with their kinds', () => {
    const service = ours.getService(INFERENCE_SERVICE);
    const streaming = service?.methods.filter((method) => method.methodKind !== 'unary').map((method) => method.name);
    expect(service?.methods).toHaveLength(20);
    expect(streaming).toEqual(['ModelStreamInfer']);
  });

  it.skipIf(files.length === 0)('is compatible with the client in every method', () => {
    const theirs = loadPeer();
    const described = (registry: FileRegistry) =>
      registry
        .getService(INFERENCE_SERVICE)
        ?.methods.map((method) =>
          [method.name, method.methodKind, method.input.typeName, method.output.typeName].join(' '),
        )
        .sort();
    expect(described(ours)).toEqual(described(theirs));
  });

  it.skipIf(files.length === 0)('is compatible with the client in every message and enum', () => {
    const theirs = loadPeer();
    let compared = 0;
    for (const type of ours) {
      if (type.kind === 'message') {
        const peer = theirs.getMessage(type.typeName);
        const mine = describeFields(type);
        const other = peer === undefined ? {} : describeFields(peer);
        if (PARTIAL.has(type.typeName)) expect(other).toMatchObject(mine);
        else expect({ [type.typeName]: mine }).toEqual({ [type.typeName]: other });
        compared += 1;
      } else if (type.kind === 'enum') {
        const values = (name: string, registry: FileRegistry) =>
          registry.getEnum(name)?.values.map((value) => `${value.name} = ${value.number}`);
        expect(values(type.typeName, ours)).toEqual(values(type.typeName, theirs));
      }
    }
    expect(compared).toBeGreaterThan(50);
  });
});

describe.each(SERVICES)('the table of $service', ({ service, rows }) => {
  it.skipIf(files.length === 0)('is compatible with the client that has it', (context) => {
    const theirs = loadPeer().getService(service);
    if (theirs === undefined) return context.skip(`no file of ${service}`);
    expect([...rows.keys()].sort()).toEqual(theirs.methods.map(({ name }) => name).sort());
    for (const method of theirs.methods) {
      const row = rows.get(method.name);
      const streams = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
      const found = row?.plan === undefined ? [] : differences(row.plan.root, method.input);
      expect({ name: method.name, streams, found }).toEqual({
        name: method.name,
        streams: row?.requestStreaming,
        found: [],
      });
    }
  });
});

function loadPeer(): FileRegistry {
  const protos = files.flatMap((file) => {
    const bytes = readFileSync(file);
    // A set's only field is 1, a message; a file's field 1 is its name. Only one of them gives files with messages.
    const single = tryDecode(() => [fromBinary(FileDescriptorProtoSchema, bytes)]);
    const set = tryDecode(() => fromBinary(FileDescriptorSetSchema, bytes).file);
    return [set, single].find((found) => found.some((proto) => proto.messageType.length > 0)) ?? [];
  });
  if (protos.length === 0) throw new Error(`no descriptors in ${files.join(', ')}`);
  // Imports have to come before their importers; one that is not there is a well-known type's, or nobody's.
  const byName = new Map([...WELL_KNOWN, ...protos].map((proto) => [proto.name, proto]));
  const ordered = new Set<FileDescriptorProto>();
  const place = (proto: FileDescriptorProto): void => {
    for (const name of proto.dependency) {
      const imported = byName.get(name);
      if (imported !== undefined && !ordered.has(imported)) place(imported);
    }
    ordered.add(proto);
  };
  for (const proto of protos) place(proto);
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [...ordered] }));
}

function tryDecode<T>(decode: () => T[]): T[] {
  try {
    return decode();
  } catch {
    return [];
  }
}

function describeFields(type: DescMessage): Record<number, string> {
  return Object.fromEntries(type.fields.map((field) => [field.number, describeField(field)]));
}

function describeField(field: DescField): string {
  const kind = field.fieldKind === 'map' ? `map of ${field.mapKey}` : field.fieldKind;
  const value = field.message?.typeName ?? field.enum?.typeName ?? field.scalar;
  const packed = field.fieldKind === 'list' && field.packed ? ' packed' : '';
  return `${field.name}: ${kind} ${value}${packed} ${field.oneof?.name ?? ''}`.trim();
}
