/**
 * The protocols that Bulkhead reads, with the protos that describe their services.
 */
import type { DescMethod } from '@bufbuild/protobuf';
import type { MethodRow } from '../../src/inspection/method-row.ts';
import { PROTOCOL_NAMES, PROTOCOLS, type ProtocolName } from '../../src/inspection/protocols.ts';
import { loadRegistry } from './proto-registry.ts';

const PROTOS: Readonly<Record<ProtocolName, readonly string[]>> = {
  triton: ['inference/grpc_inference_service.proto'],
  kserve: ['kserve/grpc_predict_v2.proto'],
  'tensorflow-serving': ['tensorflow/serving.proto'],
  torchserve: ['torchserve/inference.proto', 'torchserve/management.proto', 'torchserve/open_inference.proto'],
  vllm: ['vllm/vllm_engine.proto'],
};

export interface DescribedService {
  readonly protocol: ProtocolName;
  readonly service: string;
  readonly rows: ReadonlyMap<string, MethodRow>;
  readonly methods: ReadonlyMap<string, DescMethod>;
}

/** Every service of every protocol. */
export const SERVICES: readonly DescribedService[] = PROTOCOL_NAMES.flatMap((protocol) => {
  const registries = PROTOS[protocol].map((file) => loadRegistry(file));
  return [...PROTOCOLS[protocol]].map(([service, rows]) => {
    const found = registries.map((registry) => registry.getService(service)).find((each) => each !== undefined);
    if (found === undefined) throw new Error(`no proto has ${service}`);
    return { protocol, service, rows, methods: new Map(found.methods.map((method) => [method.name, method])) };
  });
});
