import { rmSync, utimesSync, writeFileSync } from 'node:fs';
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
