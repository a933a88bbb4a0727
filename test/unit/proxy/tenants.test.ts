import { afterEach, describe, expect, it, vi } from 'vitest';
import { SlabReserve } from '../../../src/buffers/slabs.ts';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import { systemClock } from '../../../src/kernel/clock.ts';
import { Turn } from '../../../src/kernel/turn.ts';
import { Tenants } from '../../../src/proxy/tenants.ts';
import { attachSharedState, createSharedState } from '../../../src/quota/shared-state.ts';
import { generationOf, TEST_LIMITS } from '../../fakes/in-process-sidecar.ts';
import { fakeTenant, tenantId } from '../../fakes/trust.ts';

const acme = fakeTenant('acme').config;
const globex = fakeTenant('globex').config;
const ACME = tenantId('acme');

let tenants: Tenants;
afterEach(() => {
  tenants.close();
  vi.useRealTimers();
});

function start(): Tenants {
  tenants = new Tenants({
    turn: new Turn(systemClock),
    tables: attachSharedState(createSharedState({ tenantSlots: 8, workers: 1 }), 0),
    slabReserve: new SlabReserve(),
    limits: TEST_LIMITS,
  });
  tenants.apply(generationOf([acme, globex]));
  return tenants;
}

const changed = (config: TenantConfig, changes: Partial<TenantConfig>): TenantConfig => ({
  ...config,
  ...changes,
  digest: `${config.digest}-${JSON.stringify(changes)}`,
});

