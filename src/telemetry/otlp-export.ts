/**
 * Sends OTLP requests with opentelemetry-js: its transports, retries and environment variables, our bytes.
 */

import { ExportResultCode } from '@opentelemetry/core';
import {
  createOtlpNetworkExportDelegate,
  ExporterMetrics,
  type IOtlpExportDelegate,
} from '@opentelemetry/otlp-exporter-base';
import {
  createOtlpHttpExportDelegate,
  getSharedConfigurationFromEnvironment,
  httpAgentFactoryFromOptions,
} from '@opentelemetry/otlp-exporter-base/node-http';
import type { Signal } from '../audit/cursor.ts';
import type { OtlpConfig } from '../config/generation.ts';
import { loadNoWebSockets } from '../kernel/http.ts';

export type ExportOutcome =
  /** Acknowledged. `rejected`: how many entries of it the collector did not want (OTLP's partial success). */
  | { readonly kind: 'delivered'; readonly rejected: number }
  /** The collector will never take this request as it is: what is in it is wrong, or it is too large. */
  | { readonly kind: 'refused'; readonly why: string }
  /** It may take it later. */
  | { readonly kind: 'unavailable'; readonly why: string };

/** One request that is on its way: its bytes, and how many spans or log records they hold. */
export interface OtlpRequest {
  readonly bytes: Buffer;
  readonly entries: number;
}

/** What is sent: what is made of records, and metrics. */
export type OtlpSignal = Signal | 'metrics';

const PATHS: Readonly<Record<OtlpSignal, { readonly http: string; readonly grpc: string }>> = {
  traces: {
    http: '/v1/traces',
    grpc: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  },
  logs: {
    http: '/v1/logs',
    grpc: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
  },
  metrics: {
    http: '/v1/metrics',
    grpc: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
  },
};

/** Exports one signal, one request at a time. */
export class OtlpExporter {
  readonly #delegate: IOtlpExportDelegate<OtlpRequest>;
  readonly #response: ResponseReader;

  /** Loads what the protocol needs, and only that: grpc-js takes several megabytes in each thread that loads it. */
  static async create(signal: OtlpSignal, config: OtlpConfig): Promise<OtlpExporter> {
    const response = new ResponseReader();
    const delegate =
      config.protocol === 'grpc'
        ? await grpcDelegate(signal, config, response)
        : httpDelegate(signal, config, response);
    return new OtlpExporter(delegate, response);
  }

  private constructor(delegate: IOtlpExportDelegate<OtlpRequest>, response: ResponseReader) {
    this.#delegate = delegate;
    this.#response = response;
  }

  /** Sends a request; never rejects. Call it again only when it has resolved. */
  export(request: OtlpRequest): Promise<ExportOutcome> {
    this.#response.rejected = 0;
    return new Promise((resolve) => {
      this.#delegate.export(request, ({ code, error }) => {
        if (code === ExportResultCode.SUCCESS) resolve({ kind: 'delivered', rejected: this.#response.rejected });
        else resolve(failure(error));
      });
    });
  }

  async close(): Promise<void> {
    await this.#delegate.shutdown();
  }
}

/** Hands our bytes over, and reads from the answer how many entries were rejected. */
class ResponseReader {
  rejected = 0;

  serializeRequest(request: OtlpRequest): Uint8Array {
    return request.bytes;
  }

  deserializeResponse(data: Uint8Array): object {
    this.rejected = rejectedEntries(data);
    return {};
  }
}

function httpDelegate(
  signal: OtlpSignal,
  config: OtlpConfig,
  serializer: ResponseReader,
): IOtlpExportDelegate<OtlpRequest> {
  // The library imports `node:http` when it sends for the first time.
  loadNoWebSockets();
  const base = config.endpoint.endsWith('/') ? config.endpoint.slice(0, -1) : config.endpoint;
  return createOtlpHttpExportDelegate(
    {
      ...sharedOptions(signal, config),
      url: `${base}${PATHS[signal].http}`,
      headers: () => Promise.resolve({ ...config.headers, 'Content-Type': 'application/x-protobuf' }),
      agentFactory: httpAgentFactoryFromOptions({
        keepAlive: true,
        ...(config.caPem === undefined ? {} : { ca: config.caPem }),
        ...(config.clientCertificate === undefined
          ? {}
          : { cert: config.clientCertificate.chainPem, key: config.clientCertificate.keyPem }),
      }),
    },
    serializer,
    'otlp_http_exporter',
    metricsHelper(signal),
    undefined,
  );
}

async function grpcDelegate(
  signal: OtlpSignal,
  config: OtlpConfig,
  serializer: ResponseReader,
): Promise<IOtlpExportDelegate<OtlpRequest>> {
  const { GrpcTransport } = await import('./grpc-transport.ts');
  const options = sharedOptions(signal, config);
  const metrics = new ExporterMetrics({
    componentType: 'otlp_grpc_exporter',
    metricsHelper: metricsHelper(signal),
    url: config.endpoint,
    meterProvider: undefined,
    responseAttributesFromError: () => ({}),
  });
  const transport = new GrpcTransport(PATHS[signal].grpc, config, options.compression);
  return createOtlpNetworkExportDelegate(options, serializer, metrics, transport);
}

function sharedOptions(
  signal: OtlpSignal,
  config: OtlpConfig,
): { timeoutMillis: number; concurrencyLimit: number; compression: 'gzip' | 'none' } {
  const environment = getSharedConfigurationFromEnvironment(signal.toUpperCase());
  return { timeoutMillis: config.timeoutMs, concurrencyLimit: 1, compression: environment.compression ?? 'none' };
}

function metricsHelper(signal: OtlpSignal): { name: 'span' | 'log'; countItems: (request: OtlpRequest) => number } {
  return { name: signal === 'traces' ? 'span' : 'log', countItems: ({ entries }) => entries };
}

/**
 * Only what says that the request itself is wrong is final. Missing credentials, a wrong path or a failure inside the
 * collector are the operator's to mend: the records wait in their segments meanwhile.
 */
function failure(error: unknown): ExportOutcome {
  const why = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const isGrpc = error instanceof Error && 'details' in error;
  // gRPC's messages begin with the code, HTTP's do not have it.
  const text = typeof code === 'number' && !isGrpc ? `HTTP ${code}: ${why}` : why;
  const tooLarge = isGrpc && code === GRPC_RESOURCE_EXHAUSTED && /larger than max/i.test(why);
  const final = isGrpc ? code === GRPC_INVALID_ARGUMENT || tooLarge : code === 400 || code === 413 || code === 422;
  return { kind: final ? 'refused' : 'unavailable', why: text };
}

const GRPC_INVALID_ARGUMENT = 3;
const GRPC_RESOURCE_EXHAUSTED = 8;

/** `partial_success.rejected_spans` or `.rejected_log_records`: field 1 in field 1 of the answer. 0 when it is not there. */
function rejectedEntries(data: Uint8Array): number {
  const partial = fieldOne(data, 2);
  return partial instanceof Uint8Array ? Number(fieldOne(partial, 0) ?? 0) : 0;
}

function fieldOne(data: Uint8Array, wire: 0 | 2): Uint8Array | number | undefined {
  if (data[0] !== 8 + wire) return undefined;
  let value = 0;
  let scale = 1;
  for (let at = 1; at < Math.min(data.length, 9); at++) {
    const byte = data[at] ?? 0;
    value += (byte & 0x7f) * scale;
    scale *= 0x80;
    if (byte < 0x80) return wire === 0 ? value : data.subarray(at + 1, at + 1 + value);
  }
  return undefined;
}
