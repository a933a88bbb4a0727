import { describe, expect, it } from 'vitest';
import { encodeRecord, MAX_PAYLOAD_BYTES, MAX_TEXT_CHARS } from '../../../src/audit/codec.ts';
import type { AuditRecord } from '../../../src/audit/record.ts';
import { OtlpBatch } from '../../../src/telemetry/otlp-request.ts';
import { recordEncoder } from '../../../src/telemetry/record-encoder.ts';
import { resourceBytes } from '../../../src/telemetry/resource.ts';
import { callRecord, eventRecord, micros, refusalRecord } from '../../fakes/audit-records.ts';
import { decodeLogs, decodeSpans, type SunkLog, type SunkSpan } from '../../fakes/otlp-sink.ts';

const HASH = 'c0ffee'.padEnd(64, '1');
const RESOURCE = resourceBytes({
  serviceName: 'bulkhead',
  serviceVersion: '0.1.0',
  instanceId: 'pod-7',
  processId: 42,
});

/** Encodes records as one request of the signal, as the telemetry thread does. */
function request(signal: 'traces' | 'logs', records: readonly AuditRecord[]): Buffer {
  const batch = new OtlpBatch(RESOURCE, 'bulkhead', '0.1.0');
  const encode = recordEncoder(signal);
  for (const [index, record] of records.entries()) {
    const bytes = Buffer.alloc(MAX_PAYLOAD_BYTES + 32);
    const end = encodeRecord(record, bytes, 0);
    bytes.write(HASH, end, 'hex');
    const problem = encode(
      { writer: 'worker-0', sequence: 7, number: index + 1, bytes, start: 0, end, hashAt: end },
      batch.entries,
    );
    if (typeof problem === 'string') throw new Error(problem);
    batch.endRecord();
  }
  return batch.request(0, batch.size);
}

function spansOf(...records: readonly AuditRecord[]): SunkSpan[] {
  return decodeSpans(request('traces', records));
}

function logsOf(...records: readonly AuditRecord[]): SunkLog[] {
  return decodeLogs(request('logs', records));
}

function nanos(after: number): bigint {
  return BigInt(micros(after)) * 1000n;
}

function only<T>(items: readonly T[]): T {
  const [item] = items;
  if (item === undefined || items.length !== 1) throw new Error(`${items.length} items`);
  return item;
}

const DENIED = callRecord({
  outcome: 'denied',
  grpcStatus: 7,
  reason: 'model_denied',
  detail: 'role predict has digits only',
  model: 'fraud',
  upstream: '',
  upstreamSpanId: '',
  gates: [
    { gate: 'identify', fromMicros: 0, toMicros: 0, verdict: 'pass' },
    { gate: 'authorize', fromMicros: 3, toMicros: 3, verdict: 'deny' },
  ],
});

