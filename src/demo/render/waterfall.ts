/**
 * A trace as a waterfall: a line for each span and event, children under their parents, time from left to right.
 */
import type { Span } from '../telemetry/span.ts';
import type { Ink } from './ink.ts';

const LABEL_WIDTH = 34;
const BAR_WIDTH = 40;
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

/** Puts each span under its parent, by start; its events come right after it, before its children. */
export function layOut(spans: readonly Span[]): Row[] {
  const known = new Set(spans.map((span) => span.spanId));
  const children = Map.groupBy(spans, (span) => (known.has(span.parentSpanId) ? span.parentSpanId : ''));
  const rows: Row[] = [];
  const visit = (parent: string, depth: number): void => {
    const here = (children.get(parent) ?? []).toSorted((a, b) => a.startMicros - b.startMicros);
    for (const span of here) {
      rows.push({
        depth,
        label: span.kind === 'client' ? `→ ${shortName(span.name)}` : shortName(span.name),
        startMicros: span.startMicros,
        durationMicros: span.endMicros - span.startMicros,
        failed: span.failed,
      });
      for (const event of span.events) {
        const row = {
          depth: depth + 1,
          label: `· ${event.name}`,
          startMicros: event.atMicros,
          durationMicros: undefined,
        };
        rows.push({ ...row, failed: false });
      }
      // A span cannot be its own ancestor in what a tracer makes; what arrives is not trusted to be that.
      if (depth < MAX_DEPTH) visit(span.spanId, depth + 1);
    }
  };
  visit('', 0);
  return rows;
}

const MAX_DEPTH = 16;

/** `1.23 ms`, `45 µs`, `2.10 s`. */
export function formatMicros(micros: number): string {
  if (micros < 1_000) return `${Math.round(micros)} µs`;
  if (micros < 1_000_000) return `${(micros / 1_000).toFixed(2)} ms`;
  return `${(micros / 1_000_000).toFixed(2)} s`;
}

function shortName(name: string): string {
  return name.replace(/^[A-Za-z0-9_.]+\.([A-Za-z0-9_]+\/)/, '$1');
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
