/**
 * Spans as the demo reads them out of OTLP: ids in hex, times in microseconds.
 */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startMicros: number;
  readonly endMicros: number;
  readonly attributes: Readonly<Record<string, string>>;
  readonly events: readonly SpanEvent[];
  /** Trace ids of its links. */
  readonly links: readonly string[];
  readonly failed: boolean;
}

export interface SpanEvent {
  readonly name: string;
  readonly atMicros: number;
  readonly attributes: Readonly<Record<string, string>>;
}

export type SpanKind = 'internal' | 'server' | 'client' | 'other';

interface KeyValue {
  readonly key: string;
  readonly value: {
    readonly value?: 'stringValue' | 'boolValue' | 'intValue' | 'doubleValue';
    readonly stringValue?: string;
    readonly boolValue?: boolean;
    readonly intValue?: string;
    readonly doubleValue?: number;
  } | null;
}

interface SpanMessage {
  readonly traceId: Buffer;
  readonly spanId: Buffer;
  readonly parentSpanId: Buffer;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly KeyValue[];
  readonly events: readonly {
    readonly name: string;
    readonly timeUnixNano: string;
    readonly attributes: readonly KeyValue[];
  }[];
  readonly links: readonly { readonly traceId: Buffer }[];
  readonly status: { readonly code: number } | null;
}

/** An ExportTraceServiceRequest as decoded. */
export interface TracesMessage {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly SpanMessage[] }[] }[];
}

/** Reads all spans of one export. */
export function readSpans(message: TracesMessage): Span[] {
  return message.resourceSpans.flatMap((resource) => resource.scopeSpans.flatMap((scope) => scope.spans.map(readSpan)));
}

/** The spans of the call that a client made with this trace context, its server span first; empty while it is not there. */
export function traceOfClient(spans: readonly Span[], clientTraceId: string): readonly Span[] {
  const server = spans.find(
    (span) => span.kind === 'server' && (span.traceId === clientTraceId || span.links.includes(clientTraceId)),
  );
  if (server === undefined) return [];
  return [server, ...spans.filter((span) => span.traceId === server.traceId && span !== server)];
}

const KINDS: Readonly<Record<number, SpanKind>> = { 1: 'internal', 2: 'server', 3: 'client' };
const STATUS_ERROR = 2;

function readSpan(span: SpanMessage): Span {
  return {
    traceId: span.traceId.toString('hex'),
    spanId: span.spanId.toString('hex'),
    parentSpanId: span.parentSpanId.toString('hex'),
    name: span.name,
    kind: KINDS[span.kind] ?? 'other',
    startMicros: micros(span.startTimeUnixNano),
    endMicros: micros(span.endTimeUnixNano),
    attributes: readAttributes(span.attributes),
    events: span.events.map((event) => ({
      name: event.name,
      atMicros: micros(event.timeUnixNano),
      attributes: readAttributes(event.attributes),
    })),
    links: span.links.map((link) => link.traceId.toString('hex')),
    failed: span.status?.code === STATUS_ERROR,
  };
}

function micros(nanos: string): number {
  return Number(BigInt(nanos) / 1000n);
}

function readAttributes(attributes: readonly KeyValue[]): Record<string, string> {
  const read: Record<string, string> = {};
  for (const { key, value } of attributes) {
    const set = value?.value;
    read[key] = set === undefined ? '' : String(value?.[set]);
  }
  return read;
}