describe('the spans of a call', () => {
  it('are a server span, a child per gate that took time, and a client span for the upstream leg', () => {
    const spans = spansOf(callRecord({}));
    expect(spans.map(({ name, kind }) => [name, kind])).toEqual([
      ['inference.GRPCInferenceService/ModelInfer', 'SPAN_KIND_SERVER'],
      ['bulkhead.gate.identify', 'SPAN_KIND_INTERNAL'],
      ['bulkhead.gate.authenticate', 'SPAN_KIND_INTERNAL'],
      ['bulkhead.gate.authorize', 'SPAN_KIND_INTERNAL'],
      ['bulkhead.gate.reserve', 'SPAN_KIND_INTERNAL'],
      ['bulkhead.gate.inspect', 'SPAN_KIND_INTERNAL'],
      ['inference.GRPCInferenceService/ModelInfer', 'SPAN_KIND_CLIENT'],
    ]);
    const [server, identify, , , , , client] = spans;
    expect(server).toMatchObject({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      parentSpanId: '',
      startNanos: nanos(0),
      endNanos: nanos(1_840),
      status: 'STATUS_CODE_UNSET',
      links: [],
      scope: 'bulkhead 0.1.0',
    });
    expect(identify).toMatchObject({ parentSpanId: server?.spanId, startNanos: nanos(4), endNanos: nanos(9) });
    expect(client).toMatchObject({
      spanId: '00f067aa0ba902b7',
      parentSpanId: server?.spanId,
      startNanos: nanos(61),
      endNanos: nanos(1_802),
      status: 'STATUS_CODE_UNSET',
    });
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(spans.length);
  });

  it('have the same ids when a record is delivered twice', () => {
    expect(spansOf(callRecord({}))).toEqual(spansOf(callRecord({})));
  });

  it('say who called what, and what was decided by which rule', () => {
    const [server] = spansOf(callRecord({}));
    expect(server?.attributes).toEqual({
      'rpc.system.name': 'grpc',
      'rpc.method': 'inference.GRPCInferenceService/ModelInfer',
      'rpc.response.status_code': 'OK',
      'rpc.status_code': 'OK',
      'network.peer.address': '10.4.17.203',
      'network.peer.port': 48_112,
      'tls.client.hash.sha256': '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
      'bulkhead.tenant.id': 'acme',
      'bulkhead.tenant.verified': true,
      'bulkhead.caller.id': 'token:alice@acme.example',
      'bulkhead.model.name': 'digits',
      'bulkhead.model.version': '1',
      'bulkhead.decision': 'allow',
      'bulkhead.decision.rule': 'tenants/acme.yaml:41 role predict',
      'bulkhead.outcome': 'ok',
      'bulkhead.upstream': 'http://127.0.0.1:8001',
      'bulkhead.request.bytes': 3_322,
      'bulkhead.response.bytes': 104,
      'bulkhead.request.messages': 1,
      'bulkhead.response.messages': 1,
      'bulkhead.config.generation': 1,
    });
    expect(server?.resource).toMatchObject({
      'service.name': 'bulkhead',
      'service.version': '0.1.0',
      'service.instance.id': 'pod-7',
      'process.pid': 42,
      'telemetry.sdk.language': 'nodejs',
    });
  });

  it('say what rules in shadow would have decided, and nothing where they agree', () => {
    const shadow = { verdict: 'deny', rule: 'tenants/acme.yaml:40 denyRules[0] → nights' } as const;
    const [server] = spansOf(callRecord({ shadow }));
    expect(server?.attributes).toMatchObject({
      'bulkhead.decision': 'allow',
      'bulkhead.shadow.decision': 'deny',
      'bulkhead.shadow.rule': shadow.rule,
    });
    const [plain] = spansOf(callRecord({}));
    expect(Object.keys(plain?.attributes ?? {}).filter((name) => name.includes('shadow'))).toEqual([]);
  });

  it('show each gate as an event with its verdict and time', () => {
    const [server] = spansOf(DENIED);
    expect(server?.events).toEqual([
      { name: 'bulkhead.gate.identify', nanos: nanos(0), attributes: { 'bulkhead.gate.verdict': 'pass' } },
      { name: 'bulkhead.gate.authorize', nanos: nanos(3), attributes: { 'bulkhead.gate.verdict': 'deny' } },
    ]);
  });

  it('of a refused call are not errors, but say deny and why', () => {
    const server = only(spansOf(DENIED));
    expect(server.status).toBe('STATUS_CODE_UNSET');
    expect(server.attributes).toMatchObject({
      'rpc.response.status_code': 'PERMISSION_DENIED',
      'bulkhead.decision': 'deny',
      'bulkhead.decision.reason': 'model_denied',
      'bulkhead.decision.detail': 'role predict has digits only',
      'bulkhead.outcome': 'denied',
    });
    expect(server.attributes).not.toHaveProperty('error.type');
    expect(server.attributes).not.toHaveProperty('bulkhead.upstream');
  });

  it.each(Array.from({ length: 17 }, (_, status) => status))(
    'of status %i are errors where the conventions say so',
    (status) => {
      const outcome = status === 0 ? 'ok' : 'failed';
      const spans = spansOf(callRecord({ outcome, grpcStatus: status }));
      const isServerError = [2, 4, 12, 13, 14, 15].includes(status);
      expect(spans[0]?.status).toBe(isServerError ? 'STATUS_CODE_ERROR' : 'STATUS_CODE_UNSET');
      expect('error.type' in (spans[0]?.attributes ?? {})).toBe(isServerError);
      expect(spans.at(-1)?.status).toBe(status === 0 ? 'STATUS_CODE_UNSET' : 'STATUS_CODE_ERROR');
    },
  );

  it('link to the client’s trace, or hang below it when the tenant is trusted', () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const spanId = '00f067aa0ba902b7';
    const [linked] = spansOf(callRecord({ clientTrace: { traceId, spanId, as: 'link' } }));
    expect(linked).toMatchObject({ parentSpanId: '', links: [{ traceId, spanId }] });
    const [child] = spansOf(callRecord({ traceId, clientTrace: { traceId, spanId, as: 'parent' } }));
    expect(child).toMatchObject({ traceId, parentSpanId: spanId, links: [], flags: 0x301 });
  });

  it('are left out for a call that was not sampled, unless it did not end well', () => {
    expect(spansOf(callRecord({ sampled: false }))).toHaveLength(0);
    expect(spansOf({ ...DENIED, sampled: false })).toHaveLength(1);
    expect(spansOf(callRecord({ sampled: false, outcome: 'cancelled', grpcStatus: 1 }))).toHaveLength(7);
  });

  it('of an unknown method are named grpc, with the path that was sent', () => {
    const [server] = spansOf(
      callRecord({ method: '_OTHER', methodOriginal: '/a.B/Drop', grpcStatus: 12, outcome: 'denied' }),
    );
    expect(server).toMatchObject({
      name: 'grpc',
      attributes: { 'rpc.method': '_OTHER', 'rpc.method_original': '/a.B/Drop' },
    });
  });

  it('never mix two callers, although their attributes come from a cache', () => {
    const records = Array.from({ length: 50 }, (_, i) =>
      callRecord({
        tenant: `tenant-${i % 5}`,
        caller: `key:${i % 7}`,
        modelVersion: String(i % 3),
        tenantVerified: i % 2 === 0,
      }),
    );
    const servers = spansOf(...records, ...records).filter(({ kind }) => kind === 'SPAN_KIND_SERVER');
    for (const [i, record] of [...records, ...records].entries()) {
      expect(servers[i]?.attributes).toMatchObject({
        'bulkhead.tenant.id': record.tenant,
        'bulkhead.tenant.verified': record.tenantVerified,
        'bulkhead.caller.id': record.caller,
        'bulkhead.model.version': record.modelVersion,
      });
    }
  });
});

