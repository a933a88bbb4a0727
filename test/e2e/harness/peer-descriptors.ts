/**
 * What the peers themselves say of their services: descriptors that came with them, not ours.
 */
import { readFileSync } from 'node:fs';
import { createFileRegistry, type DescService, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { ProtocolName } from '../../../src/inspection/protocols.ts';
import { loadRegistry } from '../../fakes/proto-registry.ts';
import { peerFile } from './peer-file.ts';

const SETS: Readonly<Record<Exclude<ProtocolName, 'torchserve'>, readonly string[]>> = {
  triton: ['model-servers/descriptors/triton.binpb'],
  kserve: ['model-servers/descriptors/kserve.binpb'],
  'tensorflow-serving': [
    'model-servers/descriptors/tensorflow-serving.binpb',
    'model-servers/descriptors/tensorflow-serving-model.binpb',
  ],
  vllm: ['model-servers/descriptors/vllm.binpb'],
};
const TORCHSERVE = ['inference.proto', 'management.proto', 'open_inference_grpc.proto'];

/** A service as its peer describes it. */
export function describedByPeer(protocol: ProtocolName, service: string): DescService {
  const found = registries(protocol).flatMap((registry) => registry.getService(service) ?? [])[0];
  if (found === undefined) throw new Error(`the peer of ${protocol} does not describe ${service}`);
  return found;
}

/** All that a peer describes, where it does so in one set. */
export function peerRegistry(protocol: ProtocolName): FileRegistry {
  const [only, ...others] = registries(protocol);
  if (only === undefined || others.length > 0) throw new Error(`${protocol} has no registry of its own`);
  return only;
}

function registries(protocol: ProtocolName): readonly FileRegistry[] {
  if (protocol === 'torchserve') return TORCHSERVE.map((file) => loadRegistry(file, [peerFile('torchserve/proto')]));
  return SETS[protocol].map((file) =>
    createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(peerFile(file)))),
  );
}
