/**
 * Where a tenant's or a key's calls may come from.
 */
import type { Peer } from '../identity/peer.ts';
import { type AddressRange, isInRanges, parseAddressRange } from '../kernel/address-range.ts';

export class AddressList {
  readonly #ranges: readonly AddressRange[];
  /** A connection has one address, and many calls. */
  readonly #known = new WeakMap<Peer, boolean>();

  constructor(ranges: readonly string[]) {
    // The schema refuses what is no range; if one came all the same, it would let nobody in.
    this.#ranges = ranges.flatMap((range) => parseAddressRange(range) ?? []);
  }

  has(peer: Peer): boolean {
    let known = this.#known.get(peer);
    if (known === undefined) {
      known = isInRanges(peer.address, this.#ranges);
      this.#known.set(peer, known);
    }
    return known;
  }
}
