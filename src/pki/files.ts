/**
 * Reads and writes the files of a PKI directory. A file is replaced whole and durably or not at all; what is read must be
 * a plain file of a sane size, and a private key must be nobody else's to read.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { damaged } from './problem.ts';

/** Certificates and keys have a few KiB. */
export const MAX_PEM_BYTES = 1024 ** 2;
/** About 100,000 certificates that are remembered. */
export const MAX_LEDGER_BYTES = 64 * 1024 ** 2;

export const SECRET_MODE = 0o600;
export const PUBLIC_MODE = 0o644;

/** Reads a file that must be there. Throws a PkiProblem. */
export function readTextFile(path: string, maxBytes: number): string {
  return withFile(path, maxBytes, (file) => readFileSync(file, 'utf8'));
}

/** Reads a file that nobody but its owner may be able to read. Throws a PkiProblem. */
export function readSecretFile(path: string, maxBytes: number): Buffer {
  return withFile(path, maxBytes, (file) => {
    const mode = fstatSync(file).mode & 0o777;
    if ((mode & 0o077) !== 0) {
      throw damaged(path, `can be read by others (mode ${mode.toString(8).padStart(4, '0')})`, `chmod 600 ${path}`);
    }
    return readFileSync(file);
  });
}

/** Replaces a file in one step that survives a crash: the old one or the new one is there, never half of it. */
export function writeFileDurably(path: string, text: string, mode: number): void {
  const draft = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  try {
    writeNewFile(draft, text, mode);
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
  syncDirectory(dirname(path));
}

/** Makes a link point elsewhere in one step: whoever opens it finds all of the old directory or all of the new one. */
export function pointLink(link: string, target: string): void {
  const draft = `${link}.${randomBytes(6).toString('hex')}`;
  symlinkSync(target, draft);
  try {
    renameSync(draft, link);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
  syncDirectory(dirname(link));
}

/** Makes a directory that only its owner may enter, and those above it. */
export function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

function writeNewFile(path: string, text: string, mode: number): void {
  const file = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, mode);
  try {
    // Whatever the umask took away from a public file.
    fchmodSync(file, mode);
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function syncDirectory(path: string): void {
  const directory = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

function withFile<T>(path: string, maxBytes: number, read: (file: number) => T): T {
  const file = openForReading(path);
  try {
    const { size } = fstatSync(file);
    if (!fstatSync(file).isFile()) throw damaged(path, 'is not a file', 'put the file back from a backup');
    if (size > maxBytes) throw damaged(path, `is larger than ${maxBytes} bytes`, 'put the file back from a backup');
    return read(file);
  } finally {
    closeSync(file);
  }
}

/** Neither a link in place of the file nor a pipe that never answers is followed. */
function openForReading(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'ENOENT' || code === 'ENOTDIR') throw damaged(path, 'is not there', 'put it back from a backup');
    if (code === 'ELOOP') throw damaged(path, 'is a symbolic link', 'put the file itself there');
    if (code === 'EACCES')
      throw damaged(path, 'cannot be read (permission denied)', 'run as the owner of the directory');
    throw error;
  }
}
