import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileCache } from '../../../src/config/file-cache.ts';
import { emptyDirectory } from '../../fakes/configuration.ts';

let directory = '';
beforeEach(() => {
  directory = emptyDirectory();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('a file that was just written is looked at again, whatever time it was given (cp -p, tar)', () => {
  const file = join(directory, 'a.yaml');
  const longAgo = new Date(Date.now() - 3_600_000);
  const isLookedAtAgain = (): boolean => {
    const cache = new FileCache();
    cache.begin(undefined);
    writeFileSync(file, 'a');
    utimesSync(file, longAgo, longAgo);
    cache.read(file);
    cache.begin([]);
    return cache.suspects?.has(file) === true;
  };
  // More than once: on a busy machine the file may be old when it is read.
  const tries = Array.from({ length: 100 }, isLookedAtAgain);
  expect(tries).toContain(true);
});

test('what is no file is not read, and nobody waits for who would write to a pipe', () => {
  const pipe = join(directory, 'pipe');
  execFileSync('mkfifo', [pipe]);
  mkdirSync(join(directory, 'directory'));
  symlinkSync(join(directory, 'loop'), join(directory, 'loop'));
  symlinkSync('/dev/zero', join(directory, 'zero'));
  const cache = new FileCache();
  cache.begin(undefined);
  const read = (name: string): string => {
    const content = cache.read(join(directory, name));
    return content.ok ? content.value.text : content.error;
  };
  expect(['pipe', 'directory', 'loop', 'zero', 'nothing'].map(read)).toEqual([
    'is not a file',
    'is not a file',
    'is a symbolic link that leads back to itself',
    'is not a file',
    'does not exist',
  ]);
});

test('a file of n bytes is read, and not one of a byte more', () => {
  const cache = new FileCache();
  cache.begin(undefined);
  const ofBytes = (bytes: number): boolean => {
    const file = join(directory, `${bytes}`);
    writeFileSync(file, '');
    truncateSync(file, bytes);
    return cache.read(file).ok;
  };
  expect([ofBytes(4 * 1024 ** 2), ofBytes(4 * 1024 ** 2 + 1)]).toEqual([true, false]);
});
