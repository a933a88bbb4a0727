/**
 * Where a tenant's or a key's calls may come from: from everywhere, unless there is a list of where from, or of where not from.
 */
import type { Peer } from '../identity/peer.ts';
import { type AddressRange, isAddress, isInRanges, parseAddressRange } from '../kernel/address-range.ts';
import { type Denied, deny } from '../kernel/denial.ts';

/** Ranges as configured; absent: there is no such list. */
export interface AddressLists {
  readonly addresses?: readonly string[];
  /** Goes before the other. */
  readonly deniedAddresses?: readonly string[];
}

type By = 'tenant' | 'api key';

export class AddressList {
  readonly #by: By;
  readonly #allowed: readonly AddressRange[] | undefined;
  readonly #denied: readonly AddressRange[] | undefined;
  /** A connection has one address, and many calls. */
  readonly #known = new WeakMap<Peer, Denied | 'allowed'>();

  private constructor(by: By, { addresses, deniedAddresses }: AddressLists) {
    this.#by = by;
    this.#allowed = addresses && rangesOf(addresses);
    this.#denied = deniedAddresses && rangesOf(deniedAddresses);
  }

  /** The lists of a tenant or a key; undefined when it has none. */
  static of(by: By, lists: AddressLists): AddressList | undefined {
    if (lists.addresses === undefined && lists.deniedAddresses === undefined) return undefined;
    return new AddressList(by, lists);
  }

  /** Why a peer's calls are refused; undefined: they are not, by this. */
  refusal(peer: Peer): Denied | undefined {
    let known = this.#known.get(peer);
    if (known === undefined) {
      known = this.#judge(peer.address) ?? 'allowed';
      this.#known.set(peer, known);
    }
    return known === 'allowed' ? undefined : known;
  }

  #judge(address: string): Denied | undefined {
    const refuse = (list: 'addresses' | 'deniedAddresses'): Denied =>
      deny({ kind: 'address_not_allowed', address, by: this.#by, list });
    // What is no address is on no list, and so might be any that is to be kept out.
    if (this.#denied !== undefined && (!isAddress(address) || isInRanges(address, this.#denied))) {
      return refuse('deniedAddresses');
    }
    return this.#allowed === undefined || isInRanges(address, this.#allowed) ? undefined : refuse('addresses');
  }
}

function rangesOf(texts: readonly string[]): readonly AddressRange[] {
  return texts.map((text) => {
    const range = parseAddressRange(text);
    // The schema refuses it. Left away, a list of where not from would let somebody in.
    if (range === undefined) throw new RangeError(`${text} is no range of addresses`);
    return range;
  });
}
