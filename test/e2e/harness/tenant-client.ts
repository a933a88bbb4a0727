/**
 * An ordinary KServe client of one tenant, connected to the sidecar under test.
 */
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { type ClientOptions, InferenceClient, serializeInferRequest } from '../../../src/demo/inference-client.ts';
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

/** Calls ModelInfer, whose answer would take `delay:` far longer, and cancels it after so long. Gives the status, CANCELLED. */
export function cancelledInfer(sidecar: Sidecar, tenant: string, model: string, afterMs: number): Promise<number> {
  return patientInfer(sidecar, tenant, { modelName: model, id: 'delay:60000', inputs: [] }, afterMs);
}

/** Calls ModelInfer on a connection of its own, without a deadline; cancels it after so long, if told to. Gives the status. */
export function patientInfer(
  sidecar: Sidecar,
  tenant: string,
  request: Parameters<typeof serializeInferRequest>[0],
  cancelAfterMs?: number,
): Promise<number> {
  const { pki } = sidecar.tenant(tenant);
  const { ca, client: own, serverName } = pki;
  const tls = credentials.createSsl(Buffer.from(ca.certPem), Buffer.from(own.keyPem), Buffer.from(own.certPem));
  const client = new Client(`127.0.0.1:${sidecar.port}`, tls, {
    'grpc.ssl_target_name_override': serverName,
    'grpc.default_authority': serverName,
    'grpc.use_local_subchannel_pool': 1,
  });
  return new Promise((resolve) => {
    const call = client.makeUnaryRequest(
      '/inference.GRPCInferenceService/ModelInfer',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      serializeInferRequest(request),
      new Metadata(),
      {},
      (error) => {
        client.close();
        resolve(error?.code ?? 0);
      },
    );
    if (cancelAfterMs !== undefined) setTimeout(() => call.cancel(), cancelAfterMs);
  });
}
