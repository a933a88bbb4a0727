import { describe, expect, it } from 'vitest';
import { ByteAccount } from '../../../src/buffers/byte-account.ts';
import { HeldCredit } from '../../../src/proxy/held-credit.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';

class CountingAccount extends ByteAccount {
  waits = 0;
  readonly waiting = new Set<() => void>();

  override whenRelieved(callback: () => void): void {
    this.waits++;
    this.waiting.add(callback);
    super.whenRelieved(callback);
  }

  override forget(callback: () => void): void {
    this.waiting.delete(callback);
    super.forget(callback);
  }
}

function account(limitBytes: number): CountingAccount {
  const tables = attachSharedState(createSharedState({ tenantSlots: 1, workers: 1 }), 0);
  return new CountingAccount(tables, 0, limitBytes);
}

describe('window that is owed', () => {
  it('is given at once below the limit, and held at it', () => {
    const full = account(10);
    const given: number[] = [];
    const credit = new HeldCredit(full);
    full.charge(9);
    credit.give(1, { credit: (bytes) => given.push(bytes) });
    full.charge(1);
    credit.give(1, { credit: (bytes) => given.push(bytes) });
    expect(given).toEqual([1]);
  });

  it('waits as one sum, however small its parts, and comes as one', async () => {
    const full = account(10);
    full.charge(10);
    const given: number[] = [];
    const credit = new HeldCredit(full);
    const to = { credit: (bytes: number) => given.push(bytes) };
    for (let i = 0; i < 100_000; i++) credit.give(1, to);
    expect(full.waits).toBe(1);
    full.release(1);
    await Promise.resolve();
    expect(given).toEqual([100_000]);
    // And again.
    full.charge(1);
    credit.give(2, to);
    expect(full.waits).toBe(2);
    full.release(1);
    await Promise.resolve();
    expect(given).toEqual([100_000, 2]);
  });

  it('comes at once when the call is over, and nothing of the call waits for the account', async () => {
    const full = account(10);
    full.charge(10);
    const given: number[] = [];
    const to = { credit: (bytes: number) => given.push(bytes) };
    const credit = new HeldCredit(full);
    credit.end(to);
    expect(given).toEqual([]);
    credit.give(3, to);
    credit.give(4, to);
    credit.end(to);
    credit.end(to);
    expect(given).toEqual([7]);
    expect(full.waiting.size).toBe(0);
    full.release(10);
    await Promise.resolve();
    expect(given).toEqual([7]);
  });

  it('comes once when the call ends while others are being relieved', async () => {
    const full = account(10);
    full.charge(10);
    const given: number[] = [];
    const to = { credit: (bytes: number) => given.push(bytes) };
    const second = new HeldCredit(full);
    const first = new HeldCredit(full);
    first.give(1, { credit: () => second.end(to) });
    second.give(5, to);
    full.release(10);
    await Promise.resolve();
    expect(given).toEqual([5]);
  });
});
