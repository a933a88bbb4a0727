import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigurationLoader } from '../../../../src/config/load.ts';
import { openTenant } from '../../../../src/config/stored-tenant.ts';
import { makeCredentials } from '../../../../src/demo/setup/credentials.ts';
import { makeWorkplace, type WorkplacePlan } from '../../../../src/demo/setup/workplace.ts';

const QUOTA = { tenantCalls: '9/s', tenantBurst: 9, callerCalls: '5/s', callerBurst: 10, concurrentCalls: 3 };

const plan: WorkplacePlan = {
  upstream: '127.0.0.1:8001',
  otlpEndpoint: 'http://127.0.0.1:4318',
  requests: { 'digit.json': '{}' },
  tenants: [
    { credentials: makeCredentials('acme', 'ada', 1_800_000_000), models: ['digits'], quota: QUOTA },
    { credentials: makeCredentials('globex', 'grace', 1_800_000_000), models: ['wine-cultivar'], quota: QUOTA },
  ],
};

describe('makeWorkplace', () => {
  let directory = '';

  beforeEach(() => {
    directory = join(mkdtempSync(join(tmpdir(), 'demo-')), 'work');
  });

  afterEach(() => rmSync(join(directory, '..'), { recursive: true, force: true }));

  it('writes a configuration that the sidecar accepts', async () => {
    const workplace = makeWorkplace(directory);
    workplace.write(plan);
    const loaded = await new ConfigurationLoader().load(workplace.configFile, undefined);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
    expect(loaded.value.tenants.map(openTenant).map((tenant) => [tenant.id, tenant.roles[0]?.models])).toEqual([
      ['acme', ['digits']],
      ['globex', ['wine-cultivar']],
    ]);
    expect(loaded.value.tenants[0]?.quota.perCaller).toEqual({ callsPerSecond: 5, burst: 10 });
  });

  it('lets nobody else read it', () => {
    const workplace = makeWorkplace(directory);
    workplace.write(plan);
    const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
    expect(entries.length).toBeGreaterThan(20);
    const paths = [directory, ...entries.map(({ parentPath, name }) => join(parentPath, name))];
    expect(paths.filter((path) => (statSync(path).mode & 0o077) !== 0)).toEqual([]);
  });

  it('removes what an earlier demo left', () => {
    makeWorkplace(directory);
    writeFileSync(join(directory, 'audit', 'old'), '');
    makeWorkplace(directory);
    expect(readdirSync(join(directory, 'audit'))).toEqual([]);
  });

  it('touches nothing in a directory that no demo has made', () => {
    mkdirSync(directory);
    writeFileSync(join(directory, 'thesis.txt'), '');
    expect(() => makeWorkplace(directory)).toThrow(/not made by a demo/);
    expect(readdirSync(directory)).toEqual(['thesis.txt']);
  });

  it('leaves the directory of a demo that still runs alone', () => {
    makeWorkplace(directory);
    writeFileSync(join(directory, 'demo.pid'), String(process.ppid));
    expect(() => makeWorkplace(directory)).toThrow(/in use by the demo with process id/);
  });
});
