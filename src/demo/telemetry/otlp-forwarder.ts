/**
 * Passes exports on, byte for byte, to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, so that the demo's waterfall
 * and that collector show the same spans.
 *
 * The variables are read as OpenTelemetry's specification has them; without `OTEL_EXPORTER_OTLP_PROTOCOL`, port 4317 means
 * gRPC, since that is what listens there.
 */
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { Forwarder, Signal } from './otlp-sink.ts';

const TIMEOUT_MS = 5_000;
/** Exports on their way at once; more than the demo's sidecar sends. */
const MAX_IN_FLIGHT = 64;

const GRPC_METHODS: Readonly<Record<Signal, string>> = {
  traces: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
  logs: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
  metrics: '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export',
};

export interface ExportTally {
  /** Exports that were acknowledged. */
  accepted: number;
  /** Exports that were not, and what was said of the last one. */
  refused: number;
  lastError: string;
}

type Send = (signal: Signal, body: Buffer) => Promise<void>;

export class OtlpForwarder implements Forwarder {
  readonly endpoint: string;
  readonly protocol: 'grpc' | 'http/protobuf';
  /** What became of the exports; by signal, since Jaeger takes traces and nothing else. */
  readonly tallies: Readonly<Record<Signal, ExportTally>> = {
    traces: { accepted: 0, refused: 0, lastError: '' },
    logs: { accepted: 0, refused: 0, lastError: '' },
    metrics: { accepted: 0, refused: 0, lastError: '' },
  };
  readonly #send: Send;
  readonly #inFlight = new Set<Promise<void>>();

  private constructor(endpoint: URL, protocol: 'grpc' | 'http/protobuf', headers: Readonly<Record<string, string>>) {
    this.endpoint = endpoint.href.replace(/\/$/, '');
    this.protocol = protocol;
    this.#send = protocol === 'grpc' ? grpcSender(endpoint, headers) : httpSender(this.endpoint, headers);
  }

  /** The forwarder that the environment asks for; undefined when it asks for none. Throws when the endpoint is no URL. */
  static fromEnvironment(env: NodeJS.ProcessEnv): OtlpForwarder | undefined {
    const text = env['OTEL_EXPORTER_OTLP_ENDPOINT'];
    if (text === undefined || text === '') return undefined;
    const endpoint = new URL(text.includes('://') ? text : `http://${text}`);
    const wanted = env['OTEL_EXPORTER_OTLP_PROTOCOL'];
    const grpc = wanted === undefined ? endpoint.port === '4317' : wanted === 'grpc';
    return new OtlpForwarder(
      endpoint,
      grpc ? 'grpc' : 'http/protobuf',
      parseHeaders(env['OTEL_EXPORTER_OTLP_HEADERS'] ?? ''),
    );
  }

  async forward(signal: Signal, body: Buffer): Promise<void> {
    const tally = this.tallies[signal];
    const refuse = (why: string): void => {
      tally.refused += 1;
      tally.lastError = why;
    };
    if (this.#inFlight.size >= MAX_IN_FLIGHT) return refuse('too many exports on their way');
    const sending = this.#send(signal, body).then(
      () => {
        tally.accepted += 1;
      },
      (cause: unknown) => refuse(cause instanceof Error ? cause.message : String(cause)),
    );
    this.#inFlight.add(sending);
    await sending;
    this.#inFlight.delete(sending);
  }

  /** Waits for what is on its way. */
  async settle(): Promise<void> {
    await Promise.all(this.#inFlight);
  }
}

function httpSender(base: string, headers: Readonly<Record<string, string>>): Send {
  return async (signal, body) => {
    const response = await fetch(`${base}/v1/${signal}`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/x-protobuf' },
      body: new Uint8Array(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
  };
}

function grpcSender(endpoint: URL, headers: Readonly<Record<string, string>>): Send {
  const secure = endpoint.protocol === 'https:';
  const target = endpoint.port === '' ? `${endpoint.hostname}:${secure ? 443 : 80}` : endpoint.host;
  const client = new Client(target, secure ? credentials.createSsl() : credentials.createInsecure());
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const same = (bytes: Buffer): Buffer => bytes;
  return (signal, body) =>
    new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + TIMEOUT_MS };
      client.makeUnaryRequest(GRPC_METHODS[signal], same, same, body, metadata, options, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
}

/** `key1=value1,key2=value2`, percent-encoded values (W3C Baggage, as OTLP's exporter specification asks). */
function parseHeaders(text: string): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const pair of text.split(',')) {
    const equals = pair.indexOf('=');
    if (equals > 0)
      headers[pair.slice(0, equals).trim().toLowerCase()] = decodeURIComponent(pair.slice(equals + 1).trim());
  }
  return headers;
}
