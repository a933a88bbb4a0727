/**
 * The request's header block as the model server gets it: the client's own metadata, and what we have verified about it.
 */
import type { Caller } from '../authn/authenticator.ts';
import { formatTimeout } from '../grpc/timeout.ts';
import { markNeverIndexed } from '../http2/never-indexed.ts';
import type { Peer } from '../identity/peer.ts';
import { fateOf, type HeaderFate } from './header-fate.ts';
import type { RequestHead } from './request-head.ts';

/** What a call adds to the client's own metadata. */
export interface UpstreamHeaders {
  readonly head: RequestHead;
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  readonly peer: Peer;
  readonly caller: Caller;
  /** What is left of the client's deadline. */
  readonly timeoutMicros: number | undefined;
  readonly traceparent: string;
  /** The response is read, and so must not be compressed. */
  readonly plainResponse: boolean;
}

/** Builds the block. Identity headers come from evidence only (wire-conventions 4.5). */
export function upstreamHeaders(parts: UpstreamHeaders): string[] {
  const { head } = parts;
  const block = [
    ':method',
    'POST',
    ':scheme',
    parts.scheme,
    ':path',
    head.path,
    ':authority',
    parts.authority,
    'te',
    'trailers',
  ];
  if (parts.plainResponse) pushWithout(ACCEPT_ENCODING, head.passOn, block);
  else for (const text of head.passOn) block.push(text);
  for (const text of identityHeaders(parts.caller, parts.peer)) block.push(text);
  block.push('traceparent', parts.traceparent);
  if (parts.timeoutMicros !== undefined) block.push('grpc-timeout', formatTimeout(parts.timeoutMicros));
  if (head.neverIndexed !== undefined && mayTravel(head.neverIndexed)) markNeverIndexed(block, head.neverIndexed);
  return block;
}

function pushWithout(name: string, pairs: readonly string[], block: string[]): void {
  for (let at = 0; at < pairs.length; at += 2) if (pairs[at] !== name) block.push(pairs[at] ?? '', pairs[at + 1] ?? '');
}

const ACCEPT_ENCODING = 'grpc-accept-encoding';

/** Most clients say it of their credentials alone, which end here. */
function mayTravel(names: ReadonlySet<string>): boolean {
  for (const name of names) if (!ENDS_HERE.has(fateOf(name))) return true;
  return false;
}

const ENDS_HERE: ReadonlySet<HeaderFate> = new Set(['authorization', 'api-key', 'strip']);

/** Identity headers are the same for all calls of a caller over one certificate: made once. */
const byCaller = new WeakMap<Caller, { readonly peer: Peer; readonly pairs: readonly string[] }>();

function identityHeaders(caller: Caller, peer: Peer): readonly string[] {
  const known = byCaller.get(caller);
  if (known !== undefined && known.peer === peer) return known.pairs;
  const pairs = [
    'x-bulkhead-tenant-id',
    caller.tenant.id,
    'x-bulkhead-principal',
    visibleAscii(caller.id),
    'x-forwarded-client-cert',
    forwardedClientCert(peer),
    'x-gateway-inference-fairness-id',
    caller.tenant.id,
  ];
  byCaller.set(caller, { peer, pairs });
  return pairs;
}

/** One XFCC element in SANITIZE_SET mode: what Envoy would have set after terminating the same connection. */
function forwardedClientCert(peer: Peer): string {
  const { sha256, subject, spiffeId, dnsNames } = peer.certificate;
  const parts = [
    `Hash=${sha256}`,
    `Subject="${visibleAscii(subject).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`,
  ];
  if (spiffeId !== undefined) parts.push(`URI=${quoted(spiffeId)}`);
  for (const name of dnsNames) parts.push(`DNS=${quoted(visibleAscii(name))}`);
  return parts.join(';');
}

function quoted(text: string): string {
  return /[,;="\\]/.test(text) ? `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"` : text;
}

/**
 * A header value must be visible ASCII; a subject may be any text. What is not, is percent-encoded, and `%` itself too, and so is
 * a space at either end, which HTTP would drop.
 */
function visibleAscii(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]|^ | $/gu, (char) => encodeURIComponent(char.isWellFormed() ? char : '�'));
}
