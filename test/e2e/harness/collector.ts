/**
 * The OpenTelemetry Collector on loopback: OTLP in, one JSON line per batch out. It can be stopped and started again on the
 * same ports and with the same file, as a collector that is being upgraded.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { answers, Child } from './child.ts';
import { freePorts } from './free-port.ts';
import { peerFile } from './peer-file.ts';

export type AttributeValue = string | number | boolean | readonly AttributeValue[];

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  /** 2 SERVER, 3 CLIENT, 1 INTERNAL. */
  readonly kind: number;
  readonly attributes: ReadonlyMap<string, AttributeValue>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly resource: ReadonlyMap<string, AttributeValue>;
}

export interface CollectedLog {
  readonly eventName: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: ReadonlyMap<string, AttributeValue>;
  readonly body: AttributeValue | undefined;
  readonly resource: ReadonlyMap<string, AttributeValue>;
  /** The whole record as it was written, to look for what must not be in it. */
  readonly text: string;
}

/** One point of a sum, as it was sent at one time. */
export interface CollectedPoint {
  readonly metric: string;
  readonly unit: string;
  readonly isMonotonic: boolean;
  /** 2: cumulative. */
  readonly temporality: number;
  readonly startNanos: string;
  readonly value: number;
  readonly attributes: ReadonlyMap<string, AttributeValue>;
}

export interface Collected {
  readonly spans: readonly CollectedSpan[];
  readonly logs: readonly CollectedLog[];
  /** In the order in which they came. */
  readonly points: readonly CollectedPoint[];
}

export class Collector {
  readonly grpcPort: number;
  readonly httpPort: number;
  readonly #healthPort: number;
  readonly #directory: string;
  #child: Child | undefined;

  private constructor(ports: { grpc: number; http: number; health: number }, directory: string) {
    this.grpcPort = ports.grpc;
    this.httpPort = ports.http;
    this.#healthPort = ports.health;
    this.#directory = directory;
  }

  static async start(): Promise<Collector> {
    const [grpc, http, health] = await freePorts(3);
    if (grpc === undefined || http === undefined || health === undefined) throw new Error('no ports');
    const directory = mkdtempSync(join(tmpdir(), 'bulkhead-collector-'));
    const pipeline = { receivers: ['otlp'], exporters: ['file'] };
    const config = {
      extensions: { health_check: { endpoint: `127.0.0.1:${health}` } },
      receivers: {
        otlp: { protocols: { grpc: { endpoint: `127.0.0.1:${grpc}` }, http: { endpoint: `127.0.0.1:${http}` } } },
      },
      // Appending, because a Collector that starts again must not forget what it took before.
      exporters: { file: { path: join(directory, 'collected.jsonl'), append: true, flush_interval: '100ms' } },
      service: {
        extensions: ['health_check'],
        telemetry: { metrics: { level: 'none' } },
        pipelines: { traces: pipeline, logs: pipeline, metrics: pipeline },
      },
    };
    writeFileSync(join(directory, 'collector.yaml'), stringify(config));
    const collector = new Collector({ grpc, http, health }, directory);
    await collector.resume();
    return collector;
  }

  /** Starts it again after `pause`. */
  async resume(): Promise<void> {
    this.#child = await Child.spawn('the Collector', {
      command: peerFile('bin/otelcol'),
      args: ['--config', join(this.#directory, 'collector.yaml')],
    });
    await this.#child.until('ready', () => answers(`http://127.0.0.1:${this.#healthPort}/`));
  }

  /** Stops it; what it took stays. */
  async pause(): Promise<void> {
    await this.#child?.stop();
    this.#child = undefined;
  }

