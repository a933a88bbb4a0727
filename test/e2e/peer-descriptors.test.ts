/**
 * Judges: the descriptors that tritonclient, KServe, TensorFlow Serving, TorchServe and vLLM's stubs bring with them. Each of our tables
 * has their methods, and no other, and every field of what it reads.
 */
import type { DescField, DescMessage, FileRegistry } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { INFERENCE_SERVICE } from '../../src/inspection/inference-methods.ts';
import { PROTOCOL_NAMES, PROTOCOLS } from '../../src/inspection/protocols.ts';
import { differences } from '../fakes/plan-of-type.ts';
import { loadRegistry } from '../fakes/proto-registry.ts';
import { describedByPeer, peerRegistry } from './harness/peer-descriptors.ts';

describe.each(PROTOCOL_NAMES)('the table of %s', (protocol) => {
  it.each([...PROTOCOLS[protocol]])('has %s as its peer describes it', (service, rows) => {
    const { methods } = describedByPeer(protocol, service);
    expect([...rows.keys()].sort()).toEqual(methods.map(({ name }) => name).sort());
    for (const method of methods) {
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

/** Messages of which we describe a part on purpose; every other one has to be complete. */
const PARTIAL = new Set(['inference.ModelConfig']);

const ours = loadRegistry('inference/grpc_inference_service.proto');

describe('our proto of Triton’s service', () => {
  it('is compatible with the client in every method', () => {
    const theirs = peerRegistry('triton');
    const described = (registry: FileRegistry) =>
      registry
        .getService(INFERENCE_SERVICE)
        ?.methods.map((method) =>
          [method.name, method.methodKind, method.input.typeName, method.output.typeName].join(' '),
        )
        .sort();
    expect(described(ours)).toEqual(described(theirs));
  });

  it('is compatible with the client in every message and enum', () => {
    const theirs = peerRegistry('triton');
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

function describeFields(type: DescMessage): Record<number, string> {
  return Object.fromEntries(type.fields.map((field) => [field.number, describeField(field)]));
}

function describeField(field: DescField): string {
  const kind = field.fieldKind === 'map' ? `map of ${field.mapKey}` : field.fieldKind;
  const value = field.message?.typeName ?? field.enum?.typeName ?? field.scalar;
  const packed = field.fieldKind === 'list' && field.packed ? ' packed' : '';
  return `${field.name}: ${kind} ${value}${packed} ${field.oneof?.name ?? ''}`.trim();
}
