import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MAX_PROXY_HEADER_BYTES, readProxyHeader } from '../../../src/proxy/proxy-header.ts';
import { note, PROXY_SIGNATURE, proxyHeader } from '../../fakes/proxy-header.ts';

const client = (address: string, port = 40_123): object => ({ kind: 'client', address, port });

function sourceOf(bytes: Buffer): object | string {
  const header = readProxyHeader(bytes);
  if (header.kind === 'complete') return header.source;
  return header.kind === 'invalid' ? header.why : header.kind;
}

describe('a header', () => {
  test('says whose connection it is, over IPv4 and IPv6, and IPv4 within IPv6 is IPv4', () => {
    expect(sourceOf(proxyHeader())).toEqual(client('203.0.113.7'));
    const v6 = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    expect(sourceOf(proxyHeader({ source: v6, port: 65_535 }))).toEqual(client('2001:db8::1', 65_535));
    const mapped = [...Array<number>(10).fill(0), 255, 255, 203, 0, 113, 7];
    expect(sourceOf(proxyHeader({ source: mapped }))).toEqual(client('203.0.113.7'));
  });

  test('of the load balancer’s own connection says nothing, whatever is in it', () => {
    expect(sourceOf(proxyHeader({ command: 0 }))).toEqual({ kind: 'proxy' });
    expect(sourceOf(proxyHeader({ command: 0, family: 0, source: [], length: 4 }))).toEqual({ kind: 'proxy' });
    const nothing = Buffer.concat([PROXY_SIGNATURE, Buffer.from([0x20, 0, 0, 0])]);
    expect(sourceOf(nothing)).toEqual({ kind: 'proxy' });
  });

  test('may have notes, which end where it does', () => {
    const notes = Buffer.concat([
      note(1, Buffer.from('h2')),
      note(0x20, Buffer.alloc(300)),
      note(0xee, Buffer.alloc(0)),
    ]);
    const bytes = proxyHeader({ notes });
    expect(readProxyHeader(Buffer.concat([bytes, Buffer.from('hello')]))).toMatchObject({
      kind: 'complete',
      length: bytes.length,
    });
  });

  test('is as long as it may be, and not one octet longer', () => {
    const room = MAX_PROXY_HEADER_BYTES - proxyHeader().length - 3;
    expect(sourceOf(proxyHeader({ notes: note(0xee, Buffer.alloc(room)) }))).toEqual(client('203.0.113.7'));
    const longer = proxyHeader({ notes: note(0xee, Buffer.alloc(room + 1)) });
    expect(sourceOf(longer)).toBe('4097 octets, more than 4096');
    // Known from its first sixteen octets: the rest is not waited for.
    expect(sourceOf(longer.subarray(0, 16))).toBe('4097 octets, more than 4096');
  });

  test.each([
    ['version 1', Buffer.from('PROXY TCP4 203.0.113.7 192.0.2.1 40123 443\r\n'), 'version 1, or none'],
    ['a TLS hello', Buffer.from('1603010200010001fc0303', 'hex'), 'none: a TLS hello'],
    ['another protocol', Buffer.from('GET / HTTP/1.1\r\n'), 'none'],
    ['a bent signature', Buffer.concat([PROXY_SIGNATURE.subarray(0, 11), Buffer.from([0x0b])]), 'none'],
    ['another version', proxyHeader({ version: 1 }), 'version 1'],
    ['version 3', proxyHeader({ version: 3 }), 'version 3'],
    ['a command of tomorrow', proxyHeader({ command: 2 }), 'command 2'],
    ['no family', proxyHeader({ family: 0x00 }), 'family 0x00 is not TCP'],
    ['UDP', proxyHeader({ family: 0x12 }), 'family 0x12 is not TCP'],
    ['a Unix socket', proxyHeader({ family: 0x31 }), 'family 0x31 is not TCP'],
    ['a family of tomorrow', proxyHeader({ family: 0x41 }), 'family 0x41 is not TCP'],
    ['a family with more bits', proxyHeader({ family: 0x1f }), 'family 0x1f is not TCP'],
    ['less than its addresses', proxyHeader({ length: 11 }), 'too short for its addresses'],
    ['IPv4 addresses of IPv6', proxyHeader({ family: 0x21 }), 'too short for its addresses'],
    ['a note’s head cut short', proxyHeader({ notes: Buffer.from([1, 0]) }), 'a note is cut short'],
    ['a note beyond its end', proxyHeader({ notes: note(1, Buffer.alloc(3), 4) }), 'a note is longer than the header'],
  ])('that is %s is refused', (_what, bytes, why) => {
    expect(sourceOf(bytes)).toBe(why);
  });

  test('with a checksum has the right one', () => {
    const at = proxyHeader().length + 3;
    const bytes = proxyHeader({ notes: note(3, Buffer.alloc(4)) });
    // As HAProxy writes it, computed over the header with zeros in its place.
    bytes.writeUInt32BE(crcOf(bytes), at);
    expect(sourceOf(bytes)).toEqual(client('203.0.113.7'));
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    expect(sourceOf(bytes)).toBe('its checksum is another');
    expect(sourceOf(proxyHeader({ notes: note(3, Buffer.alloc(3)) }))).toBe('a checksum that is none');
  });
});

