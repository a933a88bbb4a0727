/**
 * Audit logs as OTLP log records with an EventName. Each carries its place in the chain (writer, segment, number, hash), so
 * that what the collector keeps can be held against the segments.
 */
import type { CallView } from '../audit/call-view.ts';
import { OUTCOMES } from '../audit/codec.ts';
import type { EventRecord, RefusalRecord } from '../audit/record.ts';
import {
  ATTRIBUTES_OF,
  blockOf,
  booleanAttribute,
  integerAttribute,
  stringAttribute,
  textAttribute,
} from './attributes.ts';
import { CallAttributes, KEY } from './call-attributes.ts';
import { AUDIT_EVENT, statusText } from './names.ts';
import type { OtlpBytes } from './otlp-bytes.ts';
import { hasTrace, isTraced, SAMPLED } from './span-writer.ts';

// opentelemetry/proto/logs/v1/logs.proto
const RECORDS = 2; // in ScopeLogs
const LOG = {
  time: 1,
  severityNumber: 2,
  severityText: 3,
  body: 5,
  flags: 8,
  traceId: 9,
  spanId: 10,
  observedTime: 11,
  eventName: 12,
} as const;
const SEVERITY = { info: 9, warn: 13, error: 17 } as const;
const FIELD = ATTRIBUTES_OF.log;
/** More than a log record's ids, times and flags take. */
const FRAMING_BYTES = 128;

/** Where a record stands. */
export interface ChainPosition {
  /** `chainBlock` of the writer's segment. */
  readonly segment: Buffer;
  /** Record number in the segment. */
  readonly record: number;
  /** Where the chain hash lies: 32 bytes. */
  readonly bytes: Buffer;
  readonly hashAt: number;
}

/** The attributes that are the same for all records of a segment. */
export function chainBlock(writer: string, sequence: number): Buffer {
  return blockOf((out) => {
    stringAttribute(out, FIELD, KEY.auditWriter, writer);
    integerAttribute(out, FIELD, KEY.auditSegment, sequence);
  });
}

export class LogWriter {
  readonly #attributes = new CallAttributes(FIELD);
  /** Per status and outcome: event name, severity and body. */
  readonly #heads: (Buffer | undefined)[] = [];
  readonly #hex = Buffer.alloc(64);

  /** Appends a call as `ScopeLogs.log_records`. */
  call(out: OtlpBytes, view: CallView, position: ChainPosition): void {
    const head = this.#callHead(view);
    out.reserve(FRAMING_BYTES + head.length);
    const log = out.begin(RECORDS);
    const time = view.startedAt + view.durationMicros;
    out.nanos(LOG.time, time);
    out.nanos(LOG.observedTime, time);
    if (hasTrace(view)) {
      out.bytesField(LOG.traceId, view.bytes, view.traceIdAt, view.traceIdAt + 16);
      out.bytesField(LOG.spanId, view.bytes, view.spanIdAt, view.spanIdAt + 8);
      if (isTraced(view)) out.fixed32(LOG.flags, SAMPLED);
    }
    out.block(head);
    this.#attributes.write(out, view);
    integerAttribute(out, FIELD, KEY.durationMicros, view.durationMicros);
    this.#chain(out, position);
    out.end(log);
  }

  /** Appends refusals that were gathered into one record. */
  refusal(out: OtlpBytes, record: RefusalRecord, position: ChainPosition): void {
    this.#rare(out, AUDIT_EVENT.refusal, SEVERITY.warn, `refused ${record.reason}`, record.at, position, () => {
      stringAttribute(out, FIELD, KEY.refusalReason, record.reason);
      stringAttribute(out, FIELD, KEY.serverName, record.serverName);
      stringAttribute(out, FIELD, KEY.tenantId, record.tenantClaim);
      booleanAttribute(out, FIELD, KEY.tenantVerified, false);
      stringAttribute(out, FIELD, KEY.peerAddress, record.peerAddress);
      stringAttribute(out, FIELD, KEY.decisionDetail, record.detail);
      integerAttribute(out, FIELD, KEY.refusalCount, record.count);
    });
  }

  /** Appends an event. */
  event(out: OtlpBytes, record: EventRecord, position: ChainPosition): void {
    this.#rare(out, AUDIT_EVENT.event, SEVERITY.info, record.event, record.at, position, () => {
      stringAttribute(out, FIELD, KEY.event, record.event);
      stringAttribute(out, FIELD, KEY.decisionDetail, record.detail);
    });
  }

  #rare(
    out: OtlpBytes,
    eventName: string,
    severity: number,
    body: string,
    at: number,
    position: ChainPosition,
    attributes: () => void,
  ): void {
    const head = headBlock(eventName, severity, body);
    out.reserve(FRAMING_BYTES + head.length);
    const log = out.begin(RECORDS);
    out.nanos(LOG.time, at);
    out.nanos(LOG.observedTime, at);
    out.block(head);
    attributes();
    this.#chain(out, position);
    out.end(log);
  }

  #callHead(view: CallView): Buffer {
    const index = view.grpcStatus * OUTCOMES.length + view.outcome;
    let block = this.#heads[index];
    if (block === undefined) {
      const outcome = OUTCOMES[view.outcome] ?? 'failed';
      const body = `call ${outcome} ${statusText(view.grpcStatus)}`;
      block = headBlock(AUDIT_EVENT.call, severityOf(outcome), body);
      this.#heads[index] = block;
    }
    return block;
  }

  #chain(out: OtlpBytes, position: ChainPosition): void {
    out.reserve(position.segment.length);
    out.block(position.segment);
    integerAttribute(out, FIELD, KEY.auditRecord, position.record);
    for (let i = 0; i < 32; i++) {
      const byte = position.bytes[position.hashAt + i] ?? 0;
      this.#hex[2 * i] = HEX_DIGITS[byte >> 4] ?? 0;
      this.#hex[2 * i + 1] = HEX_DIGITS[byte & 15] ?? 0;
    }
    textAttribute(out, FIELD, KEY.auditHash, this.#hex, 0, 64);
  }
}

const HEX_DIGITS = Buffer.from('0123456789abcdef', 'latin1');

function severityOf(outcome: (typeof OUTCOMES)[number]): number {
  switch (outcome) {
    case 'ok':
    case 'cancelled':
      return SEVERITY.info;
    case 'denied':
      return SEVERITY.warn;
    case 'failed':
      return SEVERITY.error;
  }
}

function headBlock(eventName: string, severity: number, body: string): Buffer {
  return blockOf((out) => {
    out.integer(LOG.severityNumber, severity);
    out.stringField(
      LOG.severityText,
      severity === SEVERITY.info ? 'INFO' : severity === SEVERITY.warn ? 'WARN' : 'ERROR',
    );
    const any = out.begin(LOG.body);
    out.stringField(1, body);
    out.end(any);
    out.stringField(LOG.eventName, eventName);
  });
}
