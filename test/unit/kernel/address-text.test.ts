import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addressText } from '../../../src/kernel/address-text.ts';

const octets = (hex: string): Uint8Array => Buffer.from(hex, 'hex');

test.each([
  ['00000000', '0.0.0.0'],
  ['ffffffff', '255.255.255.255'],
  ['00000000000000000000000000000000', '::'],
  ['00000000000000000000000000000001', '::1'],
  ['20010db8000000000000000000000001', '2001:db8::1'],
  ['20010db80000000000010000000000ff', '2001:db8::1:0:0:ff'],
  ['20010000000000010000000000000001', '2001:0:0:1::1'],
  ['20010db8000100010001000100010001', '2001:db8:1:1:1:1:1:1'],
  // One group of zeros is not shortened (RFC 5952 §4.2.2).
  ['20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
  ['fe800000000000000000000000000000', 'fe80::'],
  ['00000000000000000000ffffcb007107', '203.0.113.7'],
  ['000000000000000000000000cb007107', '::cb00:7107'],
])('%s is %s', (hex, text) => {
  expect(addressText(octets(hex))).toBe(text);
});

test('an address is one, and the text that a URL has for it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.nat(0xffff), (bytes, mask) => {
      const sparse = bytes.map((octet, index) => ((mask >> index) & 1 ? octet : 0));
      const text = addressText(sparse);
      if (isIPv4(text)) return;
      expect(isIPv6(text)).toBe(true);
      expect(new URL(`http://[${text}]/`).hostname).toBe(`[${text}]`);
    }),
  );
});
