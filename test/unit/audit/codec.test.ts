import { describe, expect, it } from 'vitest';
import { encodeRecord, MAX_GATES, MAX_PAYLOAD_BYTES, MAX_TEXT_CHARS } from '../../../src/audit/codec.ts';
import { decodeRecord } from '../../../src/audit/decode-record.ts';
import type { AuditRecord, CallRecord, GateRecord } from '../../../src/audit/record.ts';
import { callRecord, eventRecord, refusalRecord } from '../../fakes/audit-records.ts';

function encoded(record: AuditRecord): Buffer {
  const target = Buffer.alloc(MAX_PAYLOAD_BYTES + 7, 0xee);
  return target.subarray(7, encodeRecord(record, target, 7));
}

function roundTrip(record: AuditRecord): AuditRecord {
  const decoded = decodeRecord(encoded(record));
  if (!decoded.ok) throw new Error(decoded.error);
  return decoded.value;
}

describe('encoding a record', () => {
  it('gives back a call as it was', () => {
    const record = callRecord({});
    expect(roundTrip(record)).toEqual(record);
  });

  it.each<Partial<CallRecord>>([
    { tenantVerified: false, caller: '', certificateSha256: '', upstreamSpanId: '', gates: [], sampled: false },
    { clientTrace: { traceId: 'f'.repeat(32), spanId: '1'.repeat(16), as: 'link' } },
    { clientTrace: { traceId: 'f'.repeat(32), spanId: '1'.repeat(16), as: 'parent' } },
    { outcome: 'cancelled', grpcStatus: 1 },
    { outcome: 'failed', grpcStatus: 14, reason: 'upstream_unavailable' },
    { caller: 'token:Zoë 🐙', detail: 'ł'.repeat(MAX_TEXT_CHARS) },
    { requestBytes: 2 ** 53 - 1, durationMicros: 2 ** 40, responseBytes: 127, requestMessages: 128 },
    { rule: 'x'.repeat(42), model: 'y'.repeat(43), method: 'z'.repeat(127), upstream: 'u'.repeat(128) },
  ])('gives back a call with %j', (different) => {
    const record = callRecord(different);
    expect(roundTrip(record)).toEqual(record);
  });

  it('gives back refusals and events as they were', () => {
    for (const record of [refusalRecord({}), refusalRecord({ serverName: '', count: 70_000 }), eventRecord({})]) {
      expect(roundTrip(record)).toEqual(record);
    }
  });

  it('keeps a text of the most characters, and cuts one with one more', () => {
    const longest = 'a'.repeat(MAX_TEXT_CHARS);
    expect(roundTrip(callRecord({ detail: longest }))).toMatchObject({ detail: longest });
    expect(roundTrip(callRecord({ detail: `${longest}b` }))).toMatchObject({ detail: longest });
  });

  it('keeps the most gates, and leaves out one more', () => {
    const gate: GateRecord = { gate: 'inspect', fromMicros: 2 ** 52, toMicros: 2 ** 52 + 1, verdict: 'fail' };
    const kept = Array.from({ length: MAX_GATES }, () => gate);
    expect(roundTrip(callRecord({ gates: kept }))).toMatchObject({ gates: kept });
    expect(roundTrip(callRecord({ gates: [...kept, gate] }))).toMatchObject({ gates: kept });
  });

  it('never needs more than the room it asks for', () => {
    const text = '€'.repeat(MAX_TEXT_CHARS);
    const gate: GateRecord = { gate: 'upstream', fromMicros: 2 ** 52, toMicros: 2 ** 53, verdict: 'fail' };
    const record = callRecord({
      tenant: text,
      caller: text,
      peerAddress: text,
      method: text,
      methodOriginal: text,
      model: text,
      modelVersion: text,
      reason: text,
      rule: text,
      detail: text,
      upstream: text,
      proxyAddress: text,
      gates: Array.from({ length: MAX_GATES }, () => gate),
      clientTrace: { traceId: 'f'.repeat(32), spanId: '1'.repeat(16), as: 'link' },
      requestBytes: 2 ** 53,
      responseBytes: 2 ** 53,
    });
    expect(encoded(record).length).toBeLessThanOrEqual(MAX_PAYLOAD_BYTES);
    expect(decodeRecord(encoded(record)).ok).toBe(true);
  });
});

