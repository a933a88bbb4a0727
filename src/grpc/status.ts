/**
 * gRPC status codes, and which one stands for a failure that gRPC did not speak of itself.
 */

export const GrpcStatus = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

export type GrpcStatus = (typeof GrpcStatus)[keyof typeof GrpcStatus];

const NAMES: readonly string[] = Object.keys(GrpcStatus);
const CODES: readonly GrpcStatus[] = Object.values(GrpcStatus);

/** The code's name as traces and metrics write it, `RESOURCE_EXHAUSTED`. */
export function statusName(status: GrpcStatus): string {
  return NAMES[status] ?? 'UNKNOWN';
}

/** Reads a `grpc-status` value. A code that gRPC does not define, or no number at all, counts as UNKNOWN, as clients read it. */
export function parseStatus(text: string): GrpcStatus {
  return (STATUS.test(text) ? CODES[Number(text)] : undefined) ?? GrpcStatus.UNKNOWN;
}

const STATUS = /^\d{1,2}$/;

/** The status for a response without `grpc-status` (gRPC's http-grpc-status-mapping). Never used when there is one. */
export function statusOfHttp(httpStatus: number): GrpcStatus {
  switch (httpStatus) {
    case 400:
    case 431:
      return GrpcStatus.INTERNAL;
    case 401:
      return GrpcStatus.UNAUTHENTICATED;
    case 403:
      return GrpcStatus.PERMISSION_DENIED;
    case 404:
      return GrpcStatus.UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
      return GrpcStatus.UNAVAILABLE;
    default:
      return GrpcStatus.UNKNOWN;
  }
}

/**
 * The status for a stream that the server reset with `code` (gRPC over HTTP/2, Errors). With `deadlinePassed`, a
 * cancellation is told as what it most likely is. A code that the text does not map counts as UNKNOWN.
 */
export function statusOfReset(code: number, deadlinePassed = false): GrpcStatus {
  switch (code) {
    case 0x7: // REFUSED_STREAM: no processing occurred
      return GrpcStatus.UNAVAILABLE;
    case 0x8: // CANCEL
      return deadlinePassed ? GrpcStatus.DEADLINE_EXCEEDED : GrpcStatus.CANCELLED;
    case 0xb: // ENHANCE_YOUR_CALM
      return GrpcStatus.RESOURCE_EXHAUSTED;
    case 0xc: // INADEQUATE_SECURITY
      return GrpcStatus.PERMISSION_DENIED;
    case 0x5: // STREAM_CLOSED: "no mapping"
      return GrpcStatus.UNKNOWN;
    default:
      return code >= 0 && code <= 0xa ? GrpcStatus.INTERNAL : GrpcStatus.UNKNOWN;
  }
}

/** Encodes text as a `grpc-message` value: UTF-8, then every octet outside %x20-24 and %x26-7E as `%XX`. */
export function percentEncodeMessage(text: string): string {
  if (PLAIN.test(text)) return text;
  let encoded = '';
  for (const octet of Buffer.from(text, 'utf8')) {
    encoded +=
      octet >= 0x20 && octet <= 0x7e && octet !== PERCENT
        ? String.fromCharCode(octet)
        : `%${octet.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return encoded;
}

const PERCENT = 0x25;
const PLAIN = /^[ -$&-~]*$/;
