/**
 * What a client got: the gRPC status and, for a refusal, the reason and the time to retry from the status' details.
 */
import { type Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { loadDecoders } from './proto/message-decoder.ts';

export interface Outcome<T> {
  /** `OK`, `PERMISSION_DENIED`, … */
  readonly code: string;
  /** `ErrorInfo.reason`; empty when there is none. */
  readonly reason: string;
  readonly message: string;
  /** From RetryInfo; undefined when there is none. */
  readonly retryAfterMs: number | undefined;
  /** `grpc-retry-pushback-ms`; undefined when there is none. */
  readonly pushbackMs: number | undefined;
  readonly response: T | undefined;
  readonly elapsedMs: number;
}

interface StatusMessage {
  readonly details: readonly { readonly typeUrl: string; readonly value: Buffer }[];
}

interface RetryInfo {
  readonly retryDelay: { readonly seconds: string; readonly nanos: number } | null;
}

const decoder = loadDecoders('rpc_status.proto');
const decodeStatus = decoder<StatusMessage>('Status');
const decodeErrorInfo = decoder<{ readonly reason: string }>('ErrorInfo');
const decodeRetryInfo = decoder<RetryInfo>('RetryInfo');

/** A call that was answered. */
export function succeeded<T>(response: T, elapsedMs: number): Outcome<T> {
  return { code: 'OK', reason: '', message: '', retryAfterMs: undefined, pushbackMs: undefined, response, elapsedMs };
}

/** A call that ended with a status other than OK. */
export function failed<T>(error: ServiceError, elapsedMs: number): Outcome<T> {
  return {
    ...readDetails(error.metadata),
    code: codeName(error.code),
    message: error.details,
    response: undefined,
    elapsedMs,
  };
}

/** The name of a status code. */
export function codeName(code: status): string {
  return status[code] ?? String(code);
}

function readDetails(metadata: Metadata): Pick<Outcome<never>, 'reason' | 'retryAfterMs' | 'pushbackMs'> {
  let reason = '';
  let retryAfterMs: number | undefined;
  const bytes = metadata.get('grpc-status-details-bin')[0];
  for (const detail of bytes instanceof Buffer ? decodeStatus(bytes).details : []) {
    const type = detail.typeUrl.slice(detail.typeUrl.lastIndexOf('.') + 1);
    if (type === 'ErrorInfo') reason = decodeErrorInfo(detail.value).reason;
    if (type === 'RetryInfo') retryAfterMs = durationMs(decodeRetryInfo(detail.value));
  }
  const pushback = metadata.get('grpc-retry-pushback-ms')[0];
  return { reason, retryAfterMs, pushbackMs: pushback === undefined ? undefined : Number(pushback) };
}

function durationMs({ retryDelay }: RetryInfo): number {
  return retryDelay === null ? 0 : Number(retryDelay.seconds) * 1000 + retryDelay.nanos / 1e6;
}
