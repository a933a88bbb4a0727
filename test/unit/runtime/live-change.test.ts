import { describe, expect, it } from 'vitest';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import { createSharedState } from '../../../src/quota/shared-state.ts';
import { isSameAddress } from '../../../src/runtime/bound-address.ts';
import { enforceable, whatDoesNotFit } from '../../../src/runtime/live-change.ts';
import { generationOf, TEST_LIMITS } from '../../fakes/in-process-sidecar.ts';
import { tenantWith } from '../quota/tenants.ts';

const generation = generationOf([]);

describe('a change that does not fit into this process', () => {
  const shared = createSharedState({ tenantSlots: 3, workers: 18 });

  it('is one to more workers than there is room for', () => {
    expect(whatDoesNotFit(shared, { ...generation, workers: 18 })).toBe(undefined);
    expect(whatDoesNotFit(shared, { ...generation, workers: 19 })).toMatchObject({
      path: 'workers',
      message: expect.stringContaining('18 workers'),
    });
  });

  it('is one to more tenants', () => {
    const tenants = (slot: number): readonly TenantConfig[] => [tenantWith(slot, {})];
    expect(whatDoesNotFit(shared, { ...generation, tenants: tenants(2) })).toBe(undefined);
    expect(whatDoesNotFit(shared, { ...generation, tenants: tenants(3) })).toMatchObject({ path: 'tenants' });
  });
});

describe('what waits for the next start', () => {
  it('is named, and stays as it was; the rest comes into force', () => {
    const loaded = {
      ...generation,
      workers: 2,
      audit: { ...generation.audit, directory: '/elsewhere' },
      limits: { ...TEST_LIMITS, handshakeTimeoutMs: 1, workerHeapBytes: 1, idleTimeoutMs: 1 },
    };
    const { generation: next, waiting } = enforceable(generation, loaded);
    expect(waiting).toEqual(['audit', 'limits.handshakeTimeout', 'limits.workerHeap']);
    expect(next).toEqual({ ...generation, workers: 2, limits: { ...TEST_LIMITS, idleTimeoutMs: 1 } });
    // As long as it waits, each change says so.
    expect(enforceable(next, loaded).waiting).toEqual(waiting);
  });

  it('is nothing else', () => {
    const loaded = {
      ...generation,
      workers: 3,
      listener: { address: '::1', port: 1, minTlsVersion: 'TLSv1.2' as const },
      admin: { address: '::1', port: 2 },
      telemetry: { ...generation.telemetry, serviceName: 'other' },
    };
    expect(enforceable(generation, loaded)).toEqual({ generation: loaded, waiting: [] });
  });
});

describe('an address in the configuration', () => {
  const bound = { address: '127.0.0.1', port: 4711 };
  const any = { address: '127.0.0.1', port: 0 };

  it('is the bound one when it says so, or says any port as before', () => {
    expect(isSameAddress(bound, bound, bound)).toBe(true);
    expect(isSameAddress(bound, any, any)).toBe(true);
    expect(isSameAddress(bound, any, bound)).toBe(true);
  });

  it('is another one when it names another port or address, or any port as never before', () => {
    expect(isSameAddress(bound, bound, { ...bound, port: 1 })).toBe(false);
    expect(isSameAddress(bound, bound, { ...bound, address: '::1' })).toBe(false);
    expect(isSameAddress(bound, bound, any)).toBe(false);
    expect(isSameAddress(bound, any, { ...any, address: '::1' })).toBe(false);
  });
});
