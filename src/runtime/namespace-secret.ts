/**
 * The secret that the names of tenants are drawn from, beside the audit log: it stays as long as that does, so that sequences go on and
 * regions keep their names when the sidecar starts again. Every worker of every process on the directory has the same one.
 */
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NAMESPACE_SECRET_BYTES } from '../inspection/namespace.ts';

export const NAMESPACE_SECRET_FILE = 'namespace.secret';

/** Reads the secret, and makes it when there is none. Throws when it can be neither, or is none of ours. */
export function namespaceSecret(directory: string): Buffer {
  const path = join(directory, NAMESPACE_SECRET_FILE);
  const secret = read(path) ?? create(directory, path);
  if (secret.length === NAMESPACE_SECRET_BYTES) return secret;
  throw new Error(`${path} is not a secret of ${NAMESPACE_SECRET_BYTES} bytes: put back what was there, or remove it`);
}

/** Whoever is first makes it, whole; all others read it. */
function create(directory: string, path: string): Buffer {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(8).toString('hex')}`;
  writeFileSync(temporary, randomBytes(NAMESPACE_SECRET_BYTES), { flag: 'wx', mode: 0o600 });
  try {
    linkSync(temporary, path);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  return readFileSync(path);
}

function read(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