/** CRC-32C with a table (RFC 9260, appendix A): another way than the one that is tested. */
function crcOf(bytes: Buffer): number {
  const table = Array.from({ length: 256 }, (_, index) => {
    let value = index;
    for (let bit = 0; bit < 8; bit += 1) value = (value & 1) === 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    return value >>> 0;
  });
  let crc = 0xffffffff;
  for (const octet of bytes) crc = (table[(crc ^ octet) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

test('CRC-32C of the digits is the published one', () => {
  expect(crcOf(Buffer.from('123456789'))).toBe(0xe3069283);
});

const written = fc
  .record({
    source: fc.oneof(
      fc.array(fc.nat(255), { minLength: 4, maxLength: 4 }),
      fc.array(fc.nat(255), { minLength: 16, maxLength: 16 }),
    ),
    port: fc.nat(65_535),
    notes: fc.array(fc.tuple(fc.integer({ min: 4, max: 255 }), fc.uint8Array({ maxLength: 40 })), { maxLength: 4 }),
  })
  .map(({ source, port, notes }) =>
    proxyHeader({ source, port, notes: Buffer.concat(notes.map(([type, value]) => note(type, Buffer.from(value)))) }),
  );

test('a header is incomplete at every octet before its end, and says the same whatever follows', () => {
  fc.assert(
    fc.property(written, fc.uint8Array({ maxLength: 64 }), (bytes, rest) => {
      for (let at = 0; at < bytes.length; at += 1)
        expect(readProxyHeader(bytes.subarray(0, at)).kind).toBe('incomplete');
      const whole = readProxyHeader(bytes);
      expect(whole).toMatchObject({ kind: 'complete', length: bytes.length });
      expect(readProxyHeader(Buffer.concat([bytes, rest]))).toEqual(whole);
    }),
    { numRuns: 200 },
  );
});

test('a header with one octet changed is another header, incomplete or invalid, and never a fault', () => {
  fc.assert(
    fc.property(written, fc.nat(), fc.integer({ min: 1, max: 255 }), (bytes, at, change) => {
      const bent = Buffer.from(bytes);
      const index = at % bent.length;
      bent[index] = (bent[index] ?? 0) ^ change;
      const read = readProxyHeader(bent);
      if (index < PROXY_SIGNATURE.length) expect(read.kind).toBe('invalid');
      if (read.kind === 'complete') expect(read.length).toBeLessThanOrEqual(bent.length);
    }),
    { numRuns: 2_000 },
  );
});
