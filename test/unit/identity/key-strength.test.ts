import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect, test } from 'vitest';
import { keyWeakness, MAX_RSA_BITS, MIN_RSA_BITS } from '../../../src/identity/key-strength.ts';

/** A public key of so many bits, without the minutes that it takes to find its primes: 2^(bits-1) + 1. */
function rsa(bits: number, exponent = 'AQAB'): KeyObject {
  const modulus = Buffer.alloc(Math.ceil(bits / 8));
  modulus.writeUInt8(1 << ((bits - 1) % 8), 0);
  modulus.writeUInt8(modulus.readUInt8(modulus.length - 1) | 1, modulus.length - 1);
  return createPublicKey({ format: 'jwk', key: { kty: 'RSA', n: modulus.toString('base64url'), e: exponent } });
}

test('RSA has its bounds', () => {
  expect(keyWeakness(rsa(MIN_RSA_BITS))).toBe(undefined);
  expect(keyWeakness(rsa(MIN_RSA_BITS - 1))).toBe('an RSA key of 2047 bits, less than 2048');
  expect(keyWeakness(rsa(MAX_RSA_BITS))).toBe(undefined);
  expect(keyWeakness(rsa(MAX_RSA_BITS + 1))).toBe('an RSA key of 8193 bits, more than 8192');
  expect(keyWeakness(rsa(2048, 'Aw'))).toBe('an RSA key of exponent 3');
});

test.each(['P-256', 'P-384', 'P-521'])('curve %s is fit', (namedCurve) => {
  expect(keyWeakness(generateKeyPairSync('ec', { namedCurve }).publicKey)).toBe(undefined);
});

test('other curves and kinds are not', () => {
  expect(keyWeakness(generateKeyPairSync('ed25519').publicKey)).toBe(undefined);
  expect(keyWeakness(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey)).toBe(
    'a key on curve secp256k1',
  );
  expect(keyWeakness(generateKeyPairSync('ec', { namedCurve: 'secp224r1' }).publicKey)).toBe(
    'a key on curve secp224r1',
  );
  expect(keyWeakness(generateKeyPairSync('ed448').publicKey)).toBe('a key of type ed448');
  expect(keyWeakness(generateKeyPairSync('dsa', { modulusLength: 1024 }).publicKey)).toBe('a key of type dsa');
});

test('a curve of the attacker’s own, P-256 with another generator, is not P-256', () => {
  const make = ['ecparam', '-name', 'prime256v1', '-param_enc', 'explicit', '-genkey', '-noout'];
  const key = execFileSync('openssl', make, { stdio: ['ignore', 'pipe', 'ignore'] });
  const toPublic = ['pkey', '-pubout', '-outform', 'DER', '-ec_param_enc', 'explicit'];
  const spki = execFileSync('openssl', toPublic, { input: key });
  expect(keyWeakness(createPublicKey({ key: spki, format: 'der', type: 'spki' }))).toBe(undefined);
  // CVE-2020-0601: with the public point as generator, the private key is 1 for everybody.
  const generator = spki.indexOf(Buffer.from('046b17d1f2e12c4247', 'hex'));
  expect(generator).toBeGreaterThan(0);
  spki.copy(spki, generator, spki.length - 65);
  expect(verdict(spki)).toMatch(/^a key (on curve unknown|that cannot be read)$/);
});

function verdict(spki: Buffer): string | undefined {
  try {
    return keyWeakness(createPublicKey({ key: spki, format: 'der', type: 'spki' }));
  } catch {
    return 'a key that cannot be read';
  }
}
