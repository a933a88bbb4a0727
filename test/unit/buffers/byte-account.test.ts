import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ByteAccount } from '../../../src/buffers/byte-account.ts';
import { attachSharedState, createSharedState, SUPERVISOR } from '../../../src/quota/shared-state.ts';

function accounts(limitBytes: number) {
  const state = createSharedState({ tenantSlots: 2, workers: 2 });
  const here = new ByteAccount(attachSharedState(state, 0), 0, limitBytes);
  const there = new ByteAccount(attachSharedState(state, 1), 0, limitBytes);
  const neighbour = new ByteAccount(attachSharedState(state, 0), 1, limitBytes);
  return { state, here, there, neighbour };
}

describe("a tenant's byte account", () => {
  it('is full at n bytes over all threads, and not at n - 1', () => {
    const { here, there } = accounts(100);
    here.charge(60);
    there.charge(39);
    expect([here.full, there.full, here.used]).toEqual([false, false, 99]);
    there.charge(1);
    expect([here.full, there.full]).toEqual([true, true]);
    here.release(1);
    expect(there.full).toBe(false);
  });

  it("does not see another tenant's bytes", () => {
    const { here, neighbour } = accounts(100);
    here.charge(1000);
    expect([here.full, neighbour.full, neighbour.used]).toEqual([true, false, 0]);
  });

  it('counts beyond 4 GiB exactly', () => {
    const { here } = accounts(2 ** 40);
    for (let n = 0; n < 5; n++) here.charge(2 ** 30 + 1);
    expect(here.used).toBe(5 * 2 ** 30 + 5);
  });

  it('does not let more be released than was charged', () => {
    const { here } = accounts(100);
    here.charge(10);
    expect(() => here.release(11)).toThrow(/1 bytes more/);
    expect(here.used).toBe(10);
  });

  it('calls waiters back once, in order, after its own release, not from within it', async () => {
    const { here } = accounts(100);
    here.charge(100);
    const calls: number[] = [];
    here.whenRelieved(() => calls.push(1));
    here.whenRelieved(() => calls.push(2));
    await Promise.resolve();
    expect(calls).toEqual([]);
    here.release(1);
    expect(calls).toEqual([]);
    await Promise.resolve();
    expect(calls).toEqual([1, 2]);
    here.charge(50);
    here.release(50);
    await sleep(15);
    expect(calls).toEqual([1, 2]);
  });

  it('calls waiters back soon after another thread released', async () => {
    const { here, there } = accounts(100);
    there.charge(100);
    const relieved = new Promise<void>((resolve) => here.whenRelieved(resolve));
    there.release(1);
    await relieved;
  });

  it('lets a waiter wait anew when the account is full again', async () => {
    const { here } = accounts(100);
    here.charge(100);
    let calls = 0;
    const waiter = (): void => {
      calls++;
      here.charge(100);
      here.whenRelieved(waiter);
    };
    here.whenRelieved(waiter);
    here.release(100);
    await sleep(15);
    expect(calls).toBe(1);
    here.release(100);
    await sleep(15);
    expect(calls).toBe(2);
  });

  it('forgets who is not interested any more, and only that one', async () => {
    const { here } = accounts(100);
    here.charge(100);
    const calls: number[] = [];
    const first = (): unknown => calls.push(1);
    here.whenRelieved(first);
    here.whenRelieved(() => calls.push(2));
    here.forget(first);
    here.release(1);
    await Promise.resolve();
    expect(calls).toEqual([2]);
  });

  it('relieves waiters when the limit is raised', async () => {
    const { here } = accounts(100);
    here.charge(100);
    const relieved = new Promise<void>((resolve) => here.whenRelieved(resolve));
    here.setLimit(101);
    await relieved;
    expect(here.full).toBe(false);
  });

  it('is not for a thread that is not a worker, nor for a slot that is not there', () => {
    const { state } = accounts(1);
    expect(() => new ByteAccount(attachSharedState(state, SUPERVISOR), 0, 1)).toThrow(RangeError);
    expect(() => new ByteAccount(attachSharedState(state, 0), 2, 1)).toThrow(RangeError);
  });
});
