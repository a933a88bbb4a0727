/**
 * A KServe client that knows nothing of TLS: grpc-js in clear text, as a program in a client's pod would be.
 */
import { Client, type ClientDuplexStream, credentials, Metadata, status } from '@grpc/grpc-js';
import { serializeInferRequest } from '../../../src/demo/inference-client.ts';
import type { InferRequest } from '../../../src/demo/inference-protocol.ts';

export interface PlainOutcome {
  readonly code: string;
  readonly message: string;
  /** What came with the status. */
  readonly trailers: Readonly<Record<string, unknown>>;
}

const INFER = '/inference.GRPCInferenceService/ModelInfer';
const STREAM_INFER = '/inference.GRPCInferenceService/ModelStreamInfer';
const asIs = (bytes: Buffer): Buffer => bytes;

export class PlainClient {
  readonly #client: Client;

  /** `target`: a loopback port, or `unix:/path`. */
  constructor(target: number | string) {
    this.#client = new Client(
      typeof target === 'number' ? `127.0.0.1:${target}` : target,
      credentials.createInsecure(),
      {
        'grpc.use_local_subchannel_pool': 1,
      },
    );
  }

  /** Never rejects: every end is an outcome. */
  infer(request: InferRequest, metadata: Readonly<Record<string, string>> = {}): Promise<PlainOutcome> {
    const headers = new Metadata();
    for (const [name, value] of Object.entries(metadata)) headers.set(name, value);
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(INFER, asIs, asIs, serializeInferRequest(request), headers, {}, (error) => {
        if (error === null) resolve({ code: 'OK', message: '', trailers: {} });
        else resolve({ code: status[error.code] ?? '', message: error.details, trailers: error.metadata.getMap() });
      });
    });
  }

  /** A stream of inferences, open until it is ended. */
  stream(): ClientDuplexStream<InferRequest, Buffer> {
    return this.#client.makeBidiStreamRequest(STREAM_INFER, serializeInferRequest, asIs);
  }

  close(): void {
    this.#client.close();
  }
}
