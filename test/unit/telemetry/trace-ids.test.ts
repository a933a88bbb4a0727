import { describe, expect, it } from 'vitest';
import {
  formatTraceparent,
  newSpanId,
  newTraceId,
  parseTraceparent,
  shouldSample,
} from '../../../src/telemetry/trace-ids.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';

describe('ids', () => {
  it('have their length, are hex, and do not repeat', () => {
    const ids = new Set<string>();
    for (let i = 0; i < 5_000; i++) {
      ids.add(newTraceId());
      ids.add(newSpanId());
    }
    expect(ids.size).toBe(10_000);
    for (const id of ids) expect(id).toMatch(/^(?:[0-9a-f]{16}|[0-9a-f]{32})$/);
    for (const id of ids) expect(id).not.toMatch(/^0+$/);
  });
});

describe('traceparent', () => {
  it('is read, and written as it was read', () => {
    const text = `00-${TRACE}-${SPAN}-01`;
    expect(parseTraceparent(text)).toEqual({ traceId: TRACE, spanId: SPAN, sampled: true });
    expect(formatTraceparent(TRACE, SPAN, true)).toBe(text);
    expect(formatTraceparent(TRACE, SPAN, false)).toBe(`00-${TRACE}-${SPAN}-00`);
  });

  it('of a later version counts by its first four fields', () => {
    expect(parseTraceparent(`cc-${TRACE}-${SPAN}-02-what-comes-later`)).toEqual({
      traceId: TRACE,
      spanId: SPAN,
      sampled: false,
    });
  });

  it.each([
    '',
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-1`,
    `00-${TRACE}-${SPAN}-01-more`,
    `00-${TRACE}-${SPAN}-01 `,
    ` 00-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01\n`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `00_${TRACE}-${SPAN}-01`,
    `cc-${TRACE}-${SPAN}-01.more`,
    `00-${TRACE}0-${SPAN}-01`,
    `cc-${TRACE}-${SPAN}-01-${'x'.repeat(512)}`,
  ])('is not %j', (text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });
});

describe('head sampling', () => {
  it('keeps all at 1 and none at 0 or at what is no ratio', () => {
    expect(shouldSample('f'.repeat(32), 1)).toBe(true);
    expect(shouldSample('0'.repeat(32), 0)).toBe(false);
    expect(shouldSample('0'.repeat(32), Number.NaN)).toBe(false);
  });

  it('keeps about its ratio, and at a higher ratio all that a lower one keeps', () => {
    let kept = 0;
    for (let i = 0; i < 20_000; i++) {
      const id = newTraceId();
      if (!shouldSample(id, 0.1)) continue;
      kept++;
      expect(shouldSample(id, 0.2)).toBe(true);
    }
    expect(kept / 20_000).toBeGreaterThan(0.08);
    expect(kept / 20_000).toBeLessThan(0.12);
  });
});
