import { describe, expect, it } from 'vitest';
import { ByteAccount } from '../../../src/buffers/byte-account.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { settleSlots } from '../../../src/runtime/tenant-slots.ts';
import { generationOf } from '../../fakes/in-process-sidecar.ts';
import { fakeTenant } from '../../fakes/trust.ts';

describe('the slots of a new generation', () => {
  const acme = fakeTenant('acme').config;
  const globex = fakeTenant('globex').config;

  it('stay with the tenants that were there', () => {
    const shared = createSharedState({ tenantSlots: 4, workers: 1 });
    const current = generationOf([acme, globex]);
    const settled = settleSlots(shared, current, { ...current, tenants: [...current.tenants].reverse() });
    expect(settled.tenants.map(({ id, slot }) => [id, slot])).toEqual([
      ['globex', 1],
      ['acme', 0],
    ]);
  });

  it('go to a new tenant only when nobody has calls or bytes in them any more', () => {
    const shared = createSharedState({ tenantSlots: 4, workers: 1 });
    const account = new ByteAccount(attachSharedState(shared, 0), 0, 1024);
    account.charge(10);
    // Slot 0 was another tenant's, whose last call still holds ten bytes.
    const settled = settleSlots(shared, generationOf([]), generationOf([acme]));
    expect(settled.tenants[0]?.slot).toBe(1);
    account.release(10);
    expect(settleSlots(shared, generationOf([]), generationOf([acme])).tenants[0]?.slot).toBe(0);
  });

  it('throw when all are held', () => {
    const shared = createSharedState({ tenantSlots: 1, workers: 1 });
    new ByteAccount(attachSharedState(shared, 0), 0, 1024).charge(1);
    expect(() => settleSlots(shared, generationOf([]), generationOf([acme]))).toThrow('restarted');
  });
});
