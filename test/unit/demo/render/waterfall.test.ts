import { describe, expect, it } from 'vitest';
import { plainInk } from '../../../../src/demo/render/ink.ts';
import { formatMicros, layOut, renderWaterfall } from '../../../../src/demo/render/waterfall.ts';
import type { Span } from '../../../../src/demo/telemetry/span.ts';

function span(over: Partial<Span> & Pick<Span, 'spanId'>): Span {
  return {
    traceId: 't',
    parentSpanId: '',
    name: over.spanId,
    kind: 'internal',
    startMicros: 0,
    endMicros: 0,
    attributes: {},
    events: [],
    links: [],
    failed: false,
    ...over,
  };
}

const server = span({
  spanId: 's',
  name: 'inference.GRPCInferenceService/ModelInfer',
  kind: 'server',
  endMicros: 1_000,
});

describe('layOut', () => {
  it('puts children under their parents in the order of their start, whatever order they came in', () => {
    const rows = layOut([
      span({ spanId: 'late', parentSpanId: 's', startMicros: 500, endMicros: 900 }),
      span({ spanId: 'early', parentSpanId: 's', startMicros: 10, endMicros: 20 }),
      server,
    ]);
    expect(rows.map((row) => [row.depth, row.label])).toEqual([
      [0, 'ModelInfer'],
      [1, 'early'],
      [1, 'late'],
    ]);
  });

  it('shows a span whose parent is elsewhere as a root', () => {
    expect(layOut([span({ spanId: 'x', parentSpanId: 'unknown' })])[0]?.depth).toBe(0);
  });

  it('ends on spans that are each other’s parents', () => {
    const rows = layOut([server, span({ spanId: 'a', parentSpanId: 'b' }), span({ spanId: 'b', parentSpanId: 'a' })]);
    expect(rows).toHaveLength(1);
  });

  it('lists the events of a span between its children, by time', () => {
    const event = { name: 'bulkhead.gate.reserve', atMicros: 30, attributes: {} };
    const rows = layOut([
      { ...server, events: [event] },
      span({ spanId: 'late', parentSpanId: 's', startMicros: 40 }),
      span({ spanId: 'early', parentSpanId: 's', startMicros: 20 }),
    ]);
    expect(rows.map((row) => row.label)).toEqual(['ModelInfer', 'early', 'reserve', 'late']);
    expect(rows[2]).toMatchObject({ depth: 1, durationMicros: undefined });
  });

  it('leaves out an event that a child span of the same name tells in full', () => {
    const event = { name: 'bulkhead.gate.authenticate', atMicros: 30, attributes: {} };
    const child = span({ spanId: 'a', name: 'bulkhead.gate.authenticate', parentSpanId: 's' });
    expect(layOut([{ ...server, events: [event] }, child])).toHaveLength(2);
  });
});

describe('renderWaterfall', () => {
  it('draws bars to scale and says how long each lasted', () => {
    const child = span({ spanId: 'upstream', kind: 'client', parentSpanId: 's', startMicros: 500, endMicros: 1_000 });
    const [root, below] = renderWaterfall([server, child], plainInk);
    expect(root).toBe(`${'ModelInfer'.padEnd(18)} │${'█'.repeat(56)} │   1.00 ms`);
    expect(below).toBe(`${'  → upstream'.padEnd(18)} │${' '.repeat(28)}${'█'.repeat(28)} │    500 µs`);
  });

  it('draws a span that is too short for a character as a sliver', () => {
    const child = span({ spanId: 'identify', parentSpanId: 's', startMicros: 1, endMicros: 2 });
    expect(renderWaterfall([server, child], plainInk)[1]).toContain('│▏');
  });

  it('marks an event as a point', () => {
    const event = { name: 'e', atMicros: 500, attributes: {} };
    expect(renderWaterfall([{ ...server, events: [event] }], plainInk)[1]).toContain(`│${' '.repeat(28)}◆`);
  });
});

describe('formatMicros', () => {
  it.each([
    [0, '0 µs'],
    [999, '999 µs'],
    [1_000, '1.00 ms'],
    [999_999, '1000.00 ms'],
    [1_000_000, '1.00 s'],
  ])('writes %i µs as %s', (micros, text) => {
    expect(formatMicros(micros)).toBe(text);
  });
});
