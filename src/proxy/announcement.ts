/**
 * An answer's first header block with RateLimit fields in it. They are written as fields that are never indexed: their values change with
 * each call, and would push out of the client's table what stays.
 */
import type { HeaderBlock } from '../http2/contract.ts';
import { markNeverIndexed, neverIndexedIn } from '../http2/never-indexed.ts';

const CHANGING: ReadonlySet<string> = new Set(['ratelimit', 'x-ratelimit-remaining', 'x-ratelimit-reset']);
/** What has one value only: the model server's own would say another thing. */
const SINGLE: ReadonlySet<string> = new Set(['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset']);

/** `fields`: names and values in turn. The block itself when there are none. */
export function withAnnouncement(block: HeaderBlock, fields: readonly string[]): HeaderBlock {
  if (fields.length === 0) return block;
  const known = neverIndexedIn(block);
  const told = [...without(block, fields), ...fields];
  markNeverIndexed(told, known === undefined ? CHANGING : new Set([...known, ...CHANGING]));
  return told;
}

function without(block: HeaderBlock, fields: readonly string[]): HeaderBlock {
  const ours = SINGLE.has(fields.at(-2) ?? '');
  if (!ours || !block.some((name, at) => at % 2 === 0 && SINGLE.has(name))) return block;
  return block.filter((_text, at) => !SINGLE.has(block[at - (at % 2)] ?? ''));
}
