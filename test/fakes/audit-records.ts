/** Records as the data path makes them. */
import type { CallRecord, EventRecord, RefusalRecord } from '../../src/audit/record.ts';
import type { EpochMicros } from '../../src/kernel/ids.ts';

/** Microseconds since the epoch, for tests: 2026-11-23T10:00:00Z and so many more. */
export function micros(after: number): EpochMicros {
  return (Date.UTC(2026, 10, 23, 10) * 1000 + after) as EpochMicros;
}

/** An allowed call through all gates, with what the test wants different. */
export function callRecord(different: Partial<CallRecord>): CallRecord {
  return {
    type: 'call',
    startedAt: micros(0),
    durationMicros: 1_840,
    tenant: 'acme',
    tenantVerified: true,
    caller: 'token:alice@acme.example',
    peerAddress: '10.4.17.203',
    peerPort: 48_112,
    certificateSha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    method: 'inference.GRPCInferenceService/ModelInfer',
    methodOriginal: '',
    model: 'digits',
    modelVersion: '1',
    outcome: 'ok',
    grpcStatus: 0,
    reason: '',
    rule: 'tenants/acme.yaml:41 role predict',
    detail: '',
    requestBytes: 3_322,
    responseBytes: 104,
    requestMessages: 1,
    responseMessages: 1,
    upstream: 'http://127.0.0.1:8001',
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    upstreamSpanId: '00f067aa0ba902b7',
    sampled: true,
    clientTrace: undefined,
    gates: [
      { gate: 'identify', fromMicros: 4, toMicros: 9, verdict: 'pass' },
      { gate: 'authenticate', fromMicros: 9, toMicros: 12, verdict: 'pass' },
      { gate: 'authorize', fromMicros: 12, toMicros: 14, verdict: 'pass' },
      { gate: 'reserve', fromMicros: 14, toMicros: 17, verdict: 'pass' },
      { gate: 'inspect', fromMicros: 17, toMicros: 61, verdict: 'pass' },
      { gate: 'upstream', fromMicros: 61, toMicros: 1_802, verdict: 'pass' },
    ],
    generation: 1,
    ...different,
  };
}

/** A gathered refusal, with what the test wants different. */
export function refusalRecord(different: Partial<RefusalRecord>): RefusalRecord {
  return {
    type: 'refusal',
    at: micros(0),
    reason: 'TLS_CLIENT_CERT_REQUIRED',
    serverName: 'acme.models.example',
    tenantClaim: 'acme',
    peerAddress: '203.0.113.9',
    detail: 'peer did not return a certificate',
    count: 3,
    ...different,
  };
}

/** An event, with what the test wants different. */
export function eventRecord(different: Partial<EventRecord>): EventRecord {
  return { type: 'event', at: micros(0), event: 'config.reloaded', detail: 'generation 2', ...different };
}
