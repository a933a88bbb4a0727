import type { QuotaConfig, TenantConfig } from '../../../src/config/generation.ts';
import type { EpochMicros, TenantId } from '../../../src/kernel/ids.ts';
import type { QuotaCaller } from '../../../src/quota/quota-gate.ts';

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

export function callerOf(slot: number, id: string): QuotaCaller {
  return { id, tenant: { slot, id: `tenant-${slot}` as TenantId } };
}
