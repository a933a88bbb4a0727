import { describe, expect, test } from 'vitest';
import { FieldTable } from '../../../src/http2/field-table.ts';
import { HpackDecoder } from '../../../src/http2/hpack-decoder.ts';
import { HpackEncoder } from '../../../src/http2/hpack-encoder.ts';
import { markNeverIndexed, neverIndexedIn } from '../../../src/http2/never-indexed.ts';
import { staticTable } from '../../../src/http2/static-table.ts';

const LIMITS = { maxHeaderListBytes: 4_096, maxHeaderFields: 20 };

function decodeAll(blocks: readonly string[], tableBytes = 4_096): (readonly string[])[] {
  const decoder = new HpackDecoder(LIMITS);
  decoder.setMaxTableBytes(tableBytes);
  return blocks.map((hex) => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    expect(decoder.decode(bytes, 0, bytes.length)).toBe(undefined);
    return decoder.block;
  });
}

function encodeWith(encoder: HpackEncoder, block: readonly string[]): Buffer {
  const into = Buffer.alloc(encoder.bound(block));
  return into.subarray(0, encoder.encode(block, into, 0));
}

const request = (path: string) => [':method', 'POST', ':scheme', 'http', ':path', path, 'x-key', 'value'];

describe('the examples of RFC 7541', () => {
  const first = [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com'];
  const second = [...first, 'cache-control', 'no-cache'];
  const third = [
    ...[':method', 'GET', ':scheme', 'https', ':path', '/index.html', ':authority', 'www.example.com'],
    ...['custom-key', 'custom-value'],
  ];

  test('C.3: requests without Huffman', () => {
    expect(
      decodeAll([
        '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        '8286 84be 5808 6e6f 2d63 6163 6865',
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
      ]),
    ).toEqual([first, second, third]);
  });

  test('C.4: requests with Huffman', () => {
    expect(
      decodeAll([
        '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
        '8286 84be 5886 a8eb 1064 9cbf',
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
      ]),
    ).toEqual([first, second, third]);
  });

  test('C.6: responses in a table of 256 octets, with evictions', () => {
    const date = 'Mon, 21 Oct 2013 20:13:21 GMT';
    const responses = decodeAll([
      '3fe1 01 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      '4883 640e ffc1 c0bf',
      '88c1 61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 84a6 2d1b ffc0 5a83 9bd9 ab77 ad94 e782 1dd7 f2e6 c7b3 35df dfcd 5b39 60d5 af27 087f 3672 c1ab 270f b529 1f95 8731 6065 c003 ed4e e5b1 063d 5007',
    ]);
    expect(responses[0]).toContain(date);
    expect(responses[1]).toEqual([':status', '307', ...(responses[0] ?? []).slice(2)]);
    expect(responses[2]?.[1]).toBe('200');
    expect(responses[2]).toContain('foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1');
  });
});

describe('the decoder refuses', () => {
  const broken: [string, string][] = [
    ['a block that ends after a name', '400161'],
    ['a string longer than its block', '4005616263'],
    ['an integer that never ends', '7fffffffffffffffff01'],
    ['an integer that is too large', '7fffffffff7f'],
    ['an integer of five octets and one that ends it', '7f8080808000'],
    ['Huffman with the end-of-string symbol', '400161 84ffffffff'],
    ['Huffman padding of eight bits', '400161 821fff'],
    ['Huffman padding of zeros', '400161 8118'],
    ['a dynamic index before there is one', 'be'],
  ];
  test.each(broken)('%s', (_what, hex) => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    expect(new HpackDecoder(LIMITS).decode(bytes, 0, bytes.length)).toBeTypeOf('string');
  });

  test('a block that does not begin with the reduction that SETTINGS demand', () => {
    const decoder = new HpackDecoder(LIMITS);
    decoder.setMaxTableBytes(100);
    expect(decoder.decode(Buffer.from([0x82]), 0, 1)).toBeTypeOf('string');
    const second = new HpackDecoder(LIMITS);
    second.setMaxTableBytes(100);
    expect(second.decode(Buffer.from([0x3f, 0x45, 0x82]), 0, 3)).toBe(undefined);
  });
});

