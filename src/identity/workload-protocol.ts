/**
 * The SPIFFE Workload API as grpc-js needs it, and its messages. What comes is an agent's: nothing in them is checked yet.
 */
import { fileURLToPath } from 'node:url';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export interface SvidEntry {
  readonly spiffeId: string;
  /** DER certificates, the leaf first. */
  readonly x509Svid: Buffer;
  /** PKCS #8, DER. */
  readonly x509SvidKey: Buffer;
  readonly bundle: Buffer;
  readonly hint: string;
}

export interface SvidsMessage {
  readonly svids: readonly SvidEntry[];
}

export interface BundlesMessage {
  /** DER certificates by the trust domain's id. */
  readonly bundles: Readonly<Record<string, Buffer>>;
}

const PROTO = fileURLToPath(new URL('../../proto/spiffe/workload.proto', import.meta.url));

/** The service's definition. Read when it is first needed: most sidecars never are. */
export function workloadService(): ServiceDefinition {
  const service = loadSync(PROTO, { defaults: true })['SpiffeWorkloadAPI'];
  // Its file has exactly this service; anything else in its place would be a mistake of ours.
  if (service === undefined || 'format' in service) throw new Error(`${PROTO} has no SpiffeWorkloadAPI`);
  return service;
}
