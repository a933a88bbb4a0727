/** Where public test data lies: the folder that BULKHEAD_VECTORS names, or `shared/vectors` beside the repository. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const folder = process.env['BULKHEAD_VECTORS'] ?? resolve(import.meta.dirname, '../../../shared/vectors');

/** The files of a folder of vectors, sorted. Throws when it is absent: a suite without its vectors proves nothing. */
export function vectorFiles(name: string): string[] {
  const path = join(folder, name);
  return readdirSync(path)
    .sort()
    .map((file) => join(path, file));
}

/** Reads a JSON file of the vectors. Its shape is its publisher's: the caller says which. */
export function readVector<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}
