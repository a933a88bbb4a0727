import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StreamTable } from '../../../src/http2/stream-table.ts';

describe('a stream table', () => {
  it('agrees with a Map over any sequence of additions and removals', () => {
    const step = fc.record({ id: fc.integer({ min: 0, max: 200 }).map((n) => 2 * n + 1), add: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const table = new StreamTable<{ readonly id: number }>();
        const model = new Map<number, { readonly id: number }>();
        for (const { id, add } of steps) {
          if (add && !model.has(id)) {
            const stream = { id };
            table.add(stream);
            model.set(id, stream);
          } else if (!add) {
            table.delete(id);
            model.delete(id);
          }
          expect(table.size).toBe(model.size);
          expect(table.get(id)).toBe(model.get(id));
        }
        expect(table.all().toSorted((a, b) => a.id - b.id)).toEqual(
          [...model.values()].toSorted((a, b) => a.id - b.id),
        );
        for (let id = 1; id < 402; id += 2) expect(table.get(id)).toBe(model.get(id));
      }),
    );
  });

  it('finds a stream that has lived through thousands of younger ones', () => {
    const table = new StreamTable<{ readonly id: number }>();
    const old = { id: 1 };
    table.add(old);
    for (let id = 3; id < 100_003; id += 2) {
      table.add({ id });
      if (id > 41) table.delete(id - 40);
    }
    expect(table.get(1)).toBe(old);
    expect(table.size).toBe(21);
  });
});
