/**
 * The header by which a load balancer says whose connection it passes on: PROXY protocol, version 2 (haproxy.org,
 * proxy-protocol.txt §2.2), read strictly. Version 1, and a connection without a header, are refused.
 */
import { addressText } from '../kernel/address-text.ts';

/**
 * The longest header, with the 16 octets that every one has. Addresses take 36; what follows them are the load balancer's
 * notes on the connection, of which nothing is used here.
 */
export const MAX_PROXY_HEADER_BYTES = 4_096;

/** Whose connection it is, or that it is the load balancer's own: one by which it sees whether we are there. */
export type ProxiedSource =
  | { readonly kind: 'client'; readonly address: string; readonly port: number }
  | { readonly kind: 'proxy' };

export type ProxyHeader =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'invalid'; readonly why: string }
  /** Its octets, and what it says; what follows it is the client's. */
  | { readonly kind: 'complete'; readonly length: number; readonly source: ProxiedSource };

/** Reads the header at the beginning of what has come. What cannot become one is invalid with the first octet that says so. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  const begun = Math.min(bytes.length, SIGNATURE.length);
  if (!bytes.subarray(0, begun).equals(SIGNATURE.subarray(0, begun))) return invalid(whatElse(bytes));
  const command = bytes[12];
  if (command !== undefined && command !== LOCAL && command !== PROXY) {
    return invalid(command >> 4 === 2 ? `command ${command & 15}` : `version ${command >> 4}`);
  }
  if (bytes.length < FIXED_BYTES) return INCOMPLETE;
  const length = FIXED_BYTES + bytes.readUInt16BE(14);
  if (length > MAX_PROXY_HEADER_BYTES) return invalid(`${length} octets, more than ${MAX_PROXY_HEADER_BYTES}`);
  // Of its own connection the load balancer need say nothing, and whatever it says is skipped.
  const family = command === LOCAL ? undefined : FAMILIES.get(bytes[13] ?? -1);
  if (command === PROXY) {
    if (family === undefined) return invalid(`family ${hex(bytes[13])} is not TCP`);
    if (length < FIXED_BYTES + 2 * family + 4) return invalid('too short for its addresses');
  }
  if (bytes.length < length) return INCOMPLETE;
  if (family === undefined) return { kind: 'complete', length, source: { kind: 'proxy' } };
  const notesAt = FIXED_BYTES + 2 * family + 4;
  const flaw = flawOfNotes(bytes.subarray(0, length), notesAt);
  if (flaw !== undefined) return invalid(flaw);
  const address = addressText(bytes.subarray(FIXED_BYTES, FIXED_BYTES + family));
  return { kind: 'complete', length, source: { kind: 'client', address, port: bytes.readUInt16BE(notesAt - 4) } };
}

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const FIXED_BYTES = 16;
const LOCAL = 0x20;
const PROXY = 0x21;
/** Octets of an address of TCP over IPv4 and IPv6. */
const FAMILIES: ReadonlyMap<number, number> = new Map([
  [0x11, 4],
  [0x21, 16],
]);
const INCOMPLETE: ProxyHeader = { kind: 'incomplete' };
const CRC32C_NOTE = 3;
const NOTE_HEAD_BYTES = 3;

function invalid(why: string): ProxyHeader {
  return { kind: 'invalid', why };
}

function whatElse(bytes: Buffer): string {
  if (bytes[0] === 0x16) return 'none: a TLS hello';
  return bytes.toString('latin1', 0, 5).startsWith('P') ? 'version 1, or none' : 'none';
}

function hex(octet: number | undefined): string {
  return `0x${(octet ?? 0).toString(16).padStart(2, '0')}`;
}

/** §2.2.2: type, length and value, one after the other, which end where the header does. A checksum has to be right. */
function flawOfNotes(header: Buffer, from: number): string | undefined {
  let at = from;
  while (at < header.length) {
    if (at + NOTE_HEAD_BYTES > header.length) return 'a note is cut short';
    const length = header.readUInt16BE(at + 1);
    const value = at + NOTE_HEAD_BYTES;
    if (value + length > header.length) return 'a note is longer than the header';
    if (header[at] === CRC32C_NOTE) {
      if (length !== 4) return 'a checksum that is none';
      const blanked = Buffer.from(header);
      blanked.fill(0, value, value + 4);
      if (crc32c(blanked) !== header.readUInt32BE(value)) return 'its checksum is another';
    }
    at = value + length;
  }
  return undefined;
}

/** CRC-32C (RFC 9260, appendix A), bit by bit: a header is short, and few have one. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const octet of bytes) {
    crc ^= octet;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
