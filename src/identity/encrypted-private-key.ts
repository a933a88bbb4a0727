/**
 * Writes a private key under a passphrase: PKCS #8 EncryptedPrivateKeyInfo with PBES2 (RFC 8018 §6.2), PBKDF2 and AES-256.
 *
 * Node's own export does the same with 2048 iterations, which a graphics card tries a million times a second. The number is
 * in the file, so that OpenSSL (and node:crypto) read it as any other.
 */
import { createCipheriv, type KeyObject, pbkdf2Sync, randomBytes } from 'node:crypto';
import { der, encodeDer } from './der.ts';

/** OWASP's number for PBKDF2 with HMAC-SHA-256; about a fifth of a second. */
const ITERATIONS = 600_000;
const KEY_BYTES = 32;

const OID = {
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  hmacWithSha256: '1.2.840.113549.2.9',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
} as const;

/** The key as PEM, `ENCRYPTED PRIVATE KEY`. */
export function encryptPrivateKey(key: KeyObject, passphrase: Buffer): string {
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const secret = pbkdf2Sync(passphrase, salt, ITERATIONS, KEY_BYTES, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', secret, iv);
  const clear = key.export({ type: 'pkcs8', format: 'der' });
  const sealed = Buffer.concat([cipher.update(clear), cipher.final()]);
  clear.fill(0);
  secret.fill(0);
  const iterations = Buffer.alloc(3);
  iterations.writeUIntBE(ITERATIONS, 0, 3);
  const derivation = der.sequence(
    der.oid(OID.pbkdf2),
    der.sequence(der.octetString(salt), der.integer(iterations), der.sequence(der.oid(OID.hmacWithSha256), der.null())),
  );
  const scheme = der.sequence(der.oid(OID.aes256Cbc), der.octetString(iv));
  const algorithm = der.sequence(der.oid(OID.pbes2), der.sequence(derivation, scheme));
  const base64 = encodeDer(der.sequence(algorithm, der.octetString(sealed))).toString('base64');
  return `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${base64.replaceAll(/.{1,64}/g, '$&\n')}-----END ENCRYPTED PRIVATE KEY-----\n`;
}
