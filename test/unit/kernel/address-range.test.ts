import { expect, test } from 'vitest';
import { isInRanges, networkOf, parseAddressRange } from '../../../src/kernel/address-range.ts';

function within(address: string, ...ranges: readonly string[]): boolean {
  return isInRanges(
    address,
    ranges.map((text) => {
      const range = parseAddressRange(text);
      if (range === undefined) throw new Error(`not a range: ${text}`);
      return range;
    }),
  );
}

test.each([
  ['10.0.0.0', '10.0.0.0/8', true],
  ['10.255.255.255', '10.0.0.0/8', true],
  ['9.255.255.255', '10.0.0.0/8', false],
  ['11.0.0.0', '10.0.0.0/8', false],
  ['192.0.2.1', '192.0.2.1', true],
  ['192.0.2.1', '192.0.2.1/32', true],
  ['192.0.2.2', '192.0.2.1', false],
  ['192.0.2.3', '192.0.2.2/31', true],
  ['255.255.255.255', '0.0.0.0/0', true],
  ['2001:db8::', '2001:db8::/32', true],
  ['2001:db8:ffff:ffff:ffff:ffff:ffff:ffff', '2001:db8::/32', true],
  ['2001:db9::', '2001:db8::/32', false],
  ['2001:DB8:0:0::1', '2001:db8::1', true],
  ['::1', '::1', true],
  ['::2', '::1', false],
  ['fe80::1%eth0', 'fe80::/10', true],
  ['64:ff9b::192.0.2.1', '64:ff9b::/96', true],
  ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8', true],
  ['1::8', '::/0', true],
])('%s within %s: %s', (address, range, expected) => {
  expect(within(address, range)).toBe(expected);
});

test('an IPv4 address is the same when a socket of both families reports it', () => {
  for (const address of ['::ffff:10.1.2.3', '::FFFF:10.1.2.3', '::ffff:a01:203', '0:0:0:0:0:ffff:a01:203']) {
    expect([within(address, '10.0.0.0/8'), within(address, '10.1.2.4'), within(address, '::/0')]).toEqual([
      true,
      false,
      false,
    ]);
  }
  // Only looks like one.
  expect(within('::10.1.2.3', '10.0.0.0/8')).toBe(false);
});

test('an IPv6 address is in no IPv4 range, and what is no address is in none', () => {
  expect(within('::1', '0.0.0.0/0')).toBe(false);
  for (const text of ['', 'localhost', '10.0.0', '10.0.0.1/8', '010.0.0.1', '10.0.0.1 ']) {
    expect(within(text, '0.0.0.0/0', '::/0')).toBe(false);
  }
  expect(isInRanges('10.0.0.1', [])).toBe(false);
});

test.each([
  ['192.0.2.1', '192.0.2.2', false],
  ['::ffff:192.0.2.1', '::ffff:192.0.2.2', false],
  ['2001:db8::1', '2001:db8::ffff:0:0:1', true],
  ['2001:db8::1', '2001:DB8:0:0:8000::', true],
  ['2001:db8:0:1::', '2001:db8:0:2::', false],
  ['fe80::1%eth0', 'fe80::2', true],
  ['', ':', false],
] as const)('%s and %s are of one network: %s', (one, other, same) => {
  expect(networkOf(one) === networkOf(other)).toBe(same);
});

test.each([
  '',
  '/8',
  '10.0.0.0/',
  '10.0.0.0/33',
  '10.0.0.0/08',
  '10.0.0.0/-1',
  '10.0.0.1/8',
  '10.0.0/8',
  '010.0.0.0/8',
  '10.0.0.0/8/8',
  '2001:db8::/129',
  '2001:db8::1/32',
  '2001:db8::/032',
  '::ffff:10.0.0.0/104',
  '::ffff:10.0.0.0/8',
  'fe80::1%eth0',
  '*',
  'localhost',
])('%j is no range', (text) => {
  expect(parseAddressRange(text)).toBeUndefined();
});
