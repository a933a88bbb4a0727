/**
 * Reads the passphrases that a user names.
 */
import { readFileSync, statSync } from 'node:fs';
import type { Passphrases } from '../../pki/issuing.ts';
import { MAX_PASSPHRASE_BYTES, Passphrase } from '../../pki/private-key.ts';
import { refused } from '../../pki/problem.ts';
import { type CommonOptions, PASSPHRASE_VARIABLE } from '../pki-options.ts';

/** The passphrase that the user gave, if any. Throws a PkiProblem. */
export function passphraseOf(options: Pick<CommonOptions, 'passphraseFile'>): Passphrase | undefined {
  const { passphraseFile } = options;
  if (passphraseFile !== undefined) return passphraseFromFile(passphraseFile);
  const variable = process.env[PASSPHRASE_VARIABLE];
  return variable === undefined || variable === '' ? undefined : Passphrase.from(variable, PASSPHRASE_VARIABLE);
}

/** Reads a passphrase file, which may be a pipe. Throws a PkiProblem. */
export function passphraseFromFile(file: string): Passphrase {
  let text: string;
  try {
    // A line end more than the longest one.
    if (statSync(file).size > MAX_PASSPHRASE_BYTES + 2) throw new RangeError('it is too large for one');
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw refused(`cannot read the passphrase: ${why}`, 'name a file that holds it and nothing else');
  }
  return Passphrase.from(text, file);
}

/** The passphrases of both kinds. Throws a PkiProblem. */
export function passphrasesOf(options: CommonOptions & { readonly keyPassphraseFile?: string }): Passphrases {
  const { keyPassphraseFile } = options;
  return {
    authority: passphraseOf(options),
    leaf: keyPassphraseFile === undefined ? undefined : passphraseFromFile(keyPassphraseFile),
  };
}
