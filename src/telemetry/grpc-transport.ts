/**
 * OTLP over gRPC for opentelemetry-js's export delegate. The library's own transport cannot be told how long to wait before
 * it connects again, and grpc-js's default grows to two minutes: too long after a collector's restart.
 */
import { type ChannelCredentials, Client, credentials, Metadata as GrpcMetadata, type Metadata } from '@grpc/grpc-js';
import type { ExportResponse, IExporterTransport } from '@opentelemetry/otlp-exporter-base';
import type { OtlpConfig } from '../config/generation.ts';

/** Longest wait between two attempts to connect. */
const MAX_RECONNECT_MS = 5_000;
const GZIP = 2;

export class GrpcTransport implements IExporterTransport {
  readonly #client: Client;
  readonly #path: string;
  readonly #metadata: Metadata;

  /** `path`: `/opentelemetry.proto.collector.trace.v1.TraceService/Export`. */
  constructor(path: string, config: OtlpConfig, compression: 'gzip' | 'none') {
    this.#path = path;
    this.#metadata = new GrpcMetadata();
    for (const [name, value] of Object.entries(config.headers)) this.#metadata.set(name, value);
    this.#client = new Client(new URL(config.endpoint).host, credentialsOf(config), {
      'grpc.max_reconnect_backoff_ms': MAX_RECONNECT_MS,
      ...(compression === 'gzip' ? { 'grpc.default_compression_algorithm': GZIP } : {}),
    });
  }

  send(data: Uint8Array, timeoutMillis: number): Promise<ExportResponse> {
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(
        this.#path,
        (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
        (bytes: Buffer) => bytes,
        data,
        this.#metadata,
        { deadline: Date.now() + timeoutMillis },
        (error, response) => {
          if (error !== null) resolve({ status: 'failure', error });
          else resolve({ status: 'success', data: response ?? Buffer.alloc(0) });
        },
      );
    });
  }

  shutdown(): void {
    this.#client.close();
  }
}

function credentialsOf(config: OtlpConfig): ChannelCredentials {
  if (new URL(config.endpoint).protocol !== 'https:') return credentials.createInsecure();
  const { caPem, clientCertificate } = config;
  return credentials.createSsl(
    caPem === undefined ? null : Buffer.from(caPem),
    clientCertificate === undefined ? null : Buffer.from(clientCertificate.keyPem),
    clientCertificate === undefined ? null : Buffer.from(clientCertificate.chainPem),
  );
}
