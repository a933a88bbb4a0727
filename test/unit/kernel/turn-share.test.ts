import { describe, expect, it } from 'vitest';
import type { EpochMicros } from '../../../src/kernel/ids.ts';
import { TurnShare } from '../../../src/kernel/turn-share.ts';

// A time is a number of microseconds.
const at = (micros: number): EpochMicros => micros as EpochMicros;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function shareOf(limitMs: number) {
  const clock = { now: 0 };
  const share = new TurnShare(limitMs, () => clock.now);
  const take = (ms: number): void => {
    share.begin();
    clock.now += ms;
    share.end();
  };
  return { share, clock, take };
}

describe('the share of a turn', () => {
  it('lasts until it is taken, and not longer', () => {
    const { share, take } = shareOf(3);
    expect(share.mayBegin(at(1))).toBe(true);
    take(2);
    expect(share.mayBegin(at(1))).toBe(true);
    take(1);
    expect(share.mayBegin(at(1))).toBe(false);
  });

  it('is whole again in another turn', () => {
    const { share, take } = shareOf(3);
    share.mayBegin(at(1));
    take(3);
    expect(share.mayBegin(at(1))).toBe(false);
    expect(share.mayBegin(at(2))).toBe(true);
  });

  it('is up amid what is being done as soon as that has taken what was left', () => {
    const { share, clock, take } = shareOf(3);
    share.mayBegin(at(1));
    take(1);
    share.begin();
    clock.now += 1;
    expect(share.isUp()).toBe(false);
    clock.now += 1;
    expect(share.isUp()).toBe(true);
  });

  it('has what waits done in its order, as much in each turn as there is room for', async () => {
    const { share, take } = shareOf(3);
    const done: number[] = [];
    for (const index of [0, 1, 2, 3, 4]) {
      share.wait(() => {
        done.push(index);
        take(2);
      });
    }
    // Whoever comes now waits as well, though nothing has been taken of this turn.
    expect(share.mayBegin(at(1))).toBe(false);
    await turn();
    expect(done).toEqual([]);
    await turn();
    expect(done).toEqual([0, 1]);
    await turn();
    expect(done).toEqual([0, 1, 2, 3]);
    await turn();
    expect(done).toEqual([0, 1, 2, 3, 4]);
    expect(share.mayBegin(at(2))).toBe(true);
  });

  it('has what waits again while it is done come behind the rest, and in another turn', async () => {
    const { share } = shareOf(3);
    const done: string[] = [];
    share.wait(() => {
      done.push('one');
      share.wait(() => done.push('one again'));
    });
    share.wait(() => done.push('two'));
    await turn();
    await turn();
    expect(done).toEqual(['one', 'two']);
    for (let index = 0; index < 3; index++) await turn();
    expect(done).toEqual(['one', 'two', 'one again']);
  });
});
