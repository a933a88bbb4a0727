/**
 * Jaeger on loopback with its memory storage: OTLP in, its query API out.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { accepts, answers, Child } from './child.ts';
import { freePorts } from './free-port.ts';
import { peerFile } from './peer-file.ts';

/** What a test reads of a trace as the query API gives it. */
export interface JaegerTrace {
  readonly traceID: string;
  readonly spans: readonly {
    readonly spanID: string;
    readonly operationName: string;
    readonly references: readonly { readonly refType: string; readonly spanID: string; readonly traceID: string }[];
    readonly tags: readonly { readonly key: string; readonly value: unknown }[];
  }[];
}

export class Jaeger {
  readonly otlpGrpcPort: number;
  readonly otlpHttpPort: number;
  readonly #queryPort: number;
  readonly #child: Child;
  readonly #directory: string;

  private constructor(child: Child, ports: { grpc: number; http: number; query: number }, directory: string) {
    this.#child = child;
    this.otlpGrpcPort = ports.grpc;
    this.otlpHttpPort = ports.http;
    this.#queryPort = ports.query;
    this.#directory = directory;
  }

  static async start(): Promise<Jaeger> {
    const [grpc, http, query, queryGrpc] = await freePorts(4);
    if (grpc === undefined || http === undefined || query === undefined || queryGrpc === undefined)
      throw new Error('no ports');
    const directory = mkdtempSync(join(tmpdir(), 'bulkhead-jaeger-'));
    const config = {
      service: {
        extensions: ['jaeger_storage', 'jaeger_query'],
        pipelines: { traces: { receivers: ['otlp'], exporters: ['jaeger_storage_exporter'] } },
        telemetry: { metrics: { level: 'none' } },
      },
      extensions: {
        jaeger_query: {
          storage: { traces: 'memory' },
          http: { endpoint: `127.0.0.1:${query}` },
          grpc: { endpoint: `127.0.0.1:${queryGrpc}` },
        },
        jaeger_storage: { backends: { memory: { memory: { max_traces: 100_000 } } } },
      },
      receivers: {
        otlp: { protocols: { grpc: { endpoint: `127.0.0.1:${grpc}` }, http: { endpoint: `127.0.0.1:${http}` } } },
      },
      exporters: { jaeger_storage_exporter: { trace_storage: 'memory' } },
    };
    writeFileSync(join(directory, 'jaeger.yaml'), stringify(config));
    const child = await Child.spawn('Jaeger', {
      command: peerFile('bin/jaeger'),
      args: ['--config', join(directory, 'jaeger.yaml')],
    });
    await child.until(
      'ready',
      async () => (await answers(`http://127.0.0.1:${query}/api/services`)) && accepts(grpc),
      60_000,
    );
    return new Jaeger(child, { grpc, http, query }, directory);
  }

  /** Traces of a service that have all these tags on one span. */
  async find(service: string, tags: Readonly<Record<string, string>>): Promise<readonly JaegerTrace[]> {
    const query = new URLSearchParams({ service, tags: JSON.stringify(tags), limit: '1000', lookback: '1h' });
    const response = await fetch(`http://127.0.0.1:${this.#queryPort}/api/traces?${query.toString()}`);
    if (!response.ok) throw new Error(`Jaeger answered ${response.status}: ${await response.text()}`);
    // Boundary: Jaeger's own answer, whose form its API documents.
    const body = (await response.json()) as { readonly data: readonly JaegerTrace[] | null };
    return body.data ?? [];
  }

  async stop(): Promise<void> {
    // It waits for clients that keep their connections; its memory is all it has, so nothing is lost.
    await this.#child.stop(1_000);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
