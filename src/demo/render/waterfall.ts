/**
 * A trace as a waterfall: a line for each span and event, children under their parents, time from left to right.
 */
import type { Span, SpanEvent } from '../telemetry/span.ts';
import type { Ink } from './ink.ts';

const LABEL_WIDTH = 18;
const BAR_WIDTH = 56;
/** Eighths of a character, so that a span of a few microseconds is still seen. */
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const;

export interface Row {
  readonly depth: number;
  readonly label: string;
  readonly startMicros: number;
  /** Undefined for an event: it has no duration. */
  readonly durationMicros: number | undefined;
  readonly failed: boolean;
}

/** Renders the spans of one trace. Times are from the start of the earliest one. */
export function renderWaterfall(spans: readonly Span[], ink: Ink): string[] {
  const rows = layOut(spans);
  const start = Math.min(...rows.map((row) => row.startMicros));
  const end = Math.max(...rows.map((row) => row.startMicros + (row.durationMicros ?? 0)), start + 1);
  const scale = BAR_WIDTH / (end - start);
  return rows.map((row) => {
    const label = cut(`${'  '.repeat(row.depth)}${row.label}`, LABEL_WIDTH).padEnd(LABEL_WIDTH);
    const offset = (row.startMicros - start) * scale;
    const track = (row.durationMicros === undefined ? marker(offset) : bar(offset, row.durationMicros * scale)).padEnd(
      BAR_WIDTH + 1,
    );
    const duration = row.durationMicros === undefined ? '' : formatMicros(row.durationMicros).padStart(9);
    const colour = row.failed ? ink.bad : row.depth === 0 ? ink.accent : ink.good;
    return `${row.depth === 0 ? ink.bold(label) : label} ${ink.dim('│')}${colour(track)}${ink.dim('│')} ${duration}`.trimEnd();
  });
}

/** Puts each span under its parent, with the parent's events between its children, all by time. */
export function layOut(spans: readonly Span[]): Row[] {
  const known = new Set(spans.map((span) => span.spanId));
  const children = Map.groupBy(spans, (span) => (known.has(span.parentSpanId) ? span.parentSpanId : ''));
  const rows: Row[] = [];
  const visit = (span: Span, depth: number): void => {
    rows.push(rowOf(span, depth));
    // A span cannot be its own ancestor in what a tracer makes; what arrives is not trusted to be that.
    if (depth === MAX_DEPTH) return;
    const below = children.get(span.spanId) ?? [];
    const shown = new Set(below.map((child) => (child.kind === 'client' ? UPSTREAM_GATE : child.name)));
    const events = span.events.filter((event) => !shown.has(event.name));
    // Of the same microsecond, an event comes first: it ends a gate, and a span begins one.
    const entries = [
      ...events.map((event) => ({ at: event.atMicros, show: () => rows.push(eventRow(event, depth + 1)) })),
      ...below.map((child) => ({ at: child.startMicros, show: () => visit(child, depth + 1) })),
    ];
    for (const entry of entries.toSorted((a, b) => a.at - b.at)) entry.show();
  };
  for (const root of (children.get('') ?? []).toSorted((a, b) => a.startMicros - b.startMicros)) visit(root, 0);
  return rows;
}

function rowOf(span: Span, depth: number): Row {
  return {
    depth,
    label: `${span.kind === 'client' ? '→ ' : ''}${shortName(span.name)}`,
    startMicros: span.startMicros,
    durationMicros: span.endMicros - span.startMicros,
    failed: span.failed,
  };
}

function eventRow(event: SpanEvent, depth: number): Row {
  return { depth, label: shortName(event.name), startMicros: event.atMicros, durationMicros: undefined, failed: false };
}

const MAX_DEPTH = 16;
/** The gate whose time the client span tells. */
const UPSTREAM_GATE = 'bulkhead.gate.upstream';

/** `1.23 ms`, `45 µs`, `2.10 s`. */
export function formatMicros(micros: number): string {
  if (micros < 1_000) return `${Math.round(micros)} µs`;
  if (micros < 1_000_000) return `${(micros / 1_000).toFixed(2)} ms`;
  return `${(micros / 1_000_000).toFixed(2)} s`;
}

/** `inference.GRPCInferenceService/ModelInfer` is known by its method, a gate by its own name. */
function shortName(name: string): string {
  return name.replace(/^[A-Za-z0-9_.]+\//, '').replace(/^bulkhead\.gate\./, '');
}

function marker(offset: number): string {
  return `${' '.repeat(Math.min(Math.floor(offset), BAR_WIDTH))}◆`;
}

function bar(offset: number, length: number): string {
  const from = Math.min(Math.floor(offset), BAR_WIDTH - 1);
  const eighths = Math.max(1, Math.round(Math.min(length, BAR_WIDTH - from) * 8));
  return `${' '.repeat(from)}${'█'.repeat(Math.floor(eighths / 8))}${EIGHTHS[eighths % 8] ?? ''}`;
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}
