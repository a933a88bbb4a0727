/**
 * The protocols of model servers that Bulkhead reads, by the names that a tenant's file has for them.
 */
import { INFERENCE_METHODS, INFERENCE_SERVICE } from './inference-methods.ts';
import { KSERVE } from './kserve.ts';
import type { ServiceRows } from './method-row.ts';
import { TENSORFLOW_SERVING } from './tensorflow-serving.ts';
import { TORCHSERVE } from './torchserve.ts';
import { VLLM } from './vllm.ts';

export const PROTOCOL_NAMES = ['triton', 'kserve', 'tensorflow-serving', 'torchserve', 'vllm'] as const;
export type ProtocolName = (typeof PROTOCOL_NAMES)[number];

/** Rows by service, of each protocol. */
export const PROTOCOLS: Readonly<Record<ProtocolName, ReadonlyMap<string, ServiceRows>>> = {
  triton: new Map([[INFERENCE_SERVICE, INFERENCE_METHODS]]),
  kserve: KSERVE,
  'tensorflow-serving': TENSORFLOW_SERVING,
  torchserve: TORCHSERVE,
  vllm: VLLM,
};

/** The services of these protocols, with their rows. No two of them may have one of the same name. */
export function servicesOf(protocols: readonly ProtocolName[]): ReadonlyMap<string, ServiceRows> {
  return new Map(protocols.flatMap((protocol) => [...PROTOCOLS[protocol]]));
}

/** Which protocols have a service of this name; none: it is nobody's that we know. */
export function protocolsOf(service: string): readonly ProtocolName[] {
  return PROTOCOL_NAMES.filter((protocol) => PROTOCOLS[protocol].has(service));
}
