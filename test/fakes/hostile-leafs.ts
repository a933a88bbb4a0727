/**
 * Client certificates that a tenant's own CA has signed and that still may not speak for a client: what OpenSSL says of them, where it is
 * asked, and what we do. The tenant is acme of `fakeTenant`.
 */
import { generateKeyPairSync } from 'node:crypto';
import type { CertificateTemplate } from '../../src/identity/certificate-encoder.ts';
import { EXTENDED_KEY_USAGE } from '../../src/identity/extended-key-usage.ts';
import type { KeyPair } from './crafted-certificates.ts';

export interface HostileLeaf {
  /** Our own verdict. */
  readonly why: string;
  /** OpenSSL's, as Node names it; absent: it lets the certificate pass. */
  readonly openssl?: string;
  readonly changes: Partial<CertificateTemplate>;
  readonly pair?: () => KeyPair;
}

const uris = (...all: readonly string[]): Partial<CertificateTemplate> => ({
  subjectAltNames: all.map((uri) => ({ kind: 'uri', uri })),
});

export const HOSTILE_LEAFS: readonly HostileLeaf[] = [
  { why: 'a CA certificate cannot be a client', changes: { basicConstraints: { ca: true, pathLength: undefined } } },
  { why: 'no clientAuth extended key usage', changes: { extendedKeyUsage: [] } },
  {
    why: 'no clientAuth extended key usage',
    openssl: 'INVALID_PURPOSE',
    changes: { extendedKeyUsage: ['2.5.29.37.0'] },
  },
  {
    why: 'no clientAuth extended key usage',
    openssl: 'INVALID_PURPOSE',
    changes: { extendedKeyUsage: [EXTENDED_KEY_USAGE.serverAuth] },
  },
  { why: 'certificate version 1, not 3', changes: { version: 1 } },
  { why: 'serial number is not positive', changes: { serial: Buffer.from([0]) } },
  { why: 'serial number is not positive', changes: { serial: Buffer.from([0x80]) } },
  { why: 'serial number of 21 octets', changes: { serial: Buffer.alloc(21, 1) } },
  {
    why: 'a key that may sign certificates or revocation lists cannot be a client',
    changes: { keyUsage: ['digitalSignature', 'crlSign'] },
  },
  { why: 'no digitalSignature key usage', openssl: 'INVALID_PURPOSE', changes: { keyUsage: ['keyEncipherment'] } },
  { why: 'a SPIFFE certificate has one URI', changes: uris('spiffe://acme.example/a', 'spiffe://acme.example/b') },
  { why: 'a SPIFFE certificate has one URI', changes: uris('spiffe://acme.example/a', 'https://acme.example/a') },
  { why: 'malformed SPIFFE id', changes: uris('spiffe://acme.example/a/../b') },
  { why: 'malformed SPIFFE id', changes: uris('spiffe://acme.example/%61') },
  { why: 'malformed SPIFFE id', changes: uris('spiffe://acme.example:8443/a') },
  { why: 'malformed SPIFFE id', changes: uris('spiffe://acme.example/a/') },
  { why: 'a SPIFFE id without a path is no client', changes: uris('spiffe://acme.example') },
  { why: 'trust domain globex.example, not acme.example', changes: uris('spiffe://globex.example/client') },
  { why: 'no SPIFFE id of trust domain acme.example', changes: uris('https://acme.example/client') },
  {
    why: 'expired or not yet valid',
    openssl: 'CERT_HAS_EXPIRED',
    changes: { notAfter: new Date(Date.now() - 1_000) },
  },
  {
    why: 'expired or not yet valid',
    openssl: 'CERT_NOT_YET_VALID',
    changes: { notBefore: new Date(Date.now() + 600_000) },
  },
  { why: 'it has a key of type ed448', changes: {}, pair: () => generateKeyPairSync('ed448') },
  {
    why: 'it has an RSA key of exponent 3',
    changes: {},
    pair: () => generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }),
  },
  {
    why: 'it has an RSA key of 1024 bits, less than 2048',
    // Node has no name for: end entity key too small.
    openssl: 'UNSPECIFIED',
    changes: {},
    pair: () => generateKeyPairSync('rsa', { modulusLength: 1024 }),
  },
];
