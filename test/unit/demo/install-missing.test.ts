import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../install-missing.mjs', import.meta.url));
const PINNED = `node_modules/node-${process.platform}-${process.arch}`;

/** A lock file whose root has one dependency, one optional package of another platform, and the pinned Node. */
const LOCK = {
  '': { name: 'clone' },
  'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
  'node_modules/a-other-platform': { version: '1.0.0', integrity: 'sha512-o', optional: true },
  [PINNED]: { version: '26.0.0', integrity: 'sha512-n', optional: true },
};
const INSTALLED = { 'node_modules/a': LOCK['node_modules/a'], [PINNED]: LOCK[PINNED] };

describe('install-missing', () => {
  let clone = '';

  beforeEach(() => {
    clone = mkdtempSync(join(tmpdir(), 'install-missing-'));
    for (const directory of ['test', 'bin']) mkdirSync(join(clone, directory));
    copyFileSync(SCRIPT, join(clone, 'test', 'install-missing.mjs'));
    writeFileSync(join(clone, 'package-lock.json'), JSON.stringify({ packages: LOCK }));
  });

  afterEach(() => rmSync(clone, { recursive: true, force: true }));

  it('installs when node_modules is missing', async () => {
    npmThatInstalls(INSTALLED);
    const { code, stdout } = await run();
    expect(stdout).toContain('node_modules is missing');
    expect(code).toBe(0);
    expect(npmCalls()).toEqual(['install --no-save --no-audit --no-fund --no-progress --loglevel=error']);
  });

  it('does nothing when everything that this platform needs is installed', async () => {
    install(INSTALLED);
    npmThatInstalls(INSTALLED);
    expect(await run()).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(npmCalls()).toEqual([]);
  });

  it.each([
    ['another version', { ...INSTALLED, 'node_modules/a': { version: '0.9.0', integrity: 'sha512-a' } }, 'is 0.9.0'],
    [
      'other content',
      { ...INSTALLED, 'node_modules/a': { version: '1.0.0', integrity: 'sha512-x' } },
      'node_modules/a is',
    ],
    ['a package too few', { [PINNED]: LOCK[PINNED] }, 'node_modules/a is not installed'],
    ['a package too many', { ...INSTALLED, 'node_modules/b': { version: '1.0.0' } }, 'not in package-lock.json'],
    ['no pinned Node', { 'node_modules/a': LOCK['node_modules/a'] }, `${PINNED} is not installed`],
  ])('installs again when node_modules has %s', async (_, installed, why) => {
    install(installed);
    npmThatInstalls(INSTALLED);
    const { code, stdout } = await run();
    expect(stdout).toContain(why);
    expect(code).toBe(0);
    expect(npmCalls()).toHaveLength(1);
  });

  it('fails when npm fails', async () => {
    writeFileSync(join(clone, 'bin', 'npm'), '#!/bin/sh\nexit 7\n');
    chmodSync(join(clone, 'bin', 'npm'), 0o755);
    const { code, stderr } = await run();
    expect(stderr).toContain('npm install ended with exit code 7');
    expect(code).toBe(1);
  });

  it('fails when npm says that all is well and it is not', async () => {
    npmThatInstalls({});
    const { code, stderr } = await run();
    expect(stderr).toContain('after the installation still');
    expect(code).toBe(1);
  });

  it('runs the script that it is given, and ends with its exit code', async () => {
    install(INSTALLED);
    writeFileSync(join(clone, 'then.mjs'), 'console.log(process.argv.slice(2).join()); process.exit(3);');
    expect(await run(join(clone, 'then.mjs'), '--keep')).toEqual({ code: 3, stdout: '--keep\n', stderr: '' });
  });

  function install(packages: object): void {
    mkdirSync(join(clone, 'node_modules'), { recursive: true });
    writeFileSync(join(clone, 'node_modules', '.package-lock.json'), JSON.stringify({ packages }));
  }

  function npmThatInstalls(packages: object): void {
    const lines = [
      '#!/bin/sh',
      `echo "$@" >> ${clone}/npm-calls`,
      `mkdir -p ${clone}/node_modules`,
      `cat > ${clone}/node_modules/.package-lock.json <<'JSON'`,
      JSON.stringify({ packages }),
      'JSON',
    ];
    writeFileSync(join(clone, 'bin', 'npm'), `${lines.join('\n')}\n`);
    chmodSync(join(clone, 'bin', 'npm'), 0o755);
  }

  function npmCalls(): string[] {
    try {
      return readFileSync(join(clone, 'npm-calls'), 'utf8').trim().split('\n');
    } catch {
      return [];
    }
  }

  function run(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const env = { ...process.env, PATH: `${join(clone, 'bin')}${delimiter}${process.env['PATH']}` };
    return new Promise((resolve) => {
      const script = join(clone, 'test', 'install-missing.mjs');
      execFile(process.execPath, [script, ...args], { env }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      });
    });
  }
});
