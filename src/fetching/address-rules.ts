/**
 * Which addresses documents are fetched from. A URL in a tenant's file must not become a way into the network that the sidecar
 * stands in (SSRF), so only addresses of the public internet are asked, and those that the operator has named besides.
 *
 * The ranges are IANA's special-purpose registries (RFC 6890 and what was added since).
 */
import { isIP } from 'node:net';
import { type AddressRange, isInRanges, parseAddressRange } from '../kernel/address-range.ts';

/** No document is served from these, so no configuration opens them: cloud metadata, this network, multicast, reserved. */
const NEVER = rangesOf({
  'a link-local address, where clouds have their metadata': ['169.254.0.0/16', 'fe80::/10'],
  'an address of cloud metadata': ['100.100.100.200', '192.0.0.192', '168.63.129.16', 'fd00:ec2::254', 'fd20:ce::254'],
  'an unspecified address': ['0.0.0.0/8', '::'],
  'a multicast address': ['224.0.0.0/4', 'ff00::/8'],
  'a reserved address': ['240.0.0.0/4'],
});

/** Asked only when the operator says so. */
const SPECIAL = rangesOf({
  'a loopback address': ['127.0.0.0/8', '::1'],
  'a private address': ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7', 'fec0::/10'],
  'no address of the public internet': [
    ...['192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'],
    // What embeds an IPv4 address could embed any (6to4, Teredo, NAT64 of one's own), and tunnels it past the other rules.
    ...['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20', '64:ff9b::/96', '64:ff9b:1::/48'],
  ],
});

const GLOBAL_UNICAST = rangesOf({ global: ['2000::/3'] });
const LOOPBACK = rangesOf({ loopback: ['127.0.0.0/8', '::1'] });

interface NamedRanges {
  readonly name: string;
  readonly ranges: readonly AddressRange[];
}

/** Why nothing is fetched from an address, in words that follow it; undefined when it may be. What is no address may not. */
export function addressFlaw(address: string, allowed: readonly AddressRange[]): string | undefined {
  // Who opens a way to IPv4 (NAT64, 6to4) does not open it to what IPv4 is never asked.
  const never = nameIn(address, NEVER) ?? nameIn(embeddedIpv4(address) ?? '', NEVER);
  if (never !== undefined) return `is ${never}`;
  if (isInRanges(address, allowed)) return undefined;
  const special = nameIn(address, SPECIAL);
  if (special !== undefined) return `is ${special}`;
  if (isIP(address) === 4 || nameIn(address, GLOBAL_UNICAST) !== undefined || isMapped(address)) return undefined;
  return 'is no address of the public internet';
}

/** Whether no configuration opens this address, or any of this range. */
export function isNeverFetched(range: string): boolean {
  const parsed = parseAddressRange(range);
  if (parsed === undefined) return nameIn(range, NEVER) !== undefined;
  return NEVER.some(({ ranges }) => ranges.some((never) => includes(never, parsed)));
}

function includes(outer: AddressRange, inner: AddressRange): boolean {
  const rest = BigInt(outer.width - outer.prefix);
  return outer.width === inner.width && outer.prefix <= inner.prefix && outer.bits >> rest === inner.bits >> rest;
}

/** Whether an address is this machine's own. */
export function isLoopbackAddress(address: string): boolean {
  return nameIn(address, LOOPBACK) !== undefined;
}

function nameIn(address: string, named: readonly NamedRanges[]): string | undefined {
  return named.find(({ ranges }) => isInRanges(address, ranges))?.name;
}

/** IPv4 within IPv6, which the ranges have judged as the IPv4 address that it is. */
function isMapped(address: string): boolean {
  return isInRanges(address, ANY_IPV4);
}

/** The IPv4 address that an address of NAT64's prefix (RFC 6052 §2.1) or of 6to4 (RFC 3056 §2) leads to; undefined: it is of neither. */
function embeddedIpv4(address: string): string | undefined {
  const bits = parseAddressRange(address)?.bits;
  const way = EMBEDDING.find(({ ranges }) => isInRanges(address, ranges));
  if (bits === undefined || way === undefined) return undefined;
  return [24n, 16n, 8n, 0n].map((octet) => String((bits >> (way.above + octet)) & 0xffn)).join('.');
}

function rangesOf(byName: Readonly<Record<string, readonly string[]>>): readonly NamedRanges[] {
  return Object.entries(byName).map(([name, written]) => ({
    name,
    ranges: written.map((range) => {
      const parsed = parseAddressRange(range);
      if (parsed === undefined) throw new RangeError(`${range} is no range`);
      return parsed;
    }),
  }));
}

const ANY_IPV4: readonly AddressRange[] = rangesOf({ all: ['0.0.0.0/0'] }).flatMap(({ ranges }) => ranges);

/** `above`: bits that come after the embedded address. */
const EMBEDDING: readonly { readonly ranges: readonly AddressRange[]; readonly above: bigint }[] = [
  { ranges: rangesOf({ NAT64: ['64:ff9b::/96'] }).flatMap(({ ranges }) => ranges), above: 0n },
  { ranges: rangesOf({ '6to4': ['2002::/16'] }).flatMap(({ ranges }) => ranges), above: 80n },
];
