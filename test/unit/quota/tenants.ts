import type { Caller } from '../../../src/authn/authenticator.ts';
import type { QuotaConfig } from '../../../src/config/quota-config.ts';
import type { TenantConfig } from '../../../src/config/tenant-config.ts';
import type { EpochMicros, TenantId } from '../../../src/kernel/ids.ts';

export const EPOCH = 1_800_000_000_000_000 as EpochMicros;

/** A moment so many microseconds after the tables were made. */
export function at(micros: number): EpochMicros {
  return (EPOCH + micros) as EpochMicros;
}

export function tenantWith(slot: number, quota: Partial<QuotaConfig>): TenantConfig {
  return {
    id: `tenant-${slot}` as TenantId,
    slot,
    file: '',
    digest: '',
    serverNames: [],
    certificate: { chainPem: '', keyPem: '' },
    clientCaPem: '',
    trustDomain: undefined,
    accept: ['certificate'],
    issuers: [],
    apiKeys: [],
    roles: [],
    bindings: [],
    quota: { perTenant: undefined, perCaller: undefined, maxConcurrentCalls: undefined, ...quota },
    byteAccountBytes: 1 << 20,
    upstream: {
      target: { kind: 'tcp', host: '127.0.0.1', port: 1 },
      tls: undefined,
      display: '',
      connectTimeoutMs: 1,
      maxConnections: 1,
      maxPendingCalls: 1,
      authority: '',
    },
    trace: { clientContext: 'link' },
    opaqueServices: [],
  };
}

/** A caller as far as quotas look at one. Forged, which only a test may: outside of it, `authn` makes them. */
export function callerOf(slot: number, id: string): Caller {
  return { id, tenant: { slot, id: `tenant-${slot}` as TenantId } } as unknown as Caller;
}
