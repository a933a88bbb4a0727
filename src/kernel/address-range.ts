/**
 * IP addresses and ranges of them (CIDR). An IPv4 address is the same in whichever way it is written: a socket that takes both
 * families reports `::ffff:192.0.2.1`, and a list that says `192.0.2.0/24` means it.
 */
import { isIP } from 'node:net';

interface Address {
  readonly width: 32 | 128;
  readonly bits: bigint;
}

export interface AddressRange extends Address {
  /** Leading bits that an address has in common with the range. */
  readonly prefix: number;
}

/** Reads `10.0.0.0/8`, `2001:db8::/32`, or an address alone; undefined for what is none, or is not the first of its range. */
export function parseAddressRange(text: string): AddressRange | undefined {
  const [, written, length] = /^([0-9A-Fa-f.:]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? [];
  const address = written === undefined ? undefined : parseAddress(written);
  if (address === undefined) return undefined;
  // IPv4 within IPv6 has two prefix lengths to choose from, so it has to be written as IPv4.
  if (address.width === 32 && written?.includes(':') === true) return undefined;
  const prefix = length === undefined ? address.width : Number(length);
  if (prefix > address.width || BigInt.asUintN(address.width - prefix, address.bits) !== 0n) return undefined;
  return { ...address, prefix };
}

/** Whether a text, as a socket reports it, is an address. */
export function isAddress(text: string): boolean {
  return isIP(text) !== 0;
}

/** Whether an address, as a socket reports it, is in one of the ranges. What is no address is in none. */
export function isInRanges(text: string, ranges: readonly AddressRange[]): boolean {
  const address = parseAddress(text);
  if (address === undefined) return false;
  return ranges.some(({ width, bits, prefix }) => {
    const rest = BigInt(width - prefix);
    return width === address.width && bits >> rest === address.bits >> rest;
  });
}

/**
 * What one client has at least: an IPv4 address is itself; of IPv6 it is a network of 64 bits, within which a host takes whatever address it
 * likes. What is no address is itself, too.
 */
export function networkOf(text: string): string {
  if (!text.includes(':')) return text;
  const address = parseAddress(text);
  if (address === undefined || address.width === 32) return text;
  return `${(address.bits >> 64n).toString(16)}::/64`;
}

function parseAddress(text: string): Address | undefined {
  const family = isIP(text);
  if (family === 0) return undefined;
  if (family === 4) return { width: 32, bits: bitsOf(text.split('.').map(Number), 8n) };
  // A link-local address may name its interface.
  const [plain = ''] = text.split('%');
  const bits = bitsOf(groupsOf(plain), 16n);
  return bits >> 32n === 0xffffn ? { width: 32, bits: BigInt.asUintN(32, bits) } : { width: 128, bits };
}

/** The eight groups of an IPv6 address that `isIP` has found to be one. */
function groupsOf(text: string): readonly number[] {
  const [head = '', tail] = text.split('::');
  const before = wordsOf(head);
  if (tail === undefined) return before;
  const after = wordsOf(tail);
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
}

function wordsOf(text: string): readonly number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}

function bitsOf(words: readonly number[], wordBits: bigint): bigint {
  return words.reduce((bits, word) => (bits << wordBits) | BigInt(word), 0n);
}
