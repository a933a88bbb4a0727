import { describe, expect, it } from 'vitest';
import type { LeakReport, Look } from '../../bench/leak.ts';
import { leaksOf, reportText } from '../../bench/leak-verdict.ts';

const KIB = 1024;

interface Changes {
  readonly heapBytes?: number;
  readonly bufferBytes?: number;
  readonly sessions?: number;
  readonly descriptors?: number;
  readonly thread?: string;
}

function look({ heapBytes = 0, bufferBytes = 0, sessions = 3, descriptors = 70, thread = 'worker-0' }: Changes): Look {
  const counts = new Map([
    ['object Session', { count: sessions, bytes: sessions * 100 }],
    // V8's own kinds are shown by their sum in the heap.
    ['(code)', { count: sessions * 1_000, bytes: 0 }],
  ]);
  return {
    threads: [{ thread, heapBytes, bufferBytes, externalBytes: bufferBytes, resources: 5 }],
    objects: new Map([['worker-0', counts]]),
    residentBytes: 100_000 * KIB,
    descriptors,
    gauges: new Map([['bulkhead_held_bytes{tenant="acme"}', 0]]),
  };
}

const report = (half: Changes, end: Changes): LeakReport => ({
  looks: [look({}), look(half), look(end)],
  made: { connections: 10 },
  seconds: 1,
});

describe('what grew from one look to the next', () => {
  it('is no leak when it is noise, nor when it had grown before', () => {
    const full = { heapBytes: 9_000 * KIB, bufferBytes: 9_000 * KIB, sessions: 5_000, descriptors: 90 };
    expect(leaksOf(report(full, { ...full, heapBytes: 9_768 * KIB, sessions: 5_100, descriptors: 94 }))).toEqual([]);
  });

  it.each([
    ['heap', { heapBytes: 768 * KIB + 1 }],
    ['buffers', { bufferBytes: 2_048 * KIB + 1 }],
    ['objects of one constructor', { sessions: 104 }],
    ['descriptors', { descriptors: 75 }],
    ['another thread', { thread: 'worker-1' }],
  ])('is a leak when it is more: %s', (_, end) => {
    expect(leaksOf(report({}, end))).toHaveLength(1);
  });

  it('is told, with what it is made of', () => {
    expect(reportText(report({}, { sessions: 203 }))).toContain('object Session +200 (20 KiB)');
  });
});
