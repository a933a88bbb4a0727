/**
 * A collector for tests: takes OTLP over gRPC (grpc-js) and over HTTP/protobuf on the same data, decodes it, keeps it, and can
 * be told to refuse.
 */
import { once } from 'node:events';
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface SunkSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: string;
  readonly startNanos: bigint;
  readonly endNanos: bigint;
  readonly attributes: Attributes;
  readonly events: readonly { readonly name: string; readonly nanos: bigint; readonly attributes: Attributes }[];
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status: string;
  readonly flags: number;
  readonly resource: Attributes;
  readonly scope: string;
}

export interface SunkLog {
  readonly eventName: string;
  readonly nanos: bigint;
  readonly severity: string;
  readonly body: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: Attributes;
  readonly resource: Attributes;
}

/** What the sink answers instead of taking a request. */
export type Refusal =
  | { readonly kind: 'grpc'; readonly code: number; readonly details: string }
  | { readonly kind: 'http'; readonly status: number }
  /** Takes the request and says that so many of its entries are not wanted. */
  | { readonly kind: 'partial'; readonly rejected: number };

export interface SunkRequest {
  readonly signal: 'traces' | 'logs';
  readonly bytes: number;
  readonly spans: readonly SunkSpan[];
  readonly logs: readonly SunkLog[];
  readonly headers: Readonly<Record<string, string>>;
}

export class OtlpSink {
  readonly spans: SunkSpan[] = [];
  readonly logs: SunkLog[] = [];
  readonly requests: {
    readonly signal: string;
    readonly bytes: number;
    readonly headers: Readonly<Record<string, string>>;
  }[] = [];
  /** Decides per request; undefined takes it. */
  refuse: (request: SunkRequest) => Refusal | undefined = () => undefined;
  #grpc: Server | undefined;
  #http: HttpServer | undefined;
  #changed: (() => void)[] = [];

  /** Listens for gRPC on a loopback port (0: a free one) and returns the endpoint. */
  async listenGrpc(port = 0): Promise<string> {
    const server = new Server({ 'grpc.max_receive_message_length': 4 * 1024 * 1024 });
    for (const signal of ['traces', 'logs'] as const) {
      server.addService(serviceOf(signal), {
        Export: (call: ServerUnaryCall<object, object>, callback: sendUnaryData<object>) => {
          const headers = Object.fromEntries(
            Object.entries(call.metadata.getMap()).map(([key, value]) => [key, String(value)]),
          );
          const refusal = this.#take(signal, call.request, 0, headers);
          if (refusal?.kind === 'grpc') callback({ code: refusal.code, details: refusal.details });
          else callback(null, answerOf(signal, refusal));
        },
      });
    }
    this.#grpc = server;
    const bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    return `http://127.0.0.1:${bound}`;
  }

  /** Listens for HTTP/protobuf on a loopback port (0: a free one) and returns the endpoint. */
  async listenHttp(port = 0): Promise<string> {
    const server = createServer((request, response) => {
      this.#answerHttp(request, response).catch((cause: unknown) => {
        // An exporter that is terminated leaves a request half sent: nobody waits for its answer.
        if (!request.destroyed) response.destroy(cause instanceof Error ? cause : undefined);
      });
    });
    this.#http = server;
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    // A TCP server's address is never a string.
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** Goes away, cutting connections; what was taken stays readable. */
  async close(): Promise<void> {
    this.#grpc?.forceShutdown();
    this.#http?.closeAllConnections();
    const http = this.#http;
    if (http !== undefined) await new Promise((resolve) => http.close(resolve));
    this.#grpc = undefined;
    this.#http = undefined;
  }

  /** Resolves when the condition holds; checked after each request that was taken. */
  async until(condition: () => boolean, timeoutMs = 15_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`after ${timeoutMs} ms: ${this.spans.length} spans, ${this.logs.length} logs`);
      await new Promise<void>((resolve) => {
        this.#changed.push(resolve);
        setTimeout(resolve, Math.min(left, 50));
      });
    }
  }

  async #answerHttp(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const signal = request.url === '/v1/traces' ? 'traces' : request.url === '/v1/logs' ? 'logs' : undefined;
    if (signal === undefined || request.headers['content-type'] !== 'application/x-protobuf') {
      response.writeHead(404).end();
      return;
    }
    const { requestDeserialize, responseSerialize } = exportOf(signal);
    const headers = Object.fromEntries(Object.entries(request.headers).map(([key, value]) => [key, String(value)]));
    const refusal = this.#take(signal, requestDeserialize(body), body.length, headers);
    if (refusal?.kind === 'http') {
      response.writeHead(refusal.status).end();
      return;
    }
    response
      .writeHead(200, { 'content-type': 'application/x-protobuf' })
      .end(responseSerialize(answerOf(signal, refusal)));
  }

  #take(
    signal: 'traces' | 'logs',
    message: object,
    bytes: number,
    headers: Readonly<Record<string, string>>,
  ): Refusal | undefined {
    const decoded = message as WireRequest;
    const spans = (decoded.resource_spans ?? []).flatMap(spansOf);
    const logs = (decoded.resource_logs ?? []).flatMap(logsOf);
    const refusal = this.refuse({ signal, bytes, spans, logs, headers });
    this.requests.push({ signal, bytes, headers });
    if (refusal !== undefined && refusal.kind !== 'partial') return refusal;
    this.spans.push(...spans);
    this.logs.push(...logs);
    for (const resolve of this.#changed.splice(0)) resolve();
    return refusal;
  }
}

