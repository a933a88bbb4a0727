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

  it('finds those who stand in another’s place, when those have left who made them', () => {
    const table = new StreamTable<{ readonly id: number }>();
    // In a table of sixteen places these five all belong in the first.
    const ids = [1, 33, 65, 97, 129].map((id) => id - 1);
    for (const id of ids) table.add({ id });
    for (const [at, id] of ids.entries()) {
      table.delete(id);
      for (const later of ids.slice(at + 1)) expect(table.get(later)?.id).toBe(later);
      expect(table.get(id)).toBeUndefined();
    }
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
