/**
 * What the death of an upstream stream means for its call.
 */
import type { ResetCause } from '../http2/contract.ts';
import { ErrorCode } from '../http2/error-code.ts';
import type { Denial } from '../kernel/denial.ts';

/** The peer says that it never looked at the stream (RFC 9113 §8.7, gRFC A6). */
export function isUntouched(cause: ResetCause): boolean {
  switch (cause.by) {
    case 'peer':
      return cause.code === ErrorCode.REFUSED_STREAM;
    case 'connection':
      return cause.unprocessed;
    case 'us':
      return false;
  }
}

/** The gRPC mapping of a stream's death (PROTOCOL-HTTP2.md, "Errors"): refused means untouched, so it may be tried again. */
export function denialOf(cause: ResetCause, upstream: string): Denial {
  if (cause.by === 'peer') {
    if (cause.code === ErrorCode.REFUSED_STREAM)
      return { kind: 'upstream_unavailable', upstream, why: 'refused the stream' };
    const why = `reset the stream with code ${cause.code}`;
    return { kind: 'upstream_protocol', upstream, why, resetCode: cause.code };
  }
  if (cause.by === 'us') return { kind: 'upstream_protocol', upstream, why: cause.why };
  const { end } = cause;
  // That a client certificate is refused, TLS 1.3 tells only after the handshake: here.
  const detail = end.kind === 'socket_error' ? `: ${end.error.message}` : '';
  return { kind: 'upstream_unavailable', upstream, why: `the connection ended (${end.kind}${detail})` };
}
