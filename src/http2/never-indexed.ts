/**
 * Fields that their sender wants in no table, because an attacker who shares the connection could guess them from how well they
 * compress. Whoever passes one on sends it so too (RFC 7541 §6.2.3, §7.1.3).
 *
 * Kept with the block and by name: few blocks have any, and two fields of one name are treated alike.
 */
import type { HeaderBlock } from './contract.ts';

const NAMES = Symbol('names of fields that are never indexed');

/** The block as this file alone knows it. A WeakMap beside it costs ten times as much per call. */
interface MarkedBlock {
  [NAMES]?: ReadonlySet<string>;
}

/** The names of the block's fields that are never indexed. */
export function neverIndexedIn(block: HeaderBlock): ReadonlySet<string> | undefined {
  return (block as MarkedBlock)[NAMES];
}

/** Says it of a block that is not frozen yet. For one that was made of another, with the other's names. */
export function markNeverIndexed(block: HeaderBlock, names: ReadonlySet<string> | undefined): void {
  if (names !== undefined) (block as MarkedBlock)[NAMES] = names;
}
