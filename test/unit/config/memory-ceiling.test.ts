import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { ceilingBytes } from '../../../src/config/memory-ceiling.ts';
import { edit, emptyDirectory, SMALL_MAIN, writeSmall } from '../../fakes/configuration.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

describe('the memory that all tenants may hold', () => {
  it.each([
    ['half of what the container may use', 512 * MIB, 64 * GIB, 4 * GIB, 256 * MIB],
    ['a quarter of the machine’s when the container has no limit', 0, 4 * GIB, 4 * GIB, GIB],
    ['the same when its limit is more than there is', 2 ** 63, 4 * GIB, 4 * GIB, GIB],
    ['no more than half of the workers’ heaps', 0, 64 * GIB, 4 * GIB, 2 * GIB],
    ['never less than what may be written', 100 * MIB, 64 * GIB, 4 * GIB, 64 * MIB],
  ])('is %s', (_, containerBytes, machineBytes, heapBytes, ceiling) => {
    expect(ceilingBytes('auto', { containerBytes, machineBytes, heapBytes })).toBe(ceiling);
  });

  it('is what is written, whatever there is', () => {
    expect(ceilingBytes(3 * GIB, { containerBytes: GIB, machineBytes: GIB, heapBytes: GIB })).toBe(3 * GIB);
  });
});

describe('limits.maxHeld', () => {
  const directory = emptyDirectory();
  const main = writeSmall(directory);
  const tenant = join(directory, 'tenants/acme.yaml');
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const load = async (limits: string): Promise<number | readonly string[]> => {
    writeFileSync(main, `${SMALL_MAIN}limits: { ${limits} }\n`);
    const loaded = await new ConfigurationLoader({ environment: {} }).load(main, undefined);
    return loaded.ok ? loaded.value.limits.maxHeldBytes : loaded.error.map(({ message }) => message);
  };

  it('may be written, from 64 MiB on', async () => {
    expect(await load('maxHeld: 64MiB')).toBe(64 * MIB);
    expect(await load('maxHeld: 63MiB')).toEqual([expect.stringContaining('is not a size from 64MiB')]);
    expect(await load('maxHeld: much')).toEqual([expect.stringContaining('is not a size from 64MiB')]);
    expect(await load('maxHeld: auto')).toBeGreaterThanOrEqual(64 * MIB);
  });

  it('may not be less than a byte account, when both are written', async () => {
    edit(tenant, 'byteAccount: 1MiB', 'byteAccount: 100MiB');
    expect(await load('maxHeld: 100MiB')).toBe(100 * MIB);
    expect(await load('maxHeld: 99MiB')).toEqual([expect.stringContaining('is more than limits.maxHeld')]);
    edit(tenant, 'byteAccount: 100MiB', 'byteAccount: 900GiB');
    expect(await load('maxHeld: auto')).toBeGreaterThanOrEqual(64 * MIB);
  });

  it('holds for egress listeners, too', async () => {
    const listener = `[{ listen: '127.0.0.1:9001', tenant: acme, byteAccount: 100MiB, upstream: { address: 'https://a.test:1', clientCertificate: { chain: a, key: b } } }]`;
    const findings = await load(`maxHeld: 99MiB }\negress: ${listener}\nlog: { level: info`);
    expect(findings).toContainEqual(expect.stringContaining('is more than limits.maxHeld'));
  });
});