describe('what is written as it was for an earlier call', () => {
  it('is each call’s own all the same: callers, connections and numbers in any order', () => {
    const records = Array.from({ length: 120 }, (_, i) =>
      callRecord({
        caller: `key:${i % 3}`,
        model: i % 5 === 0 ? '' : `m${i % 4}`,
        // Two of these ports share a place.
        peerPort: [1, 65, 2][i % 3] ?? 0,
        requestBytes: i % 2 === 0 ? 5 : 2 ** 40 + (i % 7),
        responseBytes: i % 11,
        requestMessages: i % 2,
        responseMessages: i % 3,
        generation: 1 + (i % 2),
      }),
    );
    const spans = spansOf(...records);
    const servers = spans.filter(({ kind }) => kind === 'SPAN_KIND_SERVER');
    const clients = spans.filter(({ kind }) => kind === 'SPAN_KIND_CLIENT');
    const logs = logsOf(...records);
    for (const [i, record] of records.entries()) {
      const alone = spansOf(record);
      expect(servers[i]?.attributes).toEqual(alone.find(({ kind }) => kind === 'SPAN_KIND_SERVER')?.attributes);
      expect(clients[i]?.attributes).toEqual(alone.find(({ kind }) => kind === 'SPAN_KIND_CLIENT')?.attributes);
      const { 'bulkhead.audit.record': _place, ...attributes } = logs[i]?.attributes ?? {};
      const { 'bulkhead.audit.record': _other, ...own } = only(logsOf(record)).attributes;
      expect(attributes).toEqual(own);
      expect(own).toMatchObject({ 'bulkhead.caller.id': record.caller });
    }
  });
});

describe('the audit log of a record', () => {
  it('has its event name, its trace and its place in the chain', () => {
    const log = only(logsOf(callRecord({})));
    expect(log).toMatchObject({
      eventName: 'bulkhead.audit.call',
      severity: 'INFO',
      body: 'call ok OK',
      nanos: nanos(1_840),
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
    });
    expect(log.attributes).toMatchObject({
      'bulkhead.tenant.id': 'acme',
      'bulkhead.duration_us': 1_840,
      'bulkhead.audit.writer': 'worker-0',
      'bulkhead.audit.segment': 7,
      'bulkhead.audit.record': 1,
      'bulkhead.audit.hash': HASH,
    });
  });

  it('is there also when the call was not sampled', () => {
    expect(logsOf(callRecord({ sampled: false }))).toHaveLength(1);
  });

  it('tells a refusal before there was a call, and its tenant as a claim', () => {
    const log = only(logsOf(refusalRecord({})));
    expect(log).toMatchObject({ eventName: 'bulkhead.audit.refusal', severity: 'WARN', traceId: '', spanId: '' });
    expect(log.attributes).toMatchObject({
      'bulkhead.refusal.reason': 'TLS_CLIENT_CERT_REQUIRED',
      'bulkhead.refusal.count': 3,
      'bulkhead.tenant.id': 'acme',
      'bulkhead.tenant.verified': false,
      'tls.client.server_name': 'acme.models.example',
      'network.peer.address': '203.0.113.9',
    });
  });

  it('tells an event', () => {
    expect(only(logsOf(eventRecord({})))).toMatchObject({
      eventName: 'bulkhead.audit.event',
      body: 'config.reloaded',
      attributes: { 'bulkhead.event': 'config.reloaded', 'bulkhead.decision.detail': 'generation 2' },
    });
  });

  it('takes the longest texts and the largest numbers', () => {
    const long = '€'.repeat(MAX_TEXT_CHARS);
    const record = callRecord({
      caller: long,
      detail: long,
      rule: long,
      methodOriginal: long,
      requestBytes: 2 ** 53 - 1,
    });
    const log = only(logsOf(record));
    expect(log.attributes).toMatchObject({ 'bulkhead.caller.id': long, 'bulkhead.request.bytes': 2 ** 53 - 1 });
    expect(spansOf(record)[0]?.attributes['bulkhead.decision.detail']).toBe(long);
  });
});
