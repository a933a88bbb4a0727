import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Holder, judge, marksOf, overShare } from '../../../src/buffers/fair-share.ts';

const holder = (slot: number, heldBytes: number, accountBytes = 100): Holder => ({
  table: 0,
  slot,
  heldBytes,
  accountBytes,
});

const holders = fc
  .array(fc.record({ heldBytes: fc.nat(1_000_000), accountBytes: fc.nat(1_000_000) }), { maxLength: 40 })
  .map((all) => all.map(({ heldBytes, accountBytes }, slot) => holder(slot, heldBytes, accountBytes)));
const mark = fc.integer({ min: 1, max: 20_000_000 });

const sumOf = (all: readonly Holder[]): number => all.reduce((sum, { heldBytes }) => sum + heldBytes, 0);
const weightOf = ({ accountBytes }: Holder): number => Math.max(1, accountBytes);

describe('shares', () => {
  it('are equal parts for equal accounts, and whoever needs less leaves the rest to the others', () => {
    const all = [holder(0, 10), holder(1, 60), holder(2, 80)];
    expect(overShare(all, 110)).toEqual([
      { holder: all[2], shareBytes: 50, overBytes: 30 },
      { holder: all[1], shareBytes: 50, overBytes: 10 },
    ]);
  });

  it('follow the accounts: who was given more may hold more', () => {
    const [small, large] = [holder(0, 50, 100), holder(1, 140, 300)];
    expect(overShare([small, large], 160)).toEqual([
      { holder: large, shareBytes: 120, overBytes: 20 },
      { holder: small, shareBytes: 40, overBytes: 10 },
    ]);
  });

  it('are exceeded by nobody at n bytes of all together, and by somebody at n + 1', () => {
    const all = [holder(0, 40), holder(1, 60)];
    expect(overShare(all, 100)).toEqual([]);
    expect(overShare(all, 99).map(({ holder: { slot }, overBytes }) => [slot, overBytes])).toEqual([[1, 1]]);
  });

  it('protect whoever holds no more than its account’s part of the mark, whatever the others do', () => {
    fc.assert(
      fc.property(holders, mark, (all, bytes) => {
        const weights = all.filter(({ heldBytes }) => heldBytes > 0).reduce((sum, each) => sum + weightOf(each), 0);
        for (const { holder: over } of overShare(all, bytes)) {
          expect(over.heldBytes).toBeGreaterThan(Math.floor((bytes * weightOf(over)) / weights) * (1 - 1e-9) - 1);
        }
      }),
    );
  });

  it('add up to the mark: if everybody kept to them, no byte of it would be left, and none too many', () => {
    fc.assert(
      fc.property(holders, mark, (all, bytes) => {
        const over = overShare(all, bytes);
        const kept = sumOf(all) - over.reduce((sum, { overBytes }) => sum + overBytes, 0);
        if (sumOf(all) <= bytes) expect(over).toEqual([]);
        else {
          expect(kept).toBeLessThanOrEqual(bytes);
          // Each share is rounded down.
          expect(kept).toBeGreaterThanOrEqual(bytes - all.length - 1);
        }
      }),
    );
  });

  it('name the furthest first, the same in whatever order the table is read', () => {
    fc.assert(
      fc.property(holders, mark, (all, bytes) => {
        const over = overShare(all, bytes);
        expect(over.map(({ overBytes }) => overBytes)).toEqual(
          over.map(({ overBytes }) => overBytes).toSorted((a, b) => b - a),
        );
        expect(overShare(all.toReversed(), bytes)[0]?.holder.slot).toBe(over[0]?.holder.slot);
      }),
    );
  });

  it('are never exceeded by more than what is held', () => {
    fc.assert(
      fc.property(holders, mark, (all, bytes) => {
        for (const { holder: over, shareBytes, overBytes } of overShare(all, bytes)) {
          expect(shareBytes).toBeGreaterThanOrEqual(0);
          expect(overBytes).toBe(over.heldBytes - shareBytes);
          expect(overBytes).toBeGreaterThan(0);
        }
      }),
    );
  });
});

describe('the verdict on a table', () => {
  const marks = marksOf(800);

  it('has a soft mark, a low mark and a ceiling', () => {
    expect(marks).toEqual({ softBytes: 600, lowBytes: 700, ceilingBytes: 800 });
  });

  it('is calm at the soft mark, and one byte more stops the window of who is over its share', () => {
    const neighbour = holder(1, 100);
    expect(judge([holder(0, 500), neighbour], marks, false)).toEqual({ kind: 'calm' });
    const verdict = judge([holder(0, 501), neighbour], marks, false);
    expect(verdict).toMatchObject({ kind: 'squeeze', over: [{ holder: { slot: 0 }, overBytes: 1 }] });
  });

  it('does not shed at the ceiling, and does one byte above it, down to the low mark', () => {
    const neighbour = holder(1, 100);
    expect(judge([holder(0, 700), neighbour], marks, false).kind).toBe('squeeze');
    expect(judge([holder(0, 701), neighbour], marks, false)).toMatchObject({
      kind: 'shed',
      worst: { holder: { slot: 0 }, shareBytes: 600 },
      freeBytes: 101,
    });
    expect(judge([holder(0, 601), neighbour], marks, true)).toMatchObject({ kind: 'shed', freeBytes: 1 });
    expect(judge([holder(0, 600), neighbour], marks, true).kind).toBe('squeeze');
  });

  it('sheds who is furthest over, and no further than to its share', () => {
    const verdict = judge([holder(0, 400), holder(1, 390), holder(2, 100)], marks, false);
    expect(verdict).toMatchObject({ kind: 'shed', worst: { holder: { slot: 0 }, shareBytes: 300 }, freeBytes: 100 });
  });

  it('leads, followed again and again, to the low mark, and takes nothing from whoever is within its share', () => {
    fc.assert(
      fc.property(holders, mark, (table, ceiling) => {
        const limits = marksOf(ceiling);
        const weights = table.filter(({ heldBytes }) => heldBytes > 0).reduce((sum, each) => sum + weightOf(each), 0);
        let all = table;
        let shedding = false;
        for (let round = 0; ; round++) {
          const verdict = judge(all, limits, shedding);
          if (verdict.kind !== 'shed') break;
          shedding = true;
          expect(round).toBeLessThan(3 * table.length + 3);
          expect(verdict.freeBytes).toBeGreaterThan(0);
          const { slot } = verdict.worst.holder;
          all = all.map((each) =>
            each.slot === slot ? { ...each, heldBytes: each.heldBytes - verdict.freeBytes } : each,
          );
        }
        if (shedding) expect(sumOf(all)).toBeLessThanOrEqual(limits.lowBytes);
        for (const [slot, { heldBytes }] of table.entries()) {
          const part = Math.floor((limits.lowBytes * weightOf(holder(0, 0, table[slot]?.accountBytes))) / weights) - 1;
          if (heldBytes <= part) expect(all[slot]?.heldBytes).toBe(heldBytes);
        }
      }),
    );
  });
});