  async stop(): Promise<void> {
    await this.pause();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Everything that it took so far. */
  collected(): Collected {
    const file = join(this.#directory, 'collected.jsonl');
    const spans: CollectedSpan[] = [];
    const logs: CollectedLog[] = [];
    const points: CollectedPoint[] = [];
    if (!existsSync(file)) return { spans, logs, points };
    const text = readFileSync(file, 'utf8');
    // The last line may be half written.
    for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
      if (line === '') continue;
      readBatch(line, spans, logs);
      points.push(...pointsOf(line));
    }
    return { spans, logs, points };
  }
}

// OTLP's JSON form, as far as the tests read it. Boundary: written by the Collector's own serializer.
interface OtlpAttribute {
  readonly key: string;
  readonly value: OtlpValue;
}
interface OtlpValue {
  readonly stringValue?: string;
  readonly intValue?: string;
  readonly doubleValue?: number;
  readonly boolValue?: boolean;
  readonly arrayValue?: { readonly values?: readonly OtlpValue[] };
}
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind?: number;
  readonly attributes?: readonly OtlpAttribute[];
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[];
}
interface OtlpLog {
  readonly eventName?: string;
  readonly traceId?: string;
  readonly spanId?: string;
  readonly attributes?: readonly OtlpAttribute[];
  readonly body?: OtlpValue;
}
interface OtlpBatch {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: readonly OtlpAttribute[] };
    readonly scopeSpans?: readonly { readonly spans?: readonly OtlpSpan[] }[];
  }[];
  readonly resourceLogs?: readonly {
    readonly resource?: { readonly attributes?: readonly OtlpAttribute[] };
    readonly scopeLogs?: readonly { readonly logRecords?: readonly OtlpLog[] }[];
  }[];
}

interface OtlpMetrics {
  readonly resourceMetrics?: readonly {
    readonly scopeMetrics?: readonly {
      readonly metrics?: readonly {
        readonly name: string;
        readonly unit?: string;
        readonly sum?: {
          readonly isMonotonic?: boolean;
          readonly aggregationTemporality?: number;
          readonly dataPoints?: readonly {
            readonly startTimeUnixNano?: string;
            readonly asInt?: string;
            readonly attributes?: readonly OtlpAttribute[];
          }[];
        };
      }[];
    }[];
  }[];
}

function pointsOf(line: string): readonly CollectedPoint[] {
  const { resourceMetrics } = JSON.parse(line) as OtlpMetrics;
  const metrics = (resourceMetrics ?? []).flatMap(({ scopeMetrics }) =>
    (scopeMetrics ?? []).flatMap((scope) => scope.metrics ?? []),
  );
  return metrics.flatMap(({ name, unit, sum }) =>
    (sum?.dataPoints ?? []).map((point) => ({
      metric: name,
      unit: unit ?? '',
      isMonotonic: sum?.isMonotonic === true,
      temporality: sum?.aggregationTemporality ?? 0,
      startNanos: point.startTimeUnixNano ?? '',
      value: Number(point.asInt),
      attributes: attributes(point.attributes),
    })),
  );
}

function readBatch(line: string, spans: CollectedSpan[], logs: CollectedLog[]): void {
  const batch = JSON.parse(line) as OtlpBatch;
  for (const { resource, scopeSpans } of batch.resourceSpans ?? []) {
    const resourceAttributes = attributes(resource?.attributes);
    for (const span of (scopeSpans ?? []).flatMap((scope) => scope.spans ?? [])) {
      spans.push({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? '',
        name: span.name,
        kind: span.kind ?? 0,
        attributes: attributes(span.attributes),
        links: span.links ?? [],
        resource: resourceAttributes,
      });
    }
  }
  for (const { resource, scopeLogs } of batch.resourceLogs ?? []) {
    const resourceAttributes = attributes(resource?.attributes);
    for (const log of (scopeLogs ?? []).flatMap((scope) => scope.logRecords ?? [])) {
      logs.push({
        eventName: log.eventName ?? '',
        traceId: log.traceId ?? '',
        spanId: log.spanId ?? '',
        attributes: attributes(log.attributes),
        body: log.body === undefined ? undefined : value(log.body),
        resource: resourceAttributes,
        text: JSON.stringify(log),
      });
    }
  }
}

function attributes(list: readonly OtlpAttribute[] | undefined): ReadonlyMap<string, AttributeValue> {
  return new Map((list ?? []).map(({ key, value: given }) => [key, value(given)]));
}

function value(given: OtlpValue): AttributeValue {
  if (given.stringValue !== undefined) return given.stringValue;
  if (given.intValue !== undefined) return Number(given.intValue);
  if (given.doubleValue !== undefined) return given.doubleValue;
  if (given.boolValue !== undefined) return given.boolValue;
  if (given.arrayValue !== undefined) return (given.arrayValue.values ?? []).map(value);
  return '';
}
