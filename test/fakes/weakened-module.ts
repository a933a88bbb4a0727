/**
 * A module of ours without one of its checks: a copy of its source in which a text is another, so that a test can show that what the check
 * refuses gets through without it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './temporary-directory.ts';

const SOURCES = join(dirname(fileURLToPath(import.meta.url)), '../../src');

/** The copy's text. `from` must stand in it, so that a check which was written otherwise is not left out by mistake. */
export async function weakened(module: string, from: string, to: string): Promise<Record<string, unknown>> {
  const file = join(SOURCES, module);
  const source = readFileSync(file, 'utf8');
  if (source.split(from).length !== 2) throw new Error(`not once in ${module}: ${from}`);
  const copy = join(temporaryDirectory(), 'weakened.ts');
  const absolute = (_: string, path: string): string => `from '${resolve(dirname(file), path)}'`;
  writeFileSync(copy, source.replace(from, to).replaceAll(/from '(\.[^']+)'/g, absolute));
  return (await import(copy)) as Record<string, unknown>;
}
