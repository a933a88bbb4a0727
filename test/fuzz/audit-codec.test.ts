import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CallView } from '../../src/audit/call-view.ts';
import { encodeRecord, GATES, MAX_PAYLOAD_BYTES, OUTCOMES, VERDICTS } from '../../src/audit/codec.ts';
import { decodeRecord } from '../../src/audit/decode-record.ts';
import type { AuditRecord, CallRecord } from '../../src/audit/record.ts';
import { decodeHeader, encodeHeader, ZERO_HASH } from '../../src/audit/segment.ts';
import type { EpochMicros } from '../../src/kernel/ids.ts';

const RUNS = { numRuns: 3_000 };

// Whole characters only: a lone surrogate has no UTF-8.
const text = fc.string({ unit: 'grapheme', maxLength: 200 });
const whole = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const micros = whole.map((value) => value as EpochMicros);
const hex = (digits: number) =>
  fc
    .uint8Array({ minLength: digits / 2, maxLength: digits / 2 })
    .map((bytes) => Buffer.from(bytes).toString('hex'))
    .filter((id) => !/^0+$/.test(id));
const id = (digits: number) => fc.oneof(hex(digits), fc.constant(''));

const call: fc.Arbitrary<CallRecord> = fc.record({
  type: fc.constant('call' as const),
  startedAt: micros,
  durationMicros: whole,
  tenant: text,
  tenantVerified: fc.boolean(),
  caller: text,
  peerAddress: text,
  peerPort: fc.nat({ max: 65_535 }),
  proxyAddress: fc.option(fc.constantFrom('10.0.0.1', ''), { nil: undefined }),
  certificateSha256: fc.oneof(hex(64), fc.constant('')),
  method: text,
  methodOriginal: text,
  model: text,
  modelVersion: text,
  outcome: fc.constantFrom(...OUTCOMES),
  grpcStatus: fc.nat({ max: 16 }),
  reason: text,
  rule: text,
  detail: text,
  requestBytes: whole,
  responseBytes: whole,
  requestMessages: whole,
  responseMessages: whole,
  upstream: text,
  traceId: id(32),
  spanId: id(16),
  upstreamSpanId: id(16),
  sampled: fc.boolean(),
  clientTrace: fc.option(
    fc.record({ traceId: hex(32), spanId: hex(16), as: fc.constantFrom('link' as const, 'parent' as const) }),
    { nil: undefined },
  ),
  gates: fc.array(
    fc
      .tuple(fc.constantFrom(...GATES), fc.nat(), fc.nat(), fc.constantFrom(...VERDICTS))
      .map(([gate, from, length, verdict]) => ({ gate, fromMicros: from, toMicros: from + length, verdict })),
    { maxLength: 12 },
  ),
  generation: whole,
});

const record: fc.Arbitrary<AuditRecord> = fc.oneof(
  { weight: 3, arbitrary: call },
  fc.record({
    type: fc.constant('refusal' as const),
    at: micros,
    reason: text,
    serverName: text,
    tenantClaim: text,
    peerAddress: text,
    detail: text,
    count: whole,
  }),
  fc.record({ type: fc.constant('event' as const), at: micros, event: text, detail: text }),
);

function encoded(value: AuditRecord): Buffer {
  const target = Buffer.alloc(MAX_PAYLOAD_BYTES);
  return target.subarray(0, encodeRecord(value, target, 0));
}

test('every record comes back as it was', () => {
  fc.assert(
    fc.property(record, (value) => {
      expect(decodeRecord(encoded(value))).toEqual({ ok: true, value });
    }),
    RUNS,
  );
});

test('whatever the decoder accepts is what the encoder writes, byte for byte', () => {
  const mutated = fc.tuple(record, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 3 }));
  fc.assert(
    fc.property(mutated, ([value, changes]) => {
      const bytes = encoded(value);
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      const decoded = decodeRecord(bytes);
      if (decoded.ok) expect(encoded(decoded.value).equals(bytes) || hasZeroId(decoded.value)).toBe(true);
    }),
    RUNS,
  );
});

/** An all-zero client id is read as none; no encoder of ours is given one. */
function hasZeroId(value: AuditRecord): boolean {
  return value.type === 'call' && (value.clientTrace?.traceId === '' || value.clientTrace?.spanId === '');
}

test('no bytes make a decoder throw or read outside of them', () => {
  const view = new CallView();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat({ max: 3 }), (noise, type) => {
      const bytes = Buffer.from(noise);
      if (bytes.length > 0) bytes[0] = type;
      decodeRecord(bytes);
      if (view.read(bytes, 0, bytes.length) === undefined) {
        for (const end of view.textEnd) expect(end).toBeLessThanOrEqual(bytes.length);
      }
      decodeHeader(bytes);
    }),
    RUNS,
  );
});

test('a header comes back as it was, and with any change does not', () => {
  fc.assert(
    fc.property(whole, whole, fc.nat(), fc.nat({ max: 254 }), (sequence, at, place, by) => {
      const header = encodeHeader({ writer: 'worker-0', sequence }, at, ZERO_HASH);
      expect(decodeHeader(header)).toMatchObject({
        ok: true,
        value: { writer: 'worker-0', sequence, createdAtMicros: at },
      });
      const index = place % header.length;
      header[index] = (header[index] ?? 0) ^ (by + 1);
      expect(decodeHeader(header).ok).toBe(false);
    }),
    RUNS,
  );
});
