/**
 * Changes on disk, as editors, copies and Kubernetes make them, with the real file system.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { ConfigurationWatcher, type WatchOptions } from '../../../src/config/watch.ts';
import {
  addSmallTenant,
  edit,
  emptyDirectory,
  SMALL_MAIN,
  SMALL_TENANT,
  write,
  writeSmall,
} from '../../fakes/configuration.ts';

/** Long enough for the kernel's notice and the quiet time; short enough to wait for nothing. */
const SETTLE_MS = 150;
const TIMES: WatchOptions = { pollMs: 60_000, quietMs: 20, patienceMs: 200, maxDirectories: 1_024, maxNotices: 8_192 };
/** As where the kernel has no watches left. */
const LOOKING: Partial<WatchOptions> = { pollMs: 50, maxDirectories: 0 };

let directory = '';
let told = 0;
/** What was told of the last time. */
let suspects: ReadonlySet<string> | undefined;
let watcher: ConfigurationWatcher | undefined;

beforeEach(() => {
  directory = emptyDirectory();
  told = 0;
  suspects = undefined;
});
afterEach(() => {
  watcher?.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Watches what a load of the main file looks at. */
async function watching(mainFile: string, times: Partial<WatchOptions> = {}): Promise<ConfigurationLoader> {
  const loader = new ConfigurationLoader({ environment: {} });
  await loader.load(mainFile, undefined);
  watcher = new ConfigurationWatcher(mainFile, hear, { ...TIMES, ...times });
  watcher.watch(loader.files);
  await setTimeout(SETTLE_MS);
  told = 0;
  return loader;
}

function hear(which: ReadonlySet<string> | undefined): void {
  told += 1;
  suspects = which;
}

async function toldAfter(change: () => void): Promise<number> {
  change();
  const until = performance.now() + 5_000;
  while (told === 0 && performance.now() < until) await setTimeout(10);
  await setTimeout(SETTLE_MS);
  return told;
}

describe('a change is told once', () => {
  let mainFile = '';

  beforeEach(async () => {
    mainFile = writeSmall(directory);
    await watching(mainFile);
  });

  test.each([
    ['the main file is written over', () => writeFileSync(mainFile, `${SMALL_MAIN}# changed\n`)],
    ['a tenant’s file is written over', () => edit(join(directory, 'tenants/acme.yaml'), '100/s', '50/s')],
    ['a tenant’s file is added', () => addSmallTenant(directory, 'globex')],
    ['a tenant’s file is removed', () => unlinkSync(join(directory, 'tenants/acme.yaml'))],
    ['a certificate is replaced', () => writeFileSync(join(directory, 'pki/acme/server.pem'), 'x')],
    ['a key set is replaced', () => writeFileSync(join(directory, 'jwks/acme.json'), '{}')],
    [
      'an editor renames a new file over the old one',
      () => {
        writeFileSync(join(directory, 'tenants/.acme.yaml.swp'), `${SMALL_TENANT}# changed\n`);
        renameSync(join(directory, 'tenants/.acme.yaml.swp'), join(directory, 'tenants/acme.yaml'));
      },
    ],
  ])('when %s', async (_, change) => {
    expect(await toldAfter(change)).toBe(1);
  });

  test('when many files are written one after the other', async () => {
    expect(
      await toldAfter(() => {
        for (let index = 0; index < 50; index += 1) write(join(directory, `tenants/t${index}.yaml`), 'x');
      }),
    ).toBe(1);
  });

  test('and nothing is told when nothing changes', async () => {
    await setTimeout(SETTLE_MS);
    readFileSync(mainFile);
    await setTimeout(SETTLE_MS);
    expect(told).toBe(0);
  });

  test('and nothing is told of a log that is written beside the files', async () => {
    for (const place of ['sidecar.log', 'tenants/sidecar.log', 'pki/acme/sidecar.log'])
      write(join(directory, place), 'x');
    await setTimeout(SETTLE_MS);
    expect(told).toBe(0);
  });

  test('and nothing after the watcher is closed', async () => {
    watcher?.close();
    writeFileSync(mainFile, 'x');
    await setTimeout(SETTLE_MS);
    expect(told).toBe(0);
  });
});

test('a file that is written all the time is told of before it rests', async () => {
  const mainFile = writeSmall(directory);
  await watching(mainFile, { quietMs: 100, patienceMs: 250 });
  const until = performance.now() + 1_500;
  while (told === 0 && performance.now() < until) {
    writeFileSync(mainFile, `${SMALL_MAIN}# ${performance.now()}\n`);
    await setTimeout(20);
  }
  expect(told).toBe(1);
});

/** A mounted ConfigMap or Secret: files are links into `..data`, which is a link to a directory with a time stamp. */
class Mounted {
  readonly path: string;
  #version = 0;

  constructor(path: string, files: Readonly<Record<string, string>>) {
    this.path = path;
    mkdirSync(path, { recursive: true });
    this.swap(files);
  }

  /** As kubelet's atomic writer does it: new directory, new link, rename over the old link, remove the old directory. */
  swap(files: Readonly<Record<string, string>>): void {
    const old = `..version-${this.#version}`;
    this.#version += 1;
    const fresh = `..version-${this.#version}`;
    for (const [name, text] of Object.entries(files)) write(join(this.path, fresh, name), text);
    symlinkSync(fresh, join(this.path, '..data_tmp'));
    renameSync(join(this.path, '..data_tmp'), join(this.path, '..data'));
    for (const name of Object.keys(files)) {
      const link = join(this.path, name);
      if (!existsSync(link)) symlinkSync(join('..data', name), link);
    }
    rmSync(join(this.path, old), { recursive: true, force: true });
  }
}

describe('Kubernetes swaps a link', () => {
  const read = (name: string): string => readFileSync(join(directory, 'source', name), 'utf8');
  const secret = (): Record<string, string> => ({
    'server.pem': read('pki/acme/server.pem'),
    'server-key.pem': read('pki/acme/server-key.pem'),
    'client-ca.pem': read('pki/acme/client-ca.pem'),
  });

  /** Main file, tenants, keys and key sets, each mounted on its own. */
  function mount(): { mainFile: string; tenants: Mounted; keys: Mounted } {
    writeSmall(join(directory, 'source'));
    const main = new Mounted(join(directory, 'etc'), { 'bulkhead.yaml': SMALL_MAIN });
    const tenants = new Mounted(join(directory, 'etc/tenants'), { 'acme.yaml': SMALL_TENANT });
    const keys = new Mounted(join(directory, 'etc/pki/acme'), secret());
    new Mounted(join(directory, 'etc/jwks'), { 'acme.json': read('jwks/acme.json') });
    return { mainFile: join(main.path, 'bulkhead.yaml'), tenants, keys };
  }

  test.each([
    ['its notice', {}],
    ['a look at the files', LOOKING],
  ])('under the tenants, seen by %s, and the load sees the new text', async (_, times) => {
    const { mainFile, tenants } = mount();
    const loader = await watching(mainFile, times);
    const first = await loader.load(mainFile, undefined);
    if (!first.ok) throw new Error(JSON.stringify(first.error));
    expect(await toldAfter(() => tenants.swap({ 'acme.yaml': SMALL_TENANT.replace('100/s', '70/s') }))).toBe(1);
    const second = await loader.load(mainFile, first.value);
    expect(second.ok && second.value.tenants[0]?.quota.perTenant?.callsPerSecond).toBe(70);
  });

  test('under a secret, again and again', async () => {
    const { mainFile, keys } = mount();
    const loader = await watching(mainFile);
    for (let round = 0; round < 3; round += 1) {
      writeSmall(join(directory, 'source'));
      told = 0;
      expect(await toldAfter(() => keys.swap(secret()))).toBe(1);
      const loaded = await loader.load(mainFile, undefined);
      expect(loaded.ok && loaded.value.tenants[0]?.certificate?.chainPem).toBe(read('pki/acme/server.pem'));
      watcher?.watch(loader.files);
    }
  });
});

describe('where the kernel gives no notice', () => {
  test.each([
    ['a file is written over', () => edit(join(directory, 'tenants/acme.yaml'), '100/s', '50/s')],
    ['a file is added', () => addSmallTenant(directory, 'globex')],
    ['a file is removed', () => unlinkSync(join(directory, 'tenants/acme.yaml'))],
  ])('a look tells when %s', async (_, change) => {
    await watching(writeSmall(directory), LOOKING);
    expect(await toldAfter(change)).toBe(1);
  });

  test('and without a look nothing is told', async () => {
    await watching(writeSmall(directory), { ...LOOKING, pollMs: 60_000 });
    edit(join(directory, 'tenants/acme.yaml'), '100/s', '50/s');
    await setTimeout(SETTLE_MS);
    expect(told).toBe(0);
  });

  test('a look tells of a file that appears in a directory that was not there', async () => {
    const mainFile = writeSmall(directory);
    rmSync(join(directory, 'jwks'), { recursive: true });
    await watching(mainFile, LOOKING);
    expect(await toldAfter(() => write(join(directory, 'jwks/acme.json'), '{"keys":[]}'))).toBe(1);
  });
});

test.each([
  ['a file', () => edit(join(directory, 'tenants/acme.yaml'), '100/s', '50/s')],
  ['the tenants’ directory', () => addSmallTenant(directory, 'globex')],
])('a change of %s between the load and the watching is told', async (_, change) => {
  const mainFile = writeSmall(directory);
  const loader = new ConfigurationLoader({ environment: {} });
  await loader.load(mainFile, undefined);
  change();
  watcher = new ConfigurationWatcher(mainFile, hear, { ...TIMES, maxDirectories: 0 });
  expect(await toldAfter(() => watcher?.watch(loader.files))).toBe(1);
});

describe('what may have changed is told', () => {
  let mainFile = '';
  let loader: ConfigurationLoader;
  const suspected = (): readonly string[] | undefined =>
    suspects === undefined ? undefined : [...suspects].map((file) => relative(directory, file)).toSorted();
  /** As the supervisor does when it is told. */
  async function reload(): Promise<void> {
    await loader.load(mainFile, undefined, suspects);
    watcher?.watch(loader.files, loader.touched);
  }

  async function begin(times: Partial<WatchOptions> = {}): Promise<void> {
    mainFile = writeSmall(directory);
    addSmallTenant(directory, 'globex');
    loader = await watching(mainFile, times);
  }

  test.each([
    [
      'a file is written over',
      () => edit(join(directory, 'tenants/acme.yaml'), '100/s', '50/s'),
      ['tenants/acme.yaml'],
    ],
    ['a key is replaced', () => write(join(directory, 'pki/acme/server-key.pem'), 'x'), ['pki/acme/server-key.pem']],
    ['a file is removed', () => unlinkSync(join(directory, 'tenants/acme.yaml')), ['tenants/acme.yaml']],
    [
      'two files are written',
      () => {
        edit(join(directory, 'tenants/acme.yaml'), '100/s', '50/s');
        edit(join(directory, 'tenants/globex.yaml'), '100/s', '50/s');
      },
      ['tenants/acme.yaml', 'tenants/globex.yaml'],
    ],
    [
      'one of Kubernetes’ links is swapped',
      () => {
        symlinkSync('acme', join(directory, 'pki/..data_tmp'));
        symlinkSync('x', join(directory, 'pki/acme/..data'));
      },
      ['pki/acme/client-ca.pem', 'pki/acme/server-key.pem', 'pki/acme/server.pem'],
    ],
  ])('when %s', async (_, change, expected) => {
    await begin();
    expect(await toldAfter(change)).toBe(1);
    expect(suspected()).toEqual(expected);
  });

  test('as everything when it was seen by a look, since no notice came', async () => {
    await begin(LOOKING);
    suspects = new Set();
    expect(await toldAfter(() => edit(join(directory, 'tenants/acme.yaml'), '100/s', '50/s'))).toBe(1);
    expect(suspected()).toBeUndefined();
  });

  test('as everything when a directory is replaced, and the new one is watched', async () => {
    await begin();
    const pki = join(directory, 'pki/acme');
    suspects = new Set();
    await toldAfter(() => {
      cpSync(pki, `${pki}.new`, { recursive: true });
      renameSync(pki, `${pki}.old`);
      renameSync(`${pki}.new`, pki);
    });
    expect(suspected()).toBeUndefined();
    await reload();
    told = 0;
    expect(await toldAfter(() => write(join(pki, 'server.pem'), 'x'))).toBe(1);
    expect(suspected()).toEqual(['pki/acme/server.pem']);
  });

  test('of a tenant that came later, and of its certificates', async () => {
    await begin();
    await toldAfter(() => addSmallTenant(directory, 'hooli'));
    await reload();
    told = 0;
    expect(await toldAfter(() => write(join(directory, 'pki/hooli/server.pem'), 'x'))).toBe(1);
    expect(suspected()).toEqual(['pki/hooli/server.pem']);
  });

  test('no more of a tenant that has gone', async () => {
    await begin();
    await toldAfter(() => unlinkSync(join(directory, 'tenants/globex.yaml')));
    await reload();
    told = 0;
    write(join(directory, 'pki/globex/server.pem'), 'x');
    await setTimeout(SETTLE_MS);
    expect(told).toBe(0);
  });

  test('once for a change that a load has seen already', async () => {
    await begin();
    edit(join(directory, 'tenants/acme.yaml'), '100/s', '50/s');
    await loader.load(mainFile, undefined);
    watcher?.watch(loader.files, loader.touched);
    await setTimeout(2 * SETTLE_MS);
    // The kernel's notice comes late, and costs a look at one file.
    expect(told).toBeLessThanOrEqual(1);
  });
});

test.each([
  [4, 'its notice says which file', ['jwks/acme.json']],
  [3, 'the look says that any may have', undefined],
])('of four directories %d may be watched: of a change in the last %s', async (maxDirectories, _, expected) => {
  await watching(writeSmall(directory), { pollMs: maxDirectories < 4 ? 50 : 60_000, maxDirectories });
  suspects = new Set();
  expect(await toldAfter(() => write(join(directory, 'jwks/acme.json'), '{}'))).toBe(1);
  expect(suspects === undefined ? undefined : [...suspects].map((file) => relative(directory, file))).toEqual(expected);
});

test('of more notices than the limit some may be lost: then any file may have changed', async () => {
  await watching(writeSmall(directory), { maxNotices: 5 });
  const notice = (name: number): void => mkdirSync(join(directory, `tenants/${name}`));
  for (let count = 1; count <= 5; count += 1) notice(count);
  await setTimeout(SETTLE_MS);
  expect(told).toBe(0);
  suspects = new Set();
  expect(await toldAfter(() => notice(6))).toBe(1);
  expect(suspects).toBeUndefined();
});
