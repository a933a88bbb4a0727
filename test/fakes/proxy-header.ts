/**
 * Headers of the PROXY protocol, version 2, as a load balancer writes them; and as none would.
 */
export interface WrittenHeader {
  readonly version?: number;
  readonly command?: number;
  /** Octet of family and protocol; default: TCP of the addresses. */
  readonly family?: number;
  /** Octets of the source's address; default: 203.0.113.7. */
  readonly source?: readonly number[];
  readonly port?: number;
  /** What follows the addresses. */
  readonly notes?: Buffer;
  /** Default: what follows has so many. */
  readonly length?: number;
}

export const PROXY_SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

/** A header. */
export function proxyHeader(header: WrittenHeader = {}): Buffer {
  const { version = 2, command = 1, source = [203, 0, 113, 7], port = 40_123, notes = Buffer.alloc(0) } = header;
  const family = header.family ?? (source.length === 4 ? 0x11 : 0x21);
  const destination = Buffer.alloc(source.length, 1);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(port, 0);
  ports.writeUInt16BE(443, 2);
  const rest = Buffer.concat([Buffer.from(source), destination, ports, notes]);
  const fixed = Buffer.from([version * 16 + command, family, 0, 0]);
  fixed.writeUInt16BE(header.length ?? rest.length, 2);
  return Buffer.concat([PROXY_SIGNATURE, fixed, rest]);
}

/** One of a load balancer's notes (TLV). */
export function note(type: number, value: Buffer, length = value.length): Buffer {
  const head = Buffer.from([type, 0, 0]);
  head.writeUInt16BE(length, 1);
  return Buffer.concat([head, value]);
}
