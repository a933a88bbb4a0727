/**
 * A real OTLP collector in miniature: HTTP with protobuf on loopback, which keeps what it is sent so that the demo can show
 * it, and passes the same bytes on when there is somewhere to pass them.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { loadDecoders } from '../proto/message-decoder.ts';
import { readSpans, type Span, type TracesMessage } from './span.ts';

/** One export; the sidecar's batches are far smaller. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;
/** Spans that are kept: more than the demo makes. */
const MAX_SPANS = 20_000;

export type Signal = 'traces' | 'logs' | 'metrics';

/** Where exports are passed on to. */
export interface Forwarder {
  /** Passes an export on; never rejects. */
  forward(signal: Signal, body: Buffer): Promise<void>;
}

interface LogsMessage {
  readonly resourceLogs: readonly { readonly scopeLogs: readonly { readonly logRecords: readonly unknown[] }[] }[];
}

const decoder = loadDecoders('otlp.proto');
const decodeTraces = decoder<TracesMessage>('ExportTraceServiceRequest');
const decodeLogs = decoder<LogsMessage>('ExportLogsServiceRequest');

export class OtlpSink {
  /** Base URL for exporters. */
  readonly endpoint: string;
  readonly spans: Span[] = [];
  readonly #server: Server;
  #logRecords = 0;

  private constructor(server: Server, forwarder: Forwarder | undefined) {
    this.#server = server;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      receive(request, response, (signal, body) => {
        this.#take(signal, body);
        void forwarder?.forward(signal, body);
      });
    });
    // Boundary: a server that listens on a TCP port has such an address.
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** Starts to listen on a free port. */
  static async listen(forwarder: Forwarder | undefined): Promise<OtlpSink> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return new OtlpSink(server, forwarder);
  }

  /** Audit records that have arrived as log records. */
  get logRecords(): number {
    return this.#logRecords;
  }

  /** Waits until `ready` gives a value, at most `timeoutMs`; undefined when it never does. */
  async waitFor<T>(ready: () => T | undefined, timeoutMs: number): Promise<T | undefined> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const value = ready();
      if (value !== undefined || performance.now() > deadline) return value;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #take(signal: Signal, body: Buffer): void {
    if (signal === 'traces') {
      for (const span of readSpans(decodeTraces(body))) if (this.spans.length < MAX_SPANS) this.spans.push(span);
    } else if (signal === 'logs') {
      for (const resource of decodeLogs(body).resourceLogs) {
        for (const scope of resource.scopeLogs) this.#logRecords += scope.logRecords.length;
      }
    }
  }
}

/** Reads one export and answers it as OTLP/HTTP prescribes: an empty response message says that all was accepted. */
function receive(
  request: IncomingMessage,
  response: ServerResponse,
  take: (signal: Signal, body: Buffer) => void,
): void {
  const signal = signalOf(request.url ?? '');
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
  });
  request.on('error', () => response.destroy());
  request.on('end', () => {
    const reply = (status: number): void => {
      response.writeHead(status, { 'content-type': 'application/x-protobuf' });
      response.end();
    };
    if (signal === undefined) return reply(404);
    if (bytes > MAX_BODY_BYTES) return reply(413);
    try {
      const body = Buffer.concat(chunks);
      const zipped = request.headers['content-encoding'] === 'gzip';
      take(signal, zipped ? gunzipSync(body, { maxOutputLength: MAX_BODY_BYTES }) : body);
      reply(200);
    } catch {
      reply(400);
    }
  });
}

function signalOf(url: string): Signal | undefined {
  const match = /^\/v1\/(traces|logs|metrics)$/.exec(url)?.[1];
  return match === 'traces' || match === 'logs' || match === 'metrics' ? match : undefined;
}
