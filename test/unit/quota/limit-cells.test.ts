import { describe, expect, it } from 'vitest';
import { createLimitState, LimitCells, OWN_CELLS, SET_WAYS, STALE_AFTER } from '../../../src/quota/limit-cells.ts';

const WINDOW = 2;
const HOUR = 3_600_000_000;

function cells(): LimitCells {
  return new LimitCells(createLimitState({ tenantSlots: 2, organisationSlots: 1, workers: 2, cells: 1 }));
}

/** Keys that all fall into one set. */
function crowd(made: LimitCells, count: number) {
  const keys = [];
  for (let n = 0; keys.length < count; n++) {
    const key = made.keyOf('salt', 'limit', `subject-${n}`);
    if ((key.set & (made.state.setsPerRegion - 1)) === 0) keys.push(key);
  }
  return keys;
}

describe('a set of cells', () => {
  it('has room for eight subjects in use, and for a ninth when one of them is as good as new', () => {
    const made = cells();
    const keys = crowd(made, SET_WAYS + 1);
    const words = keys.map((key) => {
      const word = made.subject(0, key, WINDOW, 0);
      if (word !== -1) made.words[word + STALE_AFTER] = HOUR;
      return word;
    });
    expect(words.slice(0, SET_WAYS)).not.toContain(-1);
    expect(words[SET_WAYS]).toBe(-1);
    const ninth = keys[SET_WAYS];
    if (ninth === undefined) throw new Error('there are nine');
    // A second of grace: clocks of threads differ.
    expect(made.subject(0, ninth, WINDOW, HOUR + 1_000_000)).toBe(-1);
    expect(made.subject(0, ninth, WINDOW, HOUR + 1_000_001)).toBe(words[0]);
  });

  it('keeps a cell that a call has just found for that call, however long it was idle', () => {
    const made = cells();
    const [first, second] = crowd(made, 2);
    if (first === undefined || second === undefined) throw new Error('there are two');
    const word = made.subject(0, first, WINDOW, 0);
    // Ages later one call looks at both: the second must not get what the first is about to be written to.
    expect(made.subject(0, first, WINDOW, HOUR)).toBe(word);
    expect(made.subject(0, second, WINDOW, HOUR)).not.toBe(word);
    expect(made.subject(0, first, WINDOW, HOUR)).toBe(word);
  });

  it('is found again by whoever has another key object, and another view of the memory', () => {
    const made = cells();
    const word = made.subject(1, made.keyOf('salt', 'limit', 'alice'), WINDOW, 0);
    const other = new LimitCells(made.state);
    expect(other.subject(1, other.keyOf('salt', 'limit', 'alice'), WINDOW, 0)).toBe(word);
    expect(other.subject(0, other.keyOf('salt', 'limit', 'alice'), WINDOW, 0)).not.toBe(word);
  });
});

it('a region has a cell for each limit, and drops those that the configuration no longer knows', () => {
  const made = cells();
  const key = (n: number) => made.keyOf('salt', `limit-${n}`, '');
  const known = Array.from({ length: OWN_CELLS }, (_, n) => key(n));
  const words = known.map((one) => made.own(0, one, WINDOW, known));
  expect(new Set(words).size).toBe(OWN_CELLS);
  const kept = known.slice(1);
  expect(made.own(0, key(99), WINDOW, kept)).toBe(words[0]);
  for (const [index, one] of kept.entries()) expect(made.own(0, one, WINDOW, kept)).toBe(words[index + 1]);
  expect(() => made.own(0, key(100), WINDOW, [...kept, key(99)])).toThrow(RangeError);
});
