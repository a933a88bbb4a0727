/**
 * Private keys in files: PKCS #8, sealed when there is a passphrase. No error here quotes a key, a passphrase or a file's text.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { encryptPrivateKey } from '../identity/encrypted-private-key.ts';
import { MAX_PEM_BYTES, readSecretFile, SECRET_MODE, writeFileDurably } from './files.ts';
import { damaged, refused } from './problem.ts';

/** What seals keys at rest; it cannot be printed by accident. */
export class Passphrase {
  readonly #bytes: Buffer;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** From a file's or a variable's text, less one line end. Throws a PkiProblem when it is too short or too long. */
  static from(text: string, source: string): Passphrase {
    const bytes = Buffer.from(text.replace(/\r?\n$/, ''), 'utf8');
    if (bytes.length < MIN_PASSPHRASE_BYTES || bytes.length > MAX_PASSPHRASE_BYTES) {
      throw refused(
        `the passphrase of ${source} does not have ${MIN_PASSPHRASE_BYTES} to ${MAX_PASSPHRASE_BYTES} bytes`,
        'make a good one: openssl rand -base64 32 > FILE',
      );
    }
    return new Passphrase(bytes);
  }

  seal(key: KeyObject): string {
    return encryptPrivateKey(key, this.#bytes);
  }

  /** Throws whatever OpenSSL has to say. */
  open(pem: Buffer): KeyObject {
    return createPrivateKey({ key: pem, passphrase: this.#bytes });
  }
}

export const MIN_PASSPHRASE_BYTES = 12;
/** OpenSSL's own limit. */
export const MAX_PASSPHRASE_BYTES = 1024;

/** Writes a private key for its owner alone, sealed by the passphrase where there is one. */
export function writePrivateKey(path: string, key: KeyObject, passphrase: Passphrase | undefined): void {
  const pem = passphrase === undefined ? key.export({ type: 'pkcs8', format: 'pem' }) : passphrase.seal(key);
  writeFileDurably(path, pem.toString(), SECRET_MODE);
}

/** Reads a private key. Throws a PkiProblem when it cannot be read, or not with this passphrase. */
export function readPrivateKey(path: string, passphrase: Passphrase | undefined): KeyObject {
  const pem = readSecretFile(path, MAX_PEM_BYTES);
  const sealed = pem.includes('BEGIN ENCRYPTED PRIVATE KEY');
  if (sealed && passphrase === undefined) {
    throw refused(
      `${path} is encrypted, and there is no passphrase`,
      'name the file with it: --passphrase-file FILE, or set BULKHEAD_PKI_PASSPHRASE',
    );
  }
  try {
    return sealed && passphrase !== undefined ? passphrase.open(pem) : createPrivateKey(pem);
  } catch {
    if (sealed) throw refused(`the passphrase does not open ${path}`, 'give the one that it was made with');
    throw damaged(path, 'holds no private key', 'put it back from a backup');
  } finally {
    pem.fill(0);
  }
}