describe('the tenants of a worker', () => {
  it('are found by server name in any case, and nobody by another', () => {
    start();
    expect(tenants.claimed('ACME.models.test')?.id).toBe('acme');
    expect(tenants.claimed('models.test')).toBeUndefined();
    expect(tenants.claimed('')).toBeUndefined();
    expect(tenants.runtime(tenantId('nobody'))).toBeUndefined();
  });

  it('are compiled when first needed, and kept while they do not change', () => {
    start();
    expect([...tenants.active()]).toHaveLength(0);
    const runtime = tenants.runtime(ACME);
    expect(tenants.apply(generationOf([acme, globex]))).toEqual([]);
    expect(tenants.runtime(ACME)).toBe(runtime);
    expect([...tenants.active()]).toHaveLength(1);
  });

  it('keep account, buffers, occupancy and pool over a change that does not touch them', () => {
    start();
    const before = tenants.runtime(ACME);
    expect(tenants.apply(generationOf([changed(acme, { accept: ['token'], byteAccountBytes: 5 }), globex]))).toEqual(
      [],
    );
    const after = tenants.runtime(ACME);
    expect(after).not.toBe(before);
    expect(after?.gates).not.toBe(before?.gates);
    expect([after?.account, after?.slabs, after?.occupancy, after?.pool]).toEqual([
      before?.account,
      before?.slabs,
      before?.occupancy,
      before?.pool,
    ]);
    expect(after?.pool).toBe(before?.pool);
    expect(after?.account.limitBytes).toBe(5);
  });

  it('keep their gates, with all that these remember, over a certificate or an authority that rotates', () => {
    start();
    const gates = tenants.runtime(ACME)?.gates;
    const next = fakeTenant('acme').config;
    const { certificate, clientCaPem } = next;
    tenants.apply(generationOf([changed(acme, { certificate, clientCaPem }), globex]));
    expect(tenants.runtime(ACME)?.config.clientCaPem).toBe(clientCaPem);
    expect(tenants.runtime(ACME)?.gates).toBe(gates);
    for (const change of [
      { issuers: [] },
      { trustDomain: 'other.example' },
      { roles: [] },
      { accept: ['token'] as const },
    ]) {
      const before = tenants.runtime(ACME)?.gates;
      tenants.apply(generationOf([changed(acme, change), globex]));
      expect(tenants.runtime(ACME)?.gates).not.toBe(before);
    }
  });

  it('get a new pool with a new model server', () => {
    start();
    const before = tenants.runtime(ACME);
    tenants.apply(generationOf([changed(acme, { upstream: { ...acme.upstream, authority: 'moved' } }), globex]));
    expect(tenants.runtime(ACME)?.pool).not.toBe(before?.pool);
  });

  it('get a new pool with other windows, and keep it with limits that it is not made from', () => {
    start();
    const pool = tenants.runtime(ACME)?.pool;
    tenants.setLimits({ ...TEST_LIMITS, idleTimeoutMs: 1 });
    expect(tenants.runtime(ACME)?.pool).toBe(pool);
    const limits = { ...TEST_LIMITS, streamWindowBytes: TEST_LIMITS.streamWindowBytes + 1 };
    tenants.setLimits(limits);
    const wider = tenants.runtime(ACME)?.pool;
    expect(wider).not.toBe(pool);
    tenants.setLimits(limits);
    expect(tenants.runtime(ACME)?.pool).toBe(wider);
  });

  it('have their model servers asked how they are while they are in use, and once for all that have the same', () => {
    const healthCheck = {
      service: '',
      intervalMs: 60_000,
      timeoutMs: 1_000,
      unhealthyThreshold: 1,
      healthyThreshold: 1,
    };
    const upstream = { ...acme.upstream, healthCheck };
    const both = [changed(acme, { upstream }), changed(globex, { upstream: { ...upstream, maxConnections: 1 } })];
    start();
    tenants.apply(generationOf(both));
    expect(tenants.probes.size).toBe(0);
    tenants.runtime(ACME);
    tenants.runtime(tenantId('globex'));
    expect(tenants.probes.size).toBe(1);
    // Another pool, and the same question: what was known is known.
    tenants.apply(generationOf([changed(acme, { upstream: { ...upstream, maxPendingCalls: 1 } })]));
    expect(tenants.probes.size).toBe(1);
    expect(tenants.probes.takeReports()).toEqual([]);
    const other = { ...upstream, healthCheck: { ...healthCheck, service: 'other' } };
    tenants.apply(generationOf([changed(acme, { upstream: other })]));
    expect(tenants.probes.size).toBe(1);
    expect(tenants.probes.takeReports()).toMatchObject([{ service: '', health: { at: 'ended' } }]);
    tenants.apply(generationOf([acme]));
    expect(tenants.probes.size).toBe(0);
  });

  it.each([
    ['CA', { clientCaPem: globex.clientCaPem }],
    ['trust domain', { trustDomain: undefined }],
    ['server names', { serverNames: ['acme.models.test', 'more.models.test'] }],
  ])('shake hands again when their %s changes', (_name, changes) => {
    start();
    tenants.runtime(ACME);
    tenants.runtime(tenantId('globex'));
    expect(tenants.apply(generationOf([changed(acme, changes), globex]))).toEqual(['acme']);
  });

  it('are gone when the generation has them no more', () => {
    start();
    tenants.runtime(ACME);
    expect(tenants.apply(generationOf([globex]))).toEqual(['acme']);
    expect(tenants.runtime(ACME)).toBeUndefined();
    expect(tenants.claimed('acme.models.test')).toBeUndefined();
    expect([...tenants.active()]).toHaveLength(0);
  });

  describe('change one by one', () => {
    const umbrella = fakeTenant('umbrella').config;
    const named = (config: TenantConfig, ...serverNames: readonly string[]): TenantConfig =>
      changed(config, { serverNames });

    it('and nobody else is touched', () => {
      start();
      const runtime = tenants.runtime(tenantId('globex'));
      const before = tenants.runtime(ACME);
      expect(tenants.change([changed(acme, { byteAccountBytes: 5 })], [])).toEqual([]);
      expect(tenants.runtime(ACME)).not.toBe(before);
      expect(tenants.runtime(tenantId('globex'))).toBe(runtime);
      expect(tenants.config(ACME)?.byteAccountBytes).toBe(5);
    });

    it('come and go', () => {
      start();
      tenants.runtime(ACME);
      expect(tenants.change([umbrella], [ACME])).toEqual(['acme']);
      expect([tenants.config(ACME), tenants.runtime(ACME), tenants.claimed('acme.models.test')]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      expect(tenants.claimed('umbrella.models.test')).toBe(umbrella);
      expect(tenants.claimed('globex.models.test')?.digest).toBe(globex.digest);
    });

    it.each([
      ['as they stand', (both: readonly TenantConfig[]) => both],
      ['the other way round', (both: readonly TenantConfig[]) => both.toReversed()],
    ])('and a server name that goes from one to the other is the other’s, %s', (_, order) => {
      start();
      const both = [named(acme, 'a.test'), named(globex, 'globex.models.test', 'acme.models.test')];
      tenants.change(order(both), []);
      expect(tenants.claimed('acme.models.test')?.id).toBe('globex');
      expect(tenants.claimed('a.test')?.id).toBe('acme');
    });

    it('and a server name of a removed one is free for another at once', () => {
      start();
      tenants.change([named(globex, 'acme.models.test')], [ACME]);
      expect(tenants.claimed('acme.models.test')?.id).toBe('globex');
      expect(tenants.claimed('globex.models.test')).toBeUndefined();
    });

    it('and say nothing of what was never in use or never there', () => {
      start();
      expect(tenants.change([changed(acme, { clientCaPem: globex.clientCaPem })], [tenantId('nobody')])).toEqual([]);
    });
  });

  it('are dropped when nobody was connected for long, and not while somebody is', () => {
    vi.useFakeTimers();
    start();
    const busy = tenants.runtime(ACME);
    tenants.runtime(tenantId('globex'));
    if (busy !== undefined) busy.occupancy.connections = 1;
    vi.advanceTimersByTime(300_000);
    expect([...tenants.active()]).toHaveLength(2);
    vi.advanceTimersByTime(120_000);
    expect([...tenants.active()]).toEqual([busy]);
  });
});
