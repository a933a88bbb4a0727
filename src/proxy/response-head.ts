/**
 * A header block from the upstream, checked before it is passed on: informational, initial, Trailers-Only, or trailers.
 *
 * What different clients would read differently is not passed on: an answer that ends without `grpc-status`, with one that is no
 * number, or with two, is UNKNOWN to every client, and no success on record.
 */
import { isGrpcContentType } from '../grpc/content-type.ts';
import { GrpcStatus } from '../grpc/status.ts';
import type { HeaderBlock } from '../http2/contract.ts';
import { markNeverIndexed, neverIndexedIn } from '../http2/never-indexed.ts';
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
    // Two of them match no status.
    else if (name === 'grpc-status') grpcStatus = grpcStatus === undefined ? block[i + 1] : 'twice';
  }
  if (!isTrailer) {
    if (httpStatus.startsWith('1') && !endStream) return INFORMATIONAL;
    const isGrpc = contentType !== undefined && isGrpcContentType(contentType);
    // Where there is a status of gRPC's own, HTTP's means nothing.
    if (isGrpc && httpStatus !== '200' && endStream && grpcStatus !== undefined) {
      return ending(withHttpStatus('200', block), grpcStatus, upstream);
    }
    if (httpStatus !== '200' || !isGrpc) {
      return { kind: 'invalid', denial: notGrpc(httpStatus, upstream) };
    }
  }
  return endStream ? ending(block, grpcStatus, upstream) : { kind: 'valid', block, status: GrpcStatus.OK };
}

/** An answer that came to its end and said no status: UNKNOWN, by the mapping for HTTP's 200. */
export function endedWithoutStatus(upstream: string): Denial {
  return unclear('the response ended without grpc-status', upstream);
}

/**
 * A block that ends the call. A number that gRPC does not define goes on as it is and counts as UNKNOWN, which is how most clients
 * read it (statuscodes.md) and what some programs use on purpose.
 */
function ending(block: HeaderBlock, grpcStatus: string | undefined, upstream: string): Response {
  if (grpcStatus === undefined) return { kind: 'invalid', denial: endedWithoutStatus(upstream) };
  if (!NUMBER.test(grpcStatus)) {
    return { kind: 'invalid', denial: unclear('grpc-status is not one number', upstream) };
  }
  const status = Number(grpcStatus);
  return { kind: 'valid', block, status: status <= GrpcStatus.UNAUTHENTICATED ? status : GrpcStatus.UNKNOWN };
}

/** One form for each number: `00` is OK to some readers and nothing to others. */
const NUMBER = /^(?:0|[1-9]\d{0,8})$/;

function unclear(why: string, upstream: string): Denial {
  return { kind: 'upstream_protocol', upstream, why, httpStatus: 200 };
}

/** http-grpc-status-mapping.md: what a proxy or server that is not gRPC says, as far as a caller can act on it. */
function notGrpc(httpStatus: string, upstream: string): Denial {
  const why = `HTTP status ${httpStatus} without a gRPC response`;
  const busy = httpStatus === '429' || httpStatus === '502' || httpStatus === '503' || httpStatus === '504';
  if (busy) return { kind: 'upstream_unavailable', upstream, why };
  return { kind: 'upstream_protocol', upstream, why, httpStatus: Number(httpStatus) };
}

function withHttpStatus(status: string, block: HeaderBlock): HeaderBlock {
  const changed = block.map((text, index) => (index % 2 === 1 && block[index - 1] === ':status' ? status : text));
  markNeverIndexed(changed, neverIndexedIn(block));
  return changed;
}
