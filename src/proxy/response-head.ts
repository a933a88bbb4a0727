/**
 * A header block from the model server, checked before it is passed on: informational, initial, Trailers-Only, or trailers.
 */
import { isGrpcContentType } from '../grpc/content-type.ts';
import { GrpcStatus } from '../grpc/status.ts';
import type { HeaderBlock } from '../http2/contract.ts';
import type { Denial } from '../kernel/denial.ts';

export type Response =
  /** 1xx: gRPC gives it no meaning; the final block follows. */
  | { readonly kind: 'informational' }
  | { readonly kind: 'valid'; readonly block: HeaderBlock; readonly status: number }
  | { readonly kind: 'invalid'; readonly denial: Denial };

const INFORMATIONAL: Response = { kind: 'informational' };

/** Reads a block. `status` has a meaning only when the block ends the stream. */
export function readResponse(block: HeaderBlock, endStream: boolean, isTrailer: boolean, upstream: string): Response {
  let httpStatus = '';
  let contentType: string | undefined;
  let grpcStatus: string | undefined;
  for (let i = 0; i < block.length; i += 2) {
    const name = block[i];
    if (name === ':status') httpStatus = block[i + 1] ?? '';
    else if (name === 'content-type') contentType = block[i + 1];
    else if (name === 'grpc-status') grpcStatus = block[i + 1];
  }
  if (!isTrailer) {
    if (httpStatus.startsWith('1') && !endStream) return INFORMATIONAL;
    const isGrpc = contentType !== undefined && isGrpcContentType(contentType);
    // Where there is a status of gRPC's own, HTTP's means nothing.
    if (isGrpc && httpStatus !== '200' && endStream && grpcStatus !== undefined) {
      return { kind: 'valid', block: withHttpStatus('200', block), status: parseStatus(grpcStatus) };
    }
    if (httpStatus !== '200' || !isGrpc) {
      return { kind: 'invalid', denial: notGrpc(httpStatus, upstream) };
    }
  }
  return { kind: 'valid', block, status: endStream ? parseStatus(grpcStatus) : GrpcStatus.OK };
}

/** http-grpc-status-mapping.md: what a proxy or server that is not gRPC says, as far as a caller can act on it. */
function notGrpc(httpStatus: string, upstream: string): Denial {
  const why = `HTTP status ${httpStatus} without a gRPC response`;
  const busy = httpStatus === '429' || httpStatus === '502' || httpStatus === '503' || httpStatus === '504';
  if (busy) return { kind: 'upstream_unavailable', upstream, why };
  return { kind: 'upstream_protocol', upstream, why, httpStatus: Number(httpStatus) };
}

function withHttpStatus(status: string, block: HeaderBlock): HeaderBlock {
  return block.map((text, index) => (index % 2 === 1 && block[index - 1] === ':status' ? status : text));
}

/** A missing or unreadable `grpc-status` is UNKNOWN, as gRPC clients see it. */
function parseStatus(text: string | undefined): number {
  return text !== undefined && /^(?:\d|1[0-6])$/.test(text) ? Number(text) : GrpcStatus.UNKNOWN;
}