describe('decoding a payload', () => {
  it('refuses every shorter and longer one', () => {
    for (const record of [callRecord({}), refusalRecord({}), eventRecord({})]) {
      const whole = encoded(record);
      for (let length = 0; length < whole.length; length++) {
        expect(decodeRecord(whole.subarray(0, length)), `${record.type} cut to ${length}`).toMatchObject({ ok: false });
      }
      expect(decodeRecord(Buffer.concat([whole, Buffer.from([0])]))).toEqual({
        ok: false,
        error: 'bytes after the record',
      });
    }
  });

  it('gives back what rules in shadow would have decided', () => {
    for (const verdict of ['allow', 'deny'] as const) {
      for (const rule of ['', 'tenants/acme.yaml:40 deny[0] → nächte', 'x'.repeat(MAX_TEXT_CHARS)]) {
        const record = callRecord({ shadow: { verdict, rule } });
        expect(decodeRecord(encoded(record))).toEqual({ ok: true, value: record });
      }
    }
  });

  it('writes a record that rules in shadow agree with as it always did', () => {
    const plain = encoded(callRecord({}));
    const shadowed = encoded(callRecord({ shadow: { verdict: 'deny', rule: 'r' } }));
    expect(shadowed.length).toBe(plain.length + 3);
    expect(plain[1]).toBe(1 + 2 + 16);
  });

  it('gives back what was counted beside the call and its bytes', () => {
    const consumed = { tensorElements: 2 ** 53 - 1, inputTokens: 0, outputTokens: 300, computeMicros: 1 };
    for (const record of [
      callRecord({ consumed }),
      callRecord({ consumed, shadow: { verdict: 'deny', rule: 'r' }, proxyAddress: '10.0.0.1' }),
    ])
      expect(decodeRecord(encoded(record))).toEqual({ ok: true, value: record });
  });

  it('refuses what the encoder cannot have written', () => {
    const altered = (at: number, byte: number): Buffer => {
      const payload = Buffer.from(encoded(callRecord({})));
      payload[at] = byte;
      return payload;
    };
    expect(decodeRecord(altered(0, 4))).toEqual({ ok: false, error: 'unknown record type' });
    // The flag says that there is more behind the last text.
    expect(decodeRecord(altered(1, 1 + 2 + 16 + 128))).toEqual({ ok: false, error: 'a number or text is malformed' });
    expect(decodeRecord(altered(1, 1 + 2 + 16 + 64))).toEqual({ ok: false, error: 'unknown verdict in shadow' });
    const shadowed = encoded(callRecord({ shadow: { verdict: 'deny', rule: 'r' } }));
    shadowed[shadowed.length - 3] = 2;
    expect(decodeRecord(shadowed)).toEqual({ ok: false, error: 'unknown verdict in shadow' });
    expect(decodeRecord(altered(1, 8))).toEqual({ ok: false, error: 'a parent without a client trace' });
    expect(decodeRecord(altered(2, 4))).toEqual({ ok: false, error: 'unknown outcome' });
    expect(decodeRecord(altered(11, 0x7f))).toEqual({ ok: false, error: 'start time out of range' });
    const text = encoded(eventRecord({ event: 'aé', detail: '' }));
    text[11] = 0xff;
    expect(decodeRecord(text)).toEqual({ ok: false, error: 'text is not UTF-8' });
  });

  it('refuses a number that is not in its shortest form', () => {
    const payload = encoded(refusalRecord({ count: 3 }));
    const padded = Buffer.concat([payload.subarray(0, 9), Buffer.from([0x83, 0x00]), payload.subarray(10)]);
    expect(decodeRecord(padded)).toEqual({ ok: false, error: 'a number is malformed' });
  });
});
