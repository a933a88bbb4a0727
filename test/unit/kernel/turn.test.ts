import { describe, expect, it } from 'vitest';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import { Turn } from '../../../src/kernel/turn.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe('a turn', () => {
  it('reads the clock once, and again in the next turn', async () => {
    let reads = 0;
    const turn = new Turn({ now: () => ++reads as EpochMicros });
    expect([turn.now(), turn.now()]).toEqual([1, 1]);
    await nextTurn();
    expect(turn.now()).toBe(2);
  });

  it('flushes what was deferred, after its gate', async () => {
    const order: string[] = [];
    const turn = new Turn({ now: () => 0 as EpochMicros });
    turn.setGate(() => {
      order.push('gate');
      return true;
    });
    turn.defer({ flush: () => order.push('first') });
    turn.defer({ flush: () => order.push('second') });
    expect(order).toEqual([]);
    await nextTurn();
    expect(order).toEqual(['gate', 'first', 'second']);
  });

  it('holds everything back while the gate is closed, and lets it go when released', async () => {
    let open = false;
    const flushed: string[] = [];
    const turn = new Turn({ now: () => 0 as EpochMicros });
    turn.setGate(() => open);
    turn.defer({ flush: () => flushed.push('held') });
    await nextTurn();
    turn.defer({ flush: () => flushed.push('later') });
    await nextTurn();
    expect(flushed).toEqual([]);
    open = true;
    turn.release();
    expect(flushed).toEqual(['held', 'later']);
  });

  it('flushes in the next turn what is deferred while it flushes', async () => {
    const flushed: string[] = [];
    const turn = new Turn({ now: () => 0 as EpochMicros });
    turn.defer({
      flush: () => {
        flushed.push('first');
        turn.defer({ flush: () => flushed.push('second') });
      },
    });
    await nextTurn();
    await nextTurn();
    expect(flushed).toEqual(['first', 'second']);
  });
});

describe('a flush that throws', () => {
  it('keeps no other from leaving, and is heard of', async () => {
    const flushed: string[] = [];
    const turn = new Turn({ now: () => 0 as EpochMicros });
    turn.defer({
      flush: () => {
        throw new Error('one connection’s fault');
      },
    });
    turn.defer({ flush: () => flushed.push('other') });
    expect(() => turn.release()).toThrow('one connection’s fault');
    expect(flushed).toEqual(['other']);
    turn.defer({ flush: () => flushed.push('later') });
    await nextTurn();
    expect(flushed).toEqual(['other', 'later']);
  });
});
