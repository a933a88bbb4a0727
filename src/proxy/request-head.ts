/**
 * A request's header block, parsed once at the edge: what the gates need, and which of its headers may travel on.
 */

import { isGrpcContentType, isProtobufContentType } from '../grpc/content-type.ts';
import { parseMethodPath } from '../grpc/path.ts';
import { parseTimeoutMicros } from '../grpc/timeout.ts';
import type { HeaderBlock } from '../http2/contract.ts';
import { neverIndexedIn } from '../http2/never-indexed.ts';
import { type Denial, deny } from '../kernel/denial.ts';
import { ok, type Result } from '../kernel/result.ts';
import { fateOf } from './header-fate.ts';

/** What the gates need of a request's headers. Nothing here is verified but the syntax. */
export interface RequestHead {
  /** Canonical, `/package.Service/Method`. */
  readonly path: string;
  readonly fullName: string;
  /** `application/grpc`, with whatever follows it. */
  readonly contentType: string;
  readonly timeoutMicros: number | undefined;
  readonly encoding: string;
  /** As sent; two of a kind are joined by `, ` and so match no credential. */
  readonly authorization: string | undefined;
  readonly apiKey: string | undefined;
  readonly traceparent: string | undefined;
  /** Flat name-value pairs that go upstream as they are. */
  readonly passOn: readonly string[];
  /** Names of headers that the client wants in no compression table, on the way on neither. */
  readonly neverIndexed: ReadonlySet<string> | undefined;
}

/** The path as sent, cut for records; empty when there was none. */
export function pathOf(block: HeaderBlock): string {
  for (let i = 0; i < block.length; i += 2) if (block[i] === ':path') return (block[i + 1] ?? '').slice(0, 256);
  return '';
}

/**
 * Parses a request. The path comes first: nothing that decides on a path may see one that is not canonical
 * (CVE-2026-33186 and its kin).
 */
export function parseRequestHead(block: HeaderBlock): Result<RequestHead, Denial> {
  let path = '';
  let method = '';
  let contentType: string | undefined;
  let timeout: string | undefined;
  let encoding: string | undefined;
  let authorization: string | undefined;
  let apiKey: string | undefined;
  let traceparent: string | undefined;
  let repeated: string | undefined;
  const passOn: string[] = [];
  for (let i = 0; i < block.length; i += 2) {
    const name = block[i] ?? '';
    const value = block[i + 1] ?? '';
    switch (fateOf(name)) {
      case 'pass':
        passOn.push(name, value);
        break;
      case 'path':
        path = value;
        break;
      case 'method':
        method = value;
        break;
      case 'content-type':
        if (contentType !== undefined) repeated = name;
        contentType = value;
        passOn.push(name, value);
        break;
      case 'encoding':
        if (encoding !== undefined) repeated = name;
        encoding = value;
        passOn.push(name, value);
        break;
      case 'timeout':
        if (timeout !== undefined) repeated = name;
        timeout = value;
        break;
      case 'authorization':
        authorization = authorization === undefined ? value : `${authorization}, ${value}`;
        break;
      case 'api-key':
        apiKey = apiKey === undefined ? value : `${apiKey}, ${value}`;
        break;
      case 'traceparent':
        traceparent = value;
        break;
      case 'strip':
        break;
    }
  }
  // Before anything else: what is no gRPC gets an answer that is none (gRPC over HTTP/2, Content-Type).
  if (contentType === undefined || !isGrpcContentType(contentType)) {
    return deny({ kind: 'content_type_unsupported', contentType: (contentType ?? '').slice(0, 128) });
  }
  const parsed = parseMethodPath(path);
  if (parsed === undefined) return deny({ kind: 'path_malformed', path: path.slice(0, 256) });
  if (method !== 'POST') return deny({ kind: 'header_malformed', header: ':method', why: 'gRPC calls are POST' });
  // Which of two values counts is for each server to choose: what is decided here must be what it reads.
  if (repeated !== undefined) return deny({ kind: 'header_malformed', header: repeated, why: 'it comes twice' });
  const timeoutMicros = timeout === undefined ? undefined : parseTimeoutMicros(timeout);
  if (timeout !== undefined && timeoutMicros === undefined) {
    return deny({ kind: 'header_malformed', header: 'grpc-timeout', why: 'at most 8 digits and one of H M S m u n' });
  }
  return ok({
    path,
    fullName: parsed.fullName,
    contentType,
    timeoutMicros,
    encoding: encoding ?? 'identity',
    authorization,
    apiKey,
    traceparent,
    passOn,
    neverIndexed: neverIndexedIn(block),
  });
}

/** Why the model cannot be read from the messages of such a call: what cannot be read is not let through. */
export function whyUnreadable(head: RequestHead): Denial | undefined {
  const { contentType, encoding } = head;
  if (!isProtobufContentType(contentType)) return { kind: 'content_type_unsupported', contentType };
  return encoding === 'identity' || encoding === 'gzip' ? undefined : { kind: 'encoding_unsupported', encoding };
}
