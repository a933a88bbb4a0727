/**
 * Fields that their sender wants in no table, because an attacker who shares the connection could guess them from how well they
 * compress. Whoever passes one on sends it so too (RFC 7541 §6.2.3, §7.1.3).
 *
 * Kept beside the block and by name: few blocks have any, and two fields of one name are treated alike.
 */
import type { HeaderBlock } from './contract.ts';

const namesByBlock = new WeakMap<HeaderBlock, ReadonlySet<string>>();
/** Most threads never see one: then nothing is looked up. */
let isAnyMarked = false;

/** The names of the block's fields that are never indexed. */
export function neverIndexedIn(block: HeaderBlock): ReadonlySet<string> | undefined {
  return isAnyMarked ? namesByBlock.get(block) : undefined;
}

/** Says it of the block. For one that was made of another, with the other's names. */
export function markNeverIndexed(block: HeaderBlock, names: ReadonlySet<string> | undefined): void {
  if (names === undefined) return;
  isAnyMarked = true;
  namesByBlock.set(block, names);
}
