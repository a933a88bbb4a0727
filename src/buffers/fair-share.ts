/**
 * Who holds more than its share of the memory that tenants may make the process hold, and what is to be done about it. Pure: a
 * function of the table of who holds what.
 *
 * Shares are max-min fair, weighted by the byte accounts: whoever holds less than its part leaves the rest to the others. So
 * nobody is over its share while the sum is at or below the mark; and whoever holds no more than `mark × its account ÷ the
 * accounts of all that hold anything` never is, whatever the others do.
 */

/** One tenant, or one egress listener. */
export interface Holder {
  /** Index of its table. */
  readonly table: number;
  readonly slot: number;
  readonly heldBytes: number;
  /** Limit of its byte account: what its operator said that it needs. */
  readonly accountBytes: number;
}

export interface OverShare {
  readonly holder: Holder;
  readonly shareBytes: number;
  /** How far it is over. */
  readonly overBytes: number;
}

/** Who is over its share of `markBytes`, furthest first. Empty when all together hold no more than that. */
export function overShare(holders: readonly Holder[], markBytes: number): readonly OverShare[] {
  const byFullness = holders.filter(({ heldBytes }) => heldBytes > 0).sort((a, b) => fullness(a) - fullness(b));
  let leftBytes = markBytes;
  let leftWeight = byFullness.reduce((sum, holder) => sum + weight(holder), 0);
  // From the emptiest account on: who holds no more than its part of what is left has it, and leaves the rest to those behind it.
  let content = 0;
  for (const holder of byFullness) {
    if (holder.heldBytes > (leftBytes / leftWeight) * weight(holder)) break;
    leftBytes -= holder.heldBytes;
    leftWeight -= weight(holder);
    content++;
  }
  const level = Math.max(0, leftBytes) / leftWeight;
  return byFullness
    .slice(content)
    .map((holder) => {
      const shareBytes = Math.floor(level * weight(holder));
      return { holder, shareBytes, overBytes: holder.heldBytes - shareBytes };
    })
    .sort((a, b) => b.overBytes - a.overBytes || a.holder.table - b.holder.table || a.holder.slot - b.holder.slot);
}

/** The sums of all holders at which something happens. */
export interface Marks {
  /** From here on, who is over its share of it gets no more window. */
  readonly softBytes: number;
  /** Shedding ends when the sum is no more than this. */
  readonly lowBytes: number;
  /** Shedding begins when the sum is more than this. */
  readonly ceilingBytes: number;
}

/** What is on its way when windows are no longer given takes room, too: more than the soft mark may come. */
const SOFT_PART = 3 / 4;
/** Ends fewer calls than shedding down to the soft mark, and still not one at each byte. */
const LOW_PART = 7 / 8;

export function marksOf(ceilingBytes: number): Marks {
  return {
    softBytes: Math.floor(ceilingBytes * SOFT_PART),
    lowBytes: Math.floor(ceilingBytes * LOW_PART),
    ceilingBytes,
  };
}

export type Verdict =
  | { readonly kind: 'calm' }
  /** Those in `over` get no more window. */
  | { readonly kind: 'squeeze'; readonly over: readonly OverShare[] }
  /** Also, calls of `worst` are ended until `freeBytes` are free, or the sum is at the low mark. */
  | {
      readonly kind: 'shed';
      readonly over: readonly OverShare[];
      readonly worst: OverShare;
      readonly freeBytes: number;
    };

/** Judges the table. `shedding`: the last verdict was to shed, which goes on below the ceiling, down to the low mark. */
export function judge(holders: readonly Holder[], marks: Marks, shedding: boolean): Verdict {
  const sum = holders.reduce((bytes, { heldBytes }) => bytes + heldBytes, 0);
  if (sum <= marks.softBytes) return { kind: 'calm' };
  const over = overShare(holders, marks.softBytes);
  if (sum > (shedding ? marks.lowBytes : marks.ceilingBytes)) {
    const worst = overShare(holders, marks.lowBytes)[0];
    if (worst !== undefined) {
      return { kind: 'shed', over, worst, freeBytes: Math.min(worst.overBytes, sum - marks.lowBytes) };
    }
  }
  return { kind: 'squeeze', over };
}

function weight({ accountBytes }: Holder): number {
  return Math.max(1, accountBytes);
}

function fullness(holder: Holder): number {
  return holder.heldBytes / weight(holder);
}
