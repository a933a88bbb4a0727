import { execFileSync } from 'node:child_process';
import { describe, expect, it, test } from 'vitest';
import { MAX_SIGNING_REQUEST_BYTES, readSigningRequest } from '../../../src/identity/signing-request.ts';

/** A request as OpenSSL makes it, with a new key. */
function request(...options: readonly string[]): string {
  const args = ['req', '-new', '-nodes', '-keyout', '/dev/null', '-subj', '/CN=x', ...options];
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}

const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'] as const;
const verdict = (pem: string): string => {
  const read = readSigningRequest(pem);
  return read.ok ? 'good' : read.error;
};

describe('a request is taken', () => {
  it.each<[string, readonly string[]]>([
    ['P-256', P256],
    ['P-384 with SHA-384', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384', '-sha384']],
    ['Ed25519', ['-newkey', 'ed25519']],
    ['RSA of 2048 bits', ['-newkey', 'rsa:2048']],
  ])('with %s', (_, options) => {
    expect(verdict(request(...options))).toBe('good');
  });
});

describe('a request is refused', () => {
  it.each<[string, readonly string[], RegExp]>([
    ['RSA of 1024 bits', ['-newkey', 'rsa:1024'], /^has an RSA key of 1024 bits, less than 2048$/],
    [
      'a curve that is not one of the three',
      ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1'],
      /^has a key on curve secp256k1$/,
    ],
    [
      'a signature with SHA-1',
      [...P256, '-sha1'],
      /^is not signed with the key that it asks for, or by an algorithm that is not allowed$/,
    ],
    ['Ed448', ['-newkey', 'ed448'], /^has a key of type ed448$/],
  ])('with %s', (_, options, why) => {
    expect(verdict(request(...options))).toMatch(why);
  });

  it('with somebody else’s key in it: whoever asks must have it', () => {
    const der = (pem: string): Buffer => Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ''), 'base64');
    const [own, theirs] = [der(request(...P256)), der(request(...P256))];
    // Both have the same subject, so that the keys stand at the same place: the last 65 octets before the attributes.
    const at = own.indexOf(Buffer.from('034200', 'hex'));
    expect(theirs.indexOf(Buffer.from('034200', 'hex'))).toBe(at);
    const pem = (bytes: Buffer): string =>
      `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    expect(verdict(pem(own))).toBe('good');
    theirs.copy(own, at + 3, at + 3, at + 68);
    expect(verdict(pem(own))).toMatch(/^is not signed with the key that it asks for/);
  });

  it('that is none, or is too large', () => {
    const good = request(...P256);
    expect(verdict('')).toBe('holds no PEM certificate signing request');
    expect(verdict('-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n')).toMatch(
      /^is not/,
    );
    const padding = (bytes: number): string => good + '\n'.repeat(bytes - good.length);
    expect(verdict(padding(MAX_SIGNING_REQUEST_BYTES))).toBe('good');
    expect(verdict(padding(MAX_SIGNING_REQUEST_BYTES + 1))).toBe('is larger than 65536 bytes');
  });
});

test('a request with any bit changed is refused, and never throws', () => {
  const pem = request(...P256);
  const der = Buffer.from(pem.replaceAll(/-----.*-----|\s/g, ''), 'base64');
  for (let index = 0; index < der.length; index += 1) {
    const mutant = Buffer.from(der);
    mutant.writeUInt8(mutant.readUInt8(index) ^ (1 << (index % 8)), index);
    const text = `-----BEGIN CERTIFICATE REQUEST-----\n${mutant.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    expect(verdict(text), `octet ${index}`).not.toBe('good');
  }
});
