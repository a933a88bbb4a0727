import { describe, expect, it } from 'vitest';
import type { CallRecord } from '../../../src/audit/record.ts';
import { countCall, type TenantUsage, usageRows } from '../../../src/demo/usage.ts';
import type { EpochMicros } from '../../../src/kernel/ids.ts';

const call: CallRecord = {
  type: 'call',
  startedAt: 0 as EpochMicros,
  durationMicros: 1,
  tenant: 'acme',
  tenantVerified: true,
  caller: 'token:ada',
  peerAddress: '127.0.0.1',
  peerPort: 1,
  certificateSha256: '',
  method: 'inference.GRPCInferenceService/ModelInfer',
  methodOriginal: '',
  model: 'digits',
  modelVersion: '',
  outcome: 'ok',
  grpcStatus: 0,
  reason: '',
  rule: '',
  detail: '',
  requestBytes: 1_000,
  responseBytes: 10,
  requestMessages: 1,
  responseMessages: 1,
  upstream: '',
  traceId: '',
  spanId: '',
  upstreamSpanId: '',
  sampled: true,
  clientTrace: undefined,
  gates: [],
  generation: 1,
};

describe('countCall', () => {
  it('counts calls, bytes and refusals of each tenant apart', () => {
    const tenants = new Map<string, TenantUsage>();
    countCall(tenants, call);
    countCall(tenants, { ...call, outcome: 'denied', reason: 'rate_limited', responseBytes: 0 });
    countCall(tenants, { ...call, outcome: 'denied', reason: 'rate_limited', responseBytes: 0 });
    countCall(tenants, { ...call, outcome: 'cancelled', reason: 'cancelled', responseBytes: 0 });
    countCall(tenants, { ...call, tenant: 'globex' });
    expect(usageRows([...tenants.values()])).toEqual([
      ['acme', '4', '1', '2', '1', '4,000', '10', 'rate_limited ×2, cancelled ×1'],
      ['globex', '1', '1', '0', '0', '1,000', '10', ''],
    ]);
  });
});
