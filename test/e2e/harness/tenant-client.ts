/**
 * An ordinary KServe client of one tenant, connected to the sidecar under test.
 */
import { type ClientOptions, InferenceClient } from '../../../src/demo/inference-client.ts';
import type { Sidecar } from './sidecar.ts';

/** Connects with the tenant's own client certificate; `overrides` is what a test does otherwise. */
export function tenantClient(
  sidecar: Sidecar,
  tenant: string,
  overrides: Partial<ClientOptions> = {},
): InferenceClient {
  const { pki } = sidecar.tenant(tenant);
  return new InferenceClient({
    target: `127.0.0.1:${sidecar.port}`,
    serverName: pki.serverName,
    caPem: pki.ca.certPem,
    certificate: pki.client,
    metadata: {},
    ...overrides,
  });
}