describe('the decoder', () => {
  test('does not answer from memory when the table has changed in between', () => {
    const [, one, two, , three] = decodeAll(['40 01 78 01 61', 'be', 'be', '40 01 79 01 62', 'be']);
    expect(one).toBe(two);
    expect(three).toEqual(['y', 'b']);
  });

  test('does not answer from memory when a table size update has emptied the table', () => {
    const decoder = new HpackDecoder(LIMITS);
    for (const hex of ['4001780161', 'be', 'be', '20']) {
      const bytes = Buffer.from(hex, 'hex');
      expect(decoder.decode(bytes, 0, bytes.length)).toBe(undefined);
    }
    expect(decoder.decode(Buffer.from([0xbe]), 0, 1)).toBeTypeOf('string');
  });
});

describe('the encoder', () => {
  test('sends a block again as one octet per field', () => {
    const encoder = new HpackEncoder(4_096);
    encodeWith(encoder, request('/a.B/C'));
    expect(encodeWith(encoder, request('/a.B/C')).length).toBe(4);
  });

  test('forgets a frozen block when the table has changed', () => {
    const encoder = new HpackEncoder(4_096);
    const decoder = new HpackDecoder(LIMITS);
    const block = Object.freeze(request('/a.B/C'));
    for (let round = 0; round < 50; round++) {
      for (const some of [block, block, [`x-${round}`, `${round}`]]) {
        const bytes = encodeWith(encoder, some);
        expect(decoder.decode(bytes, 0, bytes.length)).toBe(undefined);
        expect(decoder.block).toEqual(some);
      }
    }
  });

  test('does not take a block that was changed for the one that it was', () => {
    const encoder = new HpackEncoder(4_096);
    const decoder = new HpackDecoder(LIMITS);
    const block = request('/a.B/C');
    for (let round = 0; round < 4; round++) {
      block[5] = `/a.B/${round % 2}`;
      const bytes = encodeWith(encoder, block);
      expect(decoder.decode(bytes, 0, bytes.length)).toBe(undefined);
      expect(decoder.block).toEqual(block);
    }
  });

  test('refers to every field of the static table, and to every name of it', () => {
    for (const [name, value] of staticTable) {
      const encoder = new HpackEncoder(4_096);
      const decoder = new HpackDecoder(LIMITS);
      expect(encodeWith(encoder, [name, value]).length).toBe(1);
      const bytes = encodeWith(encoder, [name, value, name, 'else']);
      expect(decoder.decode(bytes, 0, bytes.length)).toBe(undefined);
      expect(decoder.block).toEqual([name, value, name, 'else']);
      expect(bytes.length).toBeLessThanOrEqual(8);
    }
  });

  test('does not index what is made anew for each call', () => {
    const encoder = new HpackEncoder(4_096);
    encodeWith(encoder, request('/a.B/C'));
    for (let call = 0; call < 1_000; call++) {
      encodeWith(encoder, ['traceparent', `00-${call}`, 'grpc-timeout', `${call}m`, 'x-large', 'v'.repeat(2_049)]);
    }
    expect(encodeWith(encoder, request('/a.B/C')).length).toBe(4);
  });

  test('stops indexing a name whose values never come back, and keeps the useful fields', () => {
    const encoder = new HpackEncoder(4_096);
    encodeWith(encoder, request('/a.B/C'));
    for (let call = 0; call < 1_000; call++) encodeWith(encoder, ['x-unique', `value-${call}`]);
    expect(encodeWith(encoder, request('/a.B/C')).length).toBe(4);
  });

  test('announces a smaller and then a larger table as both (RFC 7541 §4.2)', () => {
    const encoder = new HpackEncoder(4_096);
    encoder.setPeerMaxTableBytes(0);
    encoder.setPeerMaxTableBytes(4_096);
    expect(encodeWith(encoder, [':method', 'GET']).toString('hex')).toBe('203fe11f82');
    expect(encodeWith(encoder, [':method', 'GET']).toString('hex')).toBe('82');
  });
});

