/**
 * A change of the configuration under load: a ConfigMap's swapped symlink, SIGHUP, and a bad change that must not take.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ModelUpstream } from './harness/model-upstream.ts';
import { Sidecar, tenantYaml } from './harness/sidecar.ts';
import { SteadyLoad } from './harness/steady-load.ts';
import { tenantClient } from './harness/tenant-client.ts';
import { until } from './harness/until.ts';

let upstream: ModelUpstream;
let sidecar: Sidecar;

beforeAll(async () => {
  upstream = await ModelUpstream.start();
  sidecar = await Sidecar.start({
    tenants: ['acme', 'umbrella'].map((id) => ({ id, upstream: upstream.address })),
    prepare: (directory) => mountAsConfigMap(join(directory, 'tenants')),
  });
});

afterAll(async () => {
  await sidecar?.stop();
  upstream?.stop();
});

/** Lays a directory out as the kubelet does: each file a symlink into `..data`, itself a symlink to a versioned directory. */
function mountAsConfigMap(directory: string): void {
  const files = readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), 'utf8')] as const);
  rmSync(directory, { recursive: true });
  mkdirSync(directory);
  writeVersion(directory, '..v1', new Map(files));
  symlinkSync('..v1', join(directory, '..data'));
  for (const [name] of files) symlinkSync(join('..data', name), join(directory, name));
}

/** PKI paths are relative to the file's own place, which in a mount is not where the link stands: they become absolute. */
function writeVersion(directory: string, version: string, files: ReadonlyMap<string, string>): void {
  mkdirSync(join(directory, version));
  for (const [name, text] of files) {
    writeFileSync(join(directory, version, name), text.replaceAll('../pki/', `${join(directory, '../pki')}/`));
  }
}

/** Swaps `..data` in one step, as the kubelet does, and removes the version before. */
function swap(version: string, files: ReadonlyMap<string, string>): void {
  const directory = join(sidecar.directory, 'tenants');
  writeVersion(directory, version, files);
  symlinkSync(version, join(directory, '..data_tmp'));
  renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
}

/** Both tenants' files; acme may use only these models. */
function tenantFiles(models: readonly string[]): ReadonlyMap<string, string> {
  const acme = { roles: [{ name: 'all', methods: ['ModelInfer'], models }] };
  return new Map([
    ['acme.yaml', tenantYaml({ id: 'acme', upstream: upstream.address, extra: acme })],
    ['umbrella.yaml', tenantYaml({ id: 'umbrella', upstream: upstream.address })],
  ]);
}

async function metric(name: string): Promise<number> {
  const { text } = await sidecar.admin('/metrics');
  const match = new RegExp(`^${name} (\\d+)$`, 'm').exec(text);
  return match?.[1] === undefined ? 0 : Number(match[1]);
}

const generation = (expected: number): Promise<true> =>
  until(
    `generation ${expected}`,
    async () => ((await metric('bulkhead_config_generation')) === expected ? true : undefined),
    10_000,
  );

describe('a change of the configuration', () => {
  it('takes effect by a swapped symlink, with not one call failed', async () => {
    const clients = ['acme', 'umbrella'].map((id) => tenantClient(sidecar, id));
    const load = new SteadyLoad(clients, 8, 'digits', 20);
    await until('load', () => (load.calls.length > 100 ? true : undefined), 10_000);
    swap('..v2', tenantFiles(['digits']));
    await generation(2);
    const at = load.calls.length;
    await until('load after it', () => (load.calls.length > at + 100 ? true : undefined), 10_000);
    await load.stop();
    expect(load.failed).toEqual([]);
    const [acme, umbrella] = clients;
    expect(await acme?.infer({ modelName: 'other', inputs: [] })).toMatchObject({ code: 'PERMISSION_DENIED' });
    expect(await umbrella?.infer({ modelName: 'other', inputs: [] })).toMatchObject({ code: 'OK' });
    for (const client of clients) client.close();
  });

  it('is refused when it is bad: the last good one stays, and log, metric and admin port say so', async () => {
    const files = new Map(tenantFiles(['other']));
    files.set('umbrella.yaml', 'tenant: umbrella\nserverNames: []\nnonsense: true\n');
    swap('..v3', files);
    await until(
      'the refusal',
      async () => ((await metric('bulkhead_config_reload_failures_total')) > 0 ? true : undefined),
      10_000,
    );
    expect(await metric('bulkhead_config_generation')).toBe(2);
    expect(sidecar.child.output).toContain('nonsense');
    const { text } = await sidecar.admin('/config');
    expect(text).toContain('nonsense');
    const client = tenantClient(sidecar, 'acme');
    expect(await client.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'OK' });
    expect(await client.infer({ modelName: 'other', inputs: [] })).toMatchObject({ code: 'PERMISSION_DENIED' });
    client.close();
  });

  it('takes effect by SIGHUP as well', async () => {
    swap('..v4', tenantFiles(['other']));
    sidecar.child.signal('SIGHUP');
    await generation(3);
    const client = tenantClient(sidecar, 'acme');
    expect(await client.infer({ modelName: 'other', inputs: [] })).toMatchObject({ code: 'OK' });
    expect(await client.infer({ modelName: 'digits', inputs: [] })).toMatchObject({ code: 'PERMISSION_DENIED' });
    client.close();
    const { text } = await sidecar.admin('/config');
    expect(text).not.toContain('nonsense');
  });
});
