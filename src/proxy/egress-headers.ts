/**
 * The request's header block as the ingress gets it: the client's own metadata with its credentials, which are meant for the
 * ingress, and without whatever would pretend to an identity. Who calls is said by the certificate alone.
 */
import type { UpstreamConfig } from '../config/upstream-config.ts';
import { formatTimeout } from '../grpc/timeout.ts';
import { markNeverIndexed } from '../http2/never-indexed.ts';
import type { RequestHead } from './request-head.ts';

export interface EgressHeaders {
  readonly head: RequestHead;
  readonly upstream: UpstreamConfig;
  /** What is left of the client's deadline. */
  readonly timeoutMicros: number | undefined;
  readonly traceparent: string;
}

/** Builds the block. `head.passOn` is free of hop-by-hop and identity headers (`header-fate.ts`). */
export function egressHeaders({ head, upstream, timeoutMicros, traceparent }: EgressHeaders): string[] {
  const block = [
    ':method',
    'POST',
    ':scheme',
    upstream.tls === undefined ? 'http' : 'https',
    ':path',
    head.path,
    ':authority',
    upstream.authority,
    'te',
    'trailers',
  ];
  for (const text of head.passOn) block.push(text);
  if (head.authorization !== undefined) block.push('authorization', head.authorization);
  if (head.apiKey !== undefined) block.push('x-api-key', head.apiKey);
  block.push('traceparent', traceparent);
  if (timeoutMicros !== undefined) block.push('grpc-timeout', formatTimeout(timeoutMicros));
  markNeverIndexed(block, head.neverIndexed);
  return block;
}
