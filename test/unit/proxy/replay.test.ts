import { describe, expect, it } from 'vitest';
import { ByteAccount } from '../../../src/buffers/byte-account.ts';
import { SlabReserve, Slabs } from '../../../src/buffers/slabs.ts';
import { OUTPUT_BUFFER_BYTES, type OutputBuffers } from '../../../src/http2/contract.ts';
import { MAX_REPLAY_BYTES, Replay, ReplayStore } from '../../../src/proxy/replay.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';

const MIB = 1024 * 1024;

/** Hands out one buffer again and again, so that what is kept in memory that went back is seen. */
class CountingBuffers implements OutputBuffers {
  lent = 0;
  readonly #free: Buffer[] = [];

  take(): Buffer {
    this.lent++;
    return this.#free.pop() ?? Buffer.alloc(OUTPUT_BUFFER_BYTES);
  }

  give(buffer: Buffer): void {
    this.lent--;
    this.#free.push(buffer.fill(0xff));
  }
}

interface Ground {
  readonly store: ReplayStore;
  readonly buffers: CountingBuffers;
  readonly account: ByteAccount;
  /** All that the tenant holds. */
  readonly held: () => number;
}

function ground(limitBytes = 64 * MIB): Ground {
  const tables = attachSharedState(createSharedState({ tenantSlots: 1, workers: 1 }), 0);
  const account = new ByteAccount(tables, 0, limitBytes);
  const buffers = new CountingBuffers();
  return { store: new ReplayStore(buffers, account), buffers, account, held: () => tables.heldBytes(0) };
}

describe('what is kept of a call', () => {
  it('is all of it, in order, however it came', () => {
    const { store } = ground();
    const replay = new Replay(store);
    const other = new Replay(store);
    const sent: Buffer[] = [];
    for (let i = 0; i < 200; i++) {
      const chunk = Buffer.alloc(i, i);
      sent.push(chunk);
      replay.keep(chunk);
      other.keep(Buffer.alloc(100, 0xee));
    }
    expect(replay.take()).toEqual(Buffer.concat(sent));
  });

  it('may be nothing', () => {
    const { store } = ground();
    expect(new Replay(store).take()).toEqual(Buffer.alloc(0));
  });

  it('is a copy, and is there once', () => {
    const { store } = ground();
    const replay = new Replay(store);
    const chunk = Buffer.from('abc');
    replay.keep(chunk);
    chunk.fill(0);
    const copy = replay.take();
    expect(copy?.toString()).toBe('abc');
    expect(replay.take()).toBeUndefined();
  });

  it.each([
    [MAX_REPLAY_BYTES, true],
    [MAX_REPLAY_BYTES + 1, false],
  ])('may be %d bytes long', (bytes, kept) => {
    const { store, account } = ground();
    const replay = new Replay(store);
    replay.keep(Buffer.alloc(bytes - 1));
    replay.keep(Buffer.alloc(1));
    expect(replay.take() !== undefined).toBe(kept);
    replay.drop();
    expect(account.used).toBe(0);
  });
});

describe('the memory of it', () => {
  it('is paid for by the slab, and goes back with the last call in it', () => {
    const { account, held } = ground();
    const buffers = new Slabs(new SlabReserve(), 0, account);
    const store = new ReplayStore(buffers, account);
    const first = new Replay(store);
    const second = new Replay(store);
    first.keep(Buffer.alloc(10));
    second.keep(Buffer.alloc(10));
    expect(held()).toBe(OUTPUT_BUFFER_BYTES);
    first.drop();
    first.drop();
    expect(held()).toBe(OUTPUT_BUFFER_BYTES);
    second.drop();
    expect(held()).toBe(0);
  });

  it('can be given up before: then the call is not sent again', () => {
    const { store, buffers } = ground();
    const [kept, other] = [new Replay(store), new Replay(store)];
    for (const replay of [kept, other]) replay.keep(Buffer.alloc(MAX_REPLAY_BYTES));
    expect([store.slabs, buffers.lent]).toEqual([2, 2]);
    store.forget();
    expect([store.slabs, buffers.lent]).toEqual([0, 0]);
    expect([kept.take(), other.take()]).toEqual([undefined, undefined]);
    kept.drop();
    const next = new Replay(store);
    next.keep(Buffer.from('abc'));
    expect(next.take()?.toString()).toBe('abc');
  });

  it('is charged for the copy while it is sent again', () => {
    const { store, account } = ground();
    const replay = new Replay(store);
    replay.keep(Buffer.alloc(10));
    replay.take();
    expect(account.used).toBe(10);
    replay.drop();
    expect(account.used).toBe(0);
  });

  it.each([
    ['of many', 64 * MIB, 16],
    ['and a quarter of the account', MIB, 4],
    ['but for one', 256 * 1024, 1],
  ])('is bounded, %s: the call that is in it for longest is given up', (_, limitBytes, slabs) => {
    const { store, buffers, account } = ground(limitBytes);
    const replays = Array.from({ length: slabs + 1 }, () => new Replay(store));
    for (const [index, replay] of replays.entries()) replay.keep(Buffer.alloc(OUTPUT_BUFFER_BYTES, index));
    expect([store.slabs, buffers.lent]).toEqual([slabs, slabs]);
    expect(replays[0]?.take()).toBeUndefined();
    const last = replays.at(-1)?.take();
    expect(last?.equals(Buffer.alloc(OUTPUT_BUFFER_BYTES, slabs))).toBe(true);
    for (const replay of replays) replay.drop();
    expect([buffers.lent, account.used]).toEqual([0, 0]);
  });

  it('is not taken from an account that has no room for it', () => {
    const { store, account } = ground(2 * OUTPUT_BUFFER_BYTES);
    account.charge(OUTPUT_BUFFER_BYTES + 1);
    const replay = new Replay(store);
    replay.keep(Buffer.alloc(1));
    expect(replay.take()).toBeUndefined();
    account.release(1);
    const next = new Replay(store);
    next.keep(Buffer.alloc(1));
    expect(next.take()).toHaveLength(1);
  });
});