/** Decodes an ExportTraceServiceRequest. */
export function decodeSpans(bytes: Buffer): SunkSpan[] {
  return ((exportOf('traces').requestDeserialize(bytes) as WireRequest).resource_spans ?? []).flatMap(spansOf);
}

/** Decodes an ExportLogsServiceRequest. */
export function decodeLogs(bytes: Buffer): SunkLog[] {
  return ((exportOf('logs').requestDeserialize(bytes) as WireRequest).resource_logs ?? []).flatMap(logsOf);
}

/** One point of a sum. */
export interface SunkPoint {
  readonly metric: string;
  readonly unit: string;
  readonly isCumulative: boolean;
  readonly isMonotonic: boolean;
  readonly startNanos: bigint;
  readonly nanos: bigint;
  readonly value: bigint;
  readonly attributes: Attributes;
  readonly resource: Attributes;
}

/** Decodes an ExportMetricsServiceRequest of sums. */
export function decodeMetrics(bytes: Buffer): SunkPoint[] {
  const { collector } = (packages as unknown as CollectorPackages).opentelemetry.proto;
  const request = collector.metrics.v1.MetricsService.service.Export.requestDeserialize(bytes) as WireMetrics;
  return request.resource_metrics.flatMap(({ resource, scope_metrics }) =>
    scope_metrics.flatMap(({ metrics }) =>
      metrics.flatMap(({ name, unit, sum }) =>
        sum.data_points.map((point) => ({
          metric: name,
          unit,
          isCumulative: sum.aggregation_temporality === 'AGGREGATION_TEMPORALITY_CUMULATIVE',
          isMonotonic: sum.is_monotonic,
          startNanos: BigInt(point.start_time_unix_nano),
          nanos: BigInt(point.time_unix_nano),
          value: BigInt(point.as_int),
          attributes: attributesOf(point.attributes),
          resource: attributesOf(resource.attributes),
        })),
      ),
    ),
  );
}

// What proto-loader makes of the messages, with the options below.
interface WireMetrics {
  readonly resource_metrics: readonly {
    readonly resource: { readonly attributes: readonly WireAttribute[] };
    readonly scope_metrics: readonly {
      readonly metrics: readonly {
        readonly name: string;
        readonly unit: string;
        readonly sum: {
          readonly aggregation_temporality: string;
          readonly is_monotonic: boolean;
          readonly data_points: readonly {
            readonly start_time_unix_nano: string;
            readonly time_unix_nano: string;
            readonly as_int: string;
            readonly attributes: readonly WireAttribute[];
          }[];
        };
      }[];
    }[];
  }[];
}
interface WireAttribute {
  readonly key: string;
  readonly value: { readonly value: string; readonly [kind: string]: string | boolean | number };
}
interface WireSpan {
  readonly trace_id: Buffer;
  readonly span_id: Buffer;
  readonly parent_span_id: Buffer;
  readonly name: string;
  readonly kind: string;
  readonly start_time_unix_nano: string;
  readonly end_time_unix_nano: string;
  readonly attributes: readonly WireAttribute[];
  readonly events: readonly {
    readonly name: string;
    readonly time_unix_nano: string;
    readonly attributes: readonly WireAttribute[];
  }[];
  readonly links: readonly { readonly trace_id: Buffer; readonly span_id: Buffer }[];
  readonly status: { readonly code: string } | null;
  readonly flags: number;
}
interface WireLog {
  readonly event_name: string;
  readonly time_unix_nano: string;
  readonly severity_text: string;
  readonly body: { readonly string_value: string } | null;
  readonly trace_id: Buffer;
  readonly span_id: Buffer;
  readonly attributes: readonly WireAttribute[];
}
interface WireResource {
  readonly resource: { readonly attributes: readonly WireAttribute[] };
}
interface WireRequest {
  readonly resource_spans?: readonly (WireResource & {
    readonly scope_spans: readonly {
      readonly scope: { readonly name: string; readonly version: string };
      readonly spans: readonly WireSpan[];
    }[];
  })[];
  readonly resource_logs?: readonly (WireResource & {
    readonly scope_logs: readonly { readonly log_records: readonly WireLog[] }[];
  })[];
}

