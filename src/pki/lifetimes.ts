/**
 * How long what is issued may live.
 */
import { refused } from './problem.ts';

/** A leaf that lives shorter ends before anybody has it; five minutes of it lie before its making. */
export const MIN_LEAF_LIFETIME_MS = 5 * 60_000;
/** The CA/Browser Forum's longest for a server, which several verifiers hold everybody to. */
export const MAX_LEAF_LIFETIME_MS = 397 * 86_400_000;
export const MAX_CA_LIFETIME_MS = 20 * 365 * 86_400_000;
export const MIN_CRL_LIFETIME_MS = 3_600_000;
/** What has ended is remembered for so long, and is on the lists until then. */
export const MAX_CRL_LIFETIME_MS = 30 * 86_400_000;

/** Throws a PkiProblem unless the lifetime is within its bounds, both included. */
export function requireLifetime(
  of: string,
  ms: number,
  { from, to }: { readonly from: number; readonly to: number },
): void {
  if (ms >= from && ms <= to) return;
  throw refused(`${of} cannot live for ${durationText(ms)}`, `from ${durationText(from)} to ${durationText(to)}`);
}

/** `15m`, `24h`, `90d`: the largest unit that leaves no fraction. */
export function durationText(ms: number): string {
  const unit = UNITS.find(([, size]) => ms >= size && ms % size === 0);
  return unit === undefined ? `${ms}ms` : `${ms / unit[1]}${unit[0]}`;
}

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
];
