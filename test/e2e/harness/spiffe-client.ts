/**
 * A client that knows SPIFFE: it shows its certificate, and verifies the server's by the authorities of its trust domain.
 */
import { X509Certificate } from 'node:crypto';
import { Client, type ClientDuplexStream, credentials, status } from '@grpc/grpc-js';
import { serializeInferRequest } from '../../../src/demo/inference-client.ts';
import type { InferRequest } from '../../../src/demo/inference-protocol.ts';

export interface SpiffeClientOptions {
  readonly port: number;
  readonly serverName: string;
  /** Of the server. */
  readonly serverId: string;
  readonly authoritiesPem: string;
  readonly certificate: { readonly certPem: string; readonly keyPem: string };
}

/** How a stream has ended. */
export interface StreamEnd {
  readonly code: string;
  readonly message: string;
  /** `Date.now()`. */
  readonly at: number;
  readonly responses: number;
}

const SERVICE = '/inference.GRPCInferenceService';
const asIs = (bytes: Buffer): Buffer => bytes;

export class SpiffeClient {
  readonly #client: Client;

  constructor({ port, serverName, serverId, authoritiesPem, certificate }: SpiffeClientOptions) {
    const tls = credentials.createSsl(
      Buffer.from(authoritiesPem),
      Buffer.from(certificate.keyPem),
      Buffer.from(certificate.certPem),
      {
        checkServerIdentity: (_host, peer) => {
          const names = new X509Certificate(peer.raw).subjectAltName ?? '';
          return names.split(', ').includes(`URI:${serverId}`) ? undefined : new Error(`not ${serverId}: ${names}`);
        },
      },
    );
    this.#client = new Client(`127.0.0.1:${port}`, tls, {
      'grpc.ssl_target_name_override': serverName,
      'grpc.default_authority': serverName,
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  /** Calls ModelInfer. Never rejects. */
  infer(request: InferRequest): Promise<{ readonly code: string; readonly message: string }> {
    const deadline = { deadline: Date.now() + 10_000 };
    return new Promise((resolve) => {
      const body = serializeInferRequest(request);
      this.#client.makeUnaryRequest(`${SERVICE}/ModelInfer`, asIs, asIs, body, deadline, (error) =>
        resolve(error === null ? { code: 'OK', message: '' } : { code: codeOf(error), message: error.details }),
      );
    });
  }

  /** A stream that has had its first response, and goes on until somebody ends it. */
  async stream(model: string): Promise<{
    readonly call: ClientDuplexStream<InferRequest, Buffer>;
    readonly ended: Promise<StreamEnd>;
  }> {
    const call = this.#client.makeBidiStreamRequest(`${SERVICE}/ModelStreamInfer`, serializeInferRequest, asIs);
    let responses = 0;
    const ended = new Promise<StreamEnd>((resolve) => {
      call.on('status', ({ code, details }) => {
        resolve({ code: status[code] ?? '', message: details, at: Date.now(), responses });
      });
    });
    call.on('error', () => undefined);
    const first = new Promise<void>((resolve) => {
      call.on('data', () => {
        responses += 1;
        resolve();
      });
    });
    call.write({ modelName: model, inputs: [] });
    await Promise.race([first, ended]);
    return { call, ended };
  }

  close(): void {
    this.#client.close();
  }
}

function codeOf({ code }: { readonly code: number }): string {
  return status[code] ?? '';
}
