import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NAMESPACE_SECRET_FILE, namespaceSecret } from '../../../src/runtime/namespace-secret.ts';
import { emptyDirectory } from '../../fakes/configuration.ts';

describe('the secret of the namespaces', () => {
  it('is made once, for its owner alone, and is the same from then on', () => {
    const directory = join(emptyDirectory(), 'audit');
    const secret = namespaceSecret(directory);
    expect(secret).toHaveLength(32);
    expect(namespaceSecret(directory).equals(secret)).toBe(true);
    expect(readdirSync(directory)).toEqual([NAMESPACE_SECRET_FILE]);
    expect(statSync(join(directory, NAMESPACE_SECRET_FILE)).mode & 0o777).toBe(0o600);
    expect(namespaceSecret(join(emptyDirectory(), 'other')).equals(secret)).toBe(false);
  });

  it('is not taken from a file that is none, and that is left as it is', () => {
    const directory = emptyDirectory();
    const path = join(directory, NAMESPACE_SECRET_FILE);
    for (const text of ['', 'short', 'x'.repeat(33)]) {
      writeFileSync(path, text);
      expect(() => namespaceSecret(directory)).toThrow(/namespace\.secret is not a secret of 32 bytes/);
      expect(readFileSync(path, 'utf8')).toBe(text);
    }
  });
});
