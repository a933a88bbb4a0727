import { describe, expect, it } from 'vitest';
import { ByteAccount } from '../../../src/buffers/byte-account.ts';
import { SLAB_BYTES, SlabReserve, Slabs } from '../../../src/buffers/slabs.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';

const CANARY = Buffer.from('acme: the secret tensor');

describe("a tenant's slabs", () => {
  it('have their own memory, never a view of a pool', () => {
    const slab = new Slabs(new SlabReserve()).take();
    expect(slab.length).toBe(SLAB_BYTES);
    expect(slab.byteOffset).toBe(0);
    expect(slab.buffer.byteLength).toBe(SLAB_BYTES);
    expect(slab.every((byte) => byte === 0)).toBe(true);
  });

  it('are reused as they are within the tenant', () => {
    const slabs = new Slabs(new SlabReserve());
    const slab = slabs.take();
    CANARY.copy(slab, 1000);
    slabs.give(slab);
    const again = slabs.take();
    expect(again).toBe(slab);
    expect(again.includes(CANARY)).toBe(true);
  });

  it('carry nothing of one tenant to another', () => {
    const reserve = new SlabReserve();
    const acme = new Slabs(reserve, 2);
    const lent = Array.from({ length: 8 }, () => acme.take());
    for (const slab of lent) CANARY.copy(slab, SLAB_BYTES - CANARY.length);
    for (const slab of lent) acme.give(slab);
    acme.close();
    expect(reserve.idleSlabs).toBe(8);
    const globex = new Slabs(reserve);
    const taken = Array.from({ length: 8 }, () => globex.take());
    expect(new Set(taken)).toEqual(new Set(lent));
    for (const slab of taken) expect(slab.every((byte) => byte === 0)).toBe(true);
  });

  it('are zeroed even when they are dropped', () => {
    const slabs = new Slabs(new SlabReserve(0), 0);
    const slab = slabs.take();
    CANARY.copy(slab);
    slabs.give(slab);
    expect(slab.includes(CANARY)).toBe(false);
  });

  it('are kept up to n, and n + 1 goes to the reserve', () => {
    const reserve = new SlabReserve(1);
    const slabs = new Slabs(reserve, 2);
    const lent = [slabs.take(), slabs.take(), slabs.take(), slabs.take()];
    lent.slice(0, 2).forEach((slab) => {
      slabs.give(slab);
    });
    expect(reserve.idleSlabs).toBe(0);
    lent.slice(2).forEach((slab) => {
      slabs.give(slab);
    });
    expect(reserve.idleSlabs).toBe(1);
  });

  it('are paid for by the tenant for as long as they are its, lent or idle, and zeroed when there is too little memory', () => {
    const tables = attachSharedState(createSharedState({ tenantSlots: 2, workers: 1 }), 0);
    const account = new ByteAccount(tables, 1, 1);
    const reserve = new SlabReserve();
    const slabs = new Slabs(reserve, 2, account);
    const held = (): number => tables.heldBytes(1) / SLAB_BYTES;
    const lent = [slabs.take(), slabs.take(), slabs.take()];
    expect(held()).toBe(3);
    for (const slab of lent) {
      CANARY.copy(slab);
      slabs.give(slab);
    }
    expect([held(), reserve.idleSlabs]).toEqual([2, 1]);
    slabs.trim();
    expect([held(), reserve.idleSlabs]).toEqual([0, 3]);
    for (const slab of lent) expect(slab.includes(CANARY)).toBe(false);
    const last = slabs.take();
    slabs.close();
    expect(held()).toBe(1);
    slabs.give(last);
    expect([held(), tables.totalHeldBytes()]).toEqual([0, 0]);
    // They stand: it is not the account's limit that they count towards.
    expect(account.full).toBe(false);
  });

  it('cannot be given twice, nor to another tenant', () => {
    const reserve = new SlabReserve();
    const acme = new Slabs(reserve);
    const globex = new Slabs(reserve);
    const slab = acme.take();
    expect(() => globex.give(slab)).toThrow(RangeError);
    acme.give(slab);
    expect(() => acme.give(slab)).toThrow(/given back before/);
    expect(() => acme.give(Buffer.alloc(SLAB_BYTES))).toThrow(RangeError);
  });
});