function spansOf(resource: NonNullable<WireRequest['resource_spans']>[number]): SunkSpan[] {
  return resource.scope_spans.flatMap(({ scope, spans }) =>
    spans.map((span) => ({
      traceId: span.trace_id.toString('hex'),
      spanId: span.span_id.toString('hex'),
      parentSpanId: span.parent_span_id.toString('hex'),
      name: span.name,
      kind: span.kind,
      startNanos: BigInt(span.start_time_unix_nano),
      endNanos: BigInt(span.end_time_unix_nano),
      attributes: attributesOf(span.attributes),
      events: span.events.map((event) => ({
        name: event.name,
        nanos: BigInt(event.time_unix_nano),
        attributes: attributesOf(event.attributes),
      })),
      links: span.links.map((link) => ({
        traceId: link.trace_id.toString('hex'),
        spanId: link.span_id.toString('hex'),
      })),
      status: span.status?.code ?? 'STATUS_CODE_UNSET',
      flags: span.flags,
      resource: attributesOf(resource.resource.attributes),
      scope: `${scope.name} ${scope.version}`,
    })),
  );
}

function logsOf(resource: NonNullable<WireRequest['resource_logs']>[number]): SunkLog[] {
  return resource.scope_logs.flatMap(({ log_records }) =>
    log_records.map((log) => ({
      eventName: log.event_name,
      nanos: BigInt(log.time_unix_nano),
      severity: log.severity_text,
      body: log.body?.string_value ?? '',
      traceId: log.trace_id.toString('hex'),
      spanId: log.span_id.toString('hex'),
      attributes: attributesOf(log.attributes),
      resource: attributesOf(resource.resource.attributes),
    })),
  );
}

function attributesOf(attributes: readonly WireAttribute[]): Attributes {
  const entries = attributes.map(({ key, value }): [string, string | number | boolean] => {
    const held = value[value.value];
    return [key, value.value === 'int_value' ? Number(held) : (held ?? '')];
  });
  if (new Set(entries.map(([key]) => key)).size !== entries.length) throw new Error('an attribute is there twice');
  return Object.fromEntries(entries);
}

const PROTOS = fileURLToPath(new URL('./otlp', import.meta.url));
const packages = loadPackageDefinition(
  loadSync(['trace_service.proto', 'logs_service.proto', 'metrics_service.proto'], {
    includeDirs: [PROTOS],
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  }),
);

interface ExportMethod {
  readonly path: string;
  requestDeserialize(bytes: Buffer): object;
  responseSerialize(value: object): Buffer;
}

// loadPackageDefinition's type knows no names; these are the ones in our files.
interface CollectorPackages {
  readonly opentelemetry: {
    readonly proto: {
      readonly collector: {
        readonly trace: {
          readonly v1: { readonly TraceService: { readonly service: { readonly Export: ExportMethod } } };
        };
        readonly logs: {
          readonly v1: { readonly LogsService: { readonly service: { readonly Export: ExportMethod } } };
        };
        readonly metrics: {
          readonly v1: { readonly MetricsService: { readonly service: { readonly Export: ExportMethod } } };
        };
      };
    };
  };
}

function serviceOf(signal: 'traces' | 'logs') {
  const { collector } = (packages as unknown as CollectorPackages).opentelemetry.proto;
  const { service } = signal === 'traces' ? collector.trace.v1.TraceService : collector.logs.v1.LogsService;
  return service as unknown as Parameters<Server['addService']>[0];
}

function exportOf(signal: 'traces' | 'logs'): ExportMethod {
  const { collector } = (packages as unknown as CollectorPackages).opentelemetry.proto;
  return signal === 'traces'
    ? collector.trace.v1.TraceService.service.Export
    : collector.logs.v1.LogsService.service.Export;
}

function answerOf(signal: 'traces' | 'logs', refusal: Refusal | undefined): object {
  if (refusal?.kind !== 'partial') return {};
  const field = signal === 'traces' ? 'rejected_spans' : 'rejected_log_records';
  return { partial_success: { [field]: refusal.rejected, error_message: 'not wanted' } };
}
