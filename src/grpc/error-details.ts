/**
 * The google.rpc messages that tell a refused caller what it can do about it (google/rpc/error_details.proto). Every text
 * that came from the caller is cut, so that a reply cannot be made to outgrow a header block.
 */
import type { ProtobufWriter } from '../protobuf/writer.ts';

/** Writes one `google.protobuf.Any` as an element of `google.rpc.Status.details`. */
export type ErrorDetail = (status: ProtobufWriter) => void;

/** Why, for a program: `reason` is `[A-Z][A-Z0-9_]+[A-Z0-9]`, metadata keys are lowerCamelCase with the unit in the key. */
export function errorInfo(reason: string, metadata: Readonly<Record<string, string>>): ErrorDetail {
  return (status) => {
    beginAny(status, 'ErrorInfo').string(1, reason).string(2, ERROR_DOMAIN);
    mapField(status, 3, metadata);
    endAny(status);
  };
}

/** When to come back. */
export function retryInfo(delayMs: number): ErrorDetail {
  const wholeMs = Math.ceil(delayMs);
  return (status) => {
    beginAny(status, 'RetryInfo')
      .begin(1)
      .integer(1, Math.floor(wholeMs / 1_000))
      .integer(2, (wholeMs % 1_000) * 1_000_000)
      .end();
    endAny(status);
  };
}

export interface QuotaViolation {
  readonly subject: string;
  readonly description: string;
  readonly metric: string;
  readonly id: string;
  readonly dimensions: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Which limit was hit. */
export function quotaFailure(violation: QuotaViolation): ErrorDetail {
  return quotaFailures([violation]);
}

/** Which limits were hit, one violation each. */
export function quotaFailures(violations: readonly QuotaViolation[]): ErrorDetail {
  return (status) => {
    beginAny(status, 'QuotaFailure');
    for (const violation of violations) {
      status
        .begin(1)
        .string(1, cut(violation.subject))
        .string(2, violation.description)
        .string(3, ERROR_DOMAIN)
        .string(4, violation.metric)
        .string(5, violation.id);
      mapField(status, 6, violation.dimensions);
      status.integer(7, Math.max(0, Math.floor(violation.value))).end();
    }
    endAny(status);
  };
}

/** Which part of the request is wrong. */
export function badRequest(field: string, description: string, reason: string): ErrorDetail {
  return (status) => {
    beginAny(status, 'BadRequest').begin(1).string(1, cut(field)).string(2, description).string(3, reason).end();
    endAny(status);
  };
}

/** What could not be reached with the caller's permissions. */
export function resourceInfo(type: string, name: string): ErrorDetail {
  return (status) => {
    beginAny(status, 'ResourceInfo').string(1, type).string(2, cut(name));
    endAny(status);
  };
}

/** `ErrorInfo.domain`: whose reasons these are. */
const ERROR_DOMAIN = 'bulkhead';

/** Characters kept of a text that the caller chose: at most 768 octets of UTF-8. */
const MAX_TEXT = 256;

function cut(text: string): string {
  return text.length <= MAX_TEXT ? text : text.slice(0, MAX_TEXT);
}

function beginAny(status: ProtobufWriter, type: string): ProtobufWriter {
  return status.begin(3).string(1, `type.googleapis.com/google.rpc.${type}`).begin(2);
}

function endAny(status: ProtobufWriter): void {
  status.end().end();
}

function mapField(message: ProtobufWriter, field: number, entries: Readonly<Record<string, string>>): void {
  for (const key of Object.keys(entries)) {
    message
      .begin(field)
      .string(1, key)
      .string(2, cut(entries[key] ?? ''))
      .end();
  }
}
