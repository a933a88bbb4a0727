/**
 * IP addresses as text, as a socket would report them: IPv6 by RFC 5952, and IPv4 within IPv6 as IPv4.
 */

/** The text of an address of 4 or 16 octets. */
export function addressText(octets: Uint8Array): string {
  if (octets.length === 4) return octets.join('.');
  const words = Array.from({ length: 8 }, (_, index) => ((octets[2 * index] ?? 0) << 8) | (octets[2 * index + 1] ?? 0));
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) return octets.subarray(12).join('.');
  const gap = longestGap(words);
  const hex = (part: readonly number[]): string => part.map((word) => word.toString(16)).join(':');
  if (gap.length < 2) return hex(words);
  return `${hex(words.slice(0, gap.start))}::${hex(words.slice(gap.start + gap.length))}`;
}

/** The longest run of zeros, the first of those that are as long (RFC 5952 §4.2.3). */
function longestGap(words: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  let length = 0;
  for (const [index, word] of words.entries()) {
    length = word === 0 ? length + 1 : 0;
    if (length > best.length) best = { start: index + 1 - length, length };
  }
  return best;
}
