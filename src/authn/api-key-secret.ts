/**
 * New secrets of API keys.
 */
import { hash, randomBytes } from 'node:crypto';

/** 256 random bits: nobody guesses one, so a single SHA-256 is enough to keep. */
const SECRET_BYTES = 32;

export interface NewSecret {
  /** `bk_<id>_<secret>`, whole: it is in no file, and cannot be had again. */
  readonly key: string;
  /** SHA-256 of the secret part, lower-case hex. */
  readonly sha256: string;
}

/** Draws a secret for the key of this id. */
export function newSecret(id: string): NewSecret {
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  return { key: `bk_${id}_${secret}`, sha256: hash('sha256', secret, 'hex') };
}
