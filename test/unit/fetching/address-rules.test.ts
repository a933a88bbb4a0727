import { describe, expect, it } from 'vitest';
import { addressFlaw, isNeverFetched } from '../../../src/fetching/address-rules.ts';
import { parseAddressRange } from '../../../src/kernel/address-range.ts';

const flaw = (address: string, ...allowed: readonly string[]): string | undefined =>
  addressFlaw(
    address,
    allowed.flatMap((range) => parseAddressRange(range) ?? []),
  );

const SPECIAL: readonly (readonly [address: string, range: string])[] = [
  ['127.0.0.1', '127.0.0.0/8'],
  ['127.255.255.254', '127.0.0.0/8'],
  ['::1', '::1'],
  ['10.0.0.0', '10.0.0.0/8'],
  ['10.255.255.255', '10.0.0.0/8'],
  ['172.16.0.1', '172.16.0.0/12'],
  ['172.31.255.255', '172.16.0.0/12'],
  ['192.168.1.1', '192.168.0.0/16'],
  ['100.64.0.1', '100.64.0.0/10'],
  ['192.0.0.1', '192.0.0.0/24'],
  ['198.18.0.1', '198.18.0.0/15'],
  ['203.0.113.7', '203.0.113.0/24'],
  ['::ffff:10.1.2.3', '10.0.0.0/8'],
  ['::ffff:7f00:1', '127.0.0.0/8'],
  ['fd12:3456::1', 'fc00::/7'],
  ['fec0::1', 'fec0::/10'],
  ['2001::1', '2001::/23'],
  ['2001:db8::1', '2001:db8::/32'],
  ['2002:7f00:1::1', '2002::/16'],
  ['64:ff9b::a00:1', '64:ff9b::/96'],
  ['100::1', '100::/64'],
  ['::127.0.0.1', '::/96'],
];

describe('an address that is not public', () => {
  it.each(SPECIAL)('%s is asked only when %s is allowed', (address, range) => {
    expect(flaw(address)).toMatch(/^is /);
    expect(flaw(address, '192.0.2.1')).toMatch(/^is /);
    expect(flaw(address, range)).toBeUndefined();
  });
});

describe('an address that serves no documents', () => {
  it.each([
    '169.254.169.254',
    '::ffff:169.254.169.254',
    'fe80::1',
    'fe80::1%eth0',
    'fd00:ec2::254',
    '100.100.100.200',
    '0.0.0.0',
    '0.1.2.3',
    '::',
    '224.0.0.1',
    'ff02::1',
    '255.255.255.255',
  ])('%s is asked by no configuration', (address) => {
    expect(flaw(address, '0.0.0.0/0', '::/0')).toMatch(/^is /);
  });

  it.each(['169.254.0.0/16', '169.254.169.254', '224.0.0.0/8', 'fe80::/64', '0.0.0.0', '::', 'fd00:ec2::254'])(
    'allowing %s is a mistake',
    (range) => expect(isNeverFetched(range)).toBe(true),
  );

  it.each(['10.0.0.0/8', '100.64.0.0/10', 'fc00::/7', '0.0.0.0/0'])('allowing %s is none', (range) =>
    expect(isNeverFetched(range)).toBe(false),
  );
});

describe('an address of the public internet', () => {
  it.each([
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.255.255',
    '::ffff:8.8.8.8',
    '2606:4700::1111',
  ])('%s is asked', (address) => expect(flaw(address)).toBeUndefined());
});

it('what is no address is never asked', () => {
  for (const text of ['', 'localhost', '10.0.0', '0x7f.1', '1.2.3.4.5'])
    expect(flaw(text, '0.0.0.0/0')).toMatch(/^is /);
});

describe('an IPv4 address by way of NAT64 or 6to4, which the operator has opened,', () => {
  it.each(['64:ff9b::a9fe:a9fe', '64:ff9b::169.254.169.254', '2002:a9fe:a9fe::1', '64:ff9b::6464:64c8', '2002::1'])(
    '%s is asked by no configuration, like the address that it leads to',
    (address) => expect(flaw(address, '64:ff9b::/96', '2002::/16')).toMatch(/^is (a link-local|an) /),
  );

  it.each(['64:ff9b::808:808', '2002:808:808::1'])('%s is asked', (address) => {
    expect(flaw(address, '64:ff9b::/96', '2002::/16')).toBeUndefined();
  });
});