describe('the encoder’s table', () => {
  /** Each of them takes 40 octets. */
  const pair = ['x', '1234567', 'y', '1234567'];

  test.each([
    [80, true],
    [79, false],
  ])('of %i octets at most is no larger, whatever the peer allows; it holds two fields: %s', (bytes, both) => {
    const encoder = new HpackEncoder(bytes);
    encoder.setPeerMaxTableBytes(2 ** 32 - 1);
    const decoder = new HpackDecoder(LIMITS);
    decoder.setMaxTableBytes(bytes);
    const lengths = [0, 1, 2].map(() => {
      const octets = encodeWith(encoder, pair);
      // A table above this would be announced, and be an error here.
      expect(decoder.decode(octets, 0, octets.length)).toBe(undefined);
      expect(decoder.block).toEqual(pair);
      return octets.length;
    });
    expect(lengths[2] === pair.length / 2).toBe(both);
  });
});

describe('the decoder’s table', () => {
  test.each([
    [4_096, undefined],
    [4_097, 'string'],
  ])('may be announced with %i octets: %s', (bytes, fault) => {
    const update = [0x3f];
    for (let rest = bytes - 31; ; rest >>= 7) {
      update.push(rest > 127 ? (rest & 127) | 128 : rest);
      if (rest <= 127) break;
    }
    const decoder = new HpackDecoder(LIMITS);
    const octets = Buffer.from([...update, 0x82]);
    expect(typeof decoder.decode(octets, 0, octets.length)).toBe(fault ?? 'undefined');
  });

  test('holds 4,096 octets, and what does not fit is gone', () => {
    // Entries of 64 octets: `x`, a value of 31 octets, and 32 of overhead.
    const add = Buffer.concat([Buffer.from([0x40, 1, 0x78, 31]), Buffer.alloc(31, 'v')]);
    const filled = new HpackDecoder({ maxHeaderListBytes: 1 << 20, maxHeaderFields: 1_000 });
    for (let count = 0; count < 64; count++) expect(filled.decode(add, 0, add.length)).toBe(undefined);
    const of = (index: number): Buffer =>
      index < 127 ? Buffer.from([0x80 | index]) : Buffer.from([0xff, index - 127]);
    expect(filled.decode(of(61 + 64), 0, of(61 + 64).length)).toBe(undefined);
    expect(filled.decode(of(61 + 65), 0, of(61 + 65).length)).toBeTypeOf('string');
  });
});

describe('a field table', () => {
  const field = (name: string, value: string) => ({ name, value, traits: 0 });

  test('holds exactly as many octets as it may', () => {
    const evicted: string[] = [];
    const table = new FieldTable(80, ({ name }) => evicted.push(name));
    table.add(field('a', '1234567'));
    table.add(field('b', '1234567'));
    expect([table.at(0)?.name, table.at(1)?.name, table.at(2)]).toEqual(['b', 'a', undefined]);
    table.resize(79);
    expect(evicted).toEqual(['a']);
  });

  test('is emptied by a field that is larger than itself', () => {
    const table = new FieldTable(80);
    table.add(field('a', '1'));
    expect(table.add(field('b', 'v'.repeat(48)))).toBe(false);
    expect(table.count).toBe(0);
  });

  test('knows its fields through any number of evictions', () => {
    const table = new FieldTable(40 * 34);
    for (let index = 0; index < 500; index++) table.add(field(String(index % 10), '1'));
    expect(table.count).toBe(40);
    expect(table.at(0)?.name).toBe('9');
    expect(table.at(39)?.name).toBe('0');
    expect([table.holds(461), table.holds(460)]).toEqual([true, false]);
  });
});

describe('a long literal that is not indexed', () => {
  const literal = (name: string, value: string) =>
    Buffer.concat([
      Buffer.from([0x10, name.length]),
      Buffer.from(name),
      Buffer.from([0x7f, value.length - 127]),
      Buffer.from(value),
    ]);
  const timeout = (text: string) =>
    Buffer.concat([Buffer.from([0x40, 7]), Buffer.from('timeout'), Buffer.from([text.length]), Buffer.from(text)]);

  test('is the same string when it comes again, amid fields that do not', () => {
    const decoder = new HpackDecoder(LIMITS);
    const token = 't'.repeat(200);
    const values = ['1m', '2m', '3m'].map((text) => {
      const bytes = Buffer.concat([timeout(text), literal('token', token)]);
      expect(decoder.decode(bytes, 0, bytes.length)).toBe(undefined);
      expect([...decoder.block]).toEqual(['timeout', text, 'token', token]);
      return decoder.block[3];
    });
    expect(new Set(values).size).toBe(1);
  });

  test('is not taken for the value of another name, or for another value of its length', () => {
    const decoder = new HpackDecoder(LIMITS);
    for (const [name, value] of [
      ['token', 't'.repeat(200)],
      ['other', 't'.repeat(200)],
      ['token', `${'t'.repeat(199)}u`],
      ['token', 't'.repeat(200)],
    ] as const) {
      const bytes = Buffer.concat([timeout(name), literal(name, value)]);
      expect(decoder.decode(bytes, 0, bytes.length)).toBe(undefined);
      expect([...decoder.block]).toEqual(['timeout', name, name, value]);
    }
  });
});

describe('a field that is never indexed (RFC 7541 §6.2.3)', () => {
  const NEVER = { token: Buffer.from('1005746f6b656e0173', 'hex'), authorization: Buffer.from('1f080173', 'hex') };

  test.each(Object.entries(NEVER))('is known as such when it came: %s', (name, bytes) => {
    const decoder = new HpackDecoder(LIMITS);
    for (let round = 0; round < 3; round++) {
      expect(decoder.decode(bytes, 0, bytes.length)).toBe(undefined);
      expect([...decoder.block]).toEqual([name, 's']);
      expect(neverIndexedIn(decoder.block)).toEqual(new Set([name]));
    }
    const others = Buffer.from('0005746f6b656e0173', 'hex');
    expect(decoder.decode(others, 0, others.length)).toBe(undefined);
    expect(neverIndexedIn(decoder.block)).toBe(undefined);
  });

  test('is of its own block, whatever blocks before and after have', () => {
    const decoder = new HpackDecoder(LIMITS);
    const decoded = [
      ['token'],
      ['token', 'authorization', 'token'],
      ['token'],
      ['authorization'],
      ['authorization', 'token'],
    ].map((names) => {
      const bytes = Buffer.concat(names.map((name) => NEVER[name === 'token' ? 'token' : 'authorization']));
      expect(decoder.decode(bytes, 0, bytes.length)).toBe(undefined);
      return { names, block: decoder.block };
    });
    for (const { names, block } of decoded) expect(neverIndexedIn(block)).toEqual(new Set(names));
  });

  test.each(Object.keys(NEVER))('is sent so each time, even if it is in a table: %s', (name) => {
    const encoder = new HpackEncoder(4_096);
    const decoder = new HpackDecoder(LIMITS);
    const send = (block: readonly string[]): number => {
      const bytes = encodeWith(encoder, block);
      expect(decoder.decode(bytes, 0, bytes.length)).toBe(undefined);
      expect([...decoder.block]).toEqual([...block]);
      expect(neverIndexedIn(decoder.block)).toEqual(neverIndexedIn(block));
      return bytes.length;
    };
    send([name, 's']);
    expect(send([name, 's'])).toBe(1);
    const block = [name, 's', ':method', 'GET', name, 't'];
    markNeverIndexed(block, new Set([name]));
    Object.freeze(block);
    for (let round = 0; round < 3; round++) expect(send(block)).toBeGreaterThan(6);
    expect(send([name, 's'])).toBe(1);
    expect(send([name, 't'])).toBeGreaterThan(1);
  });
});
