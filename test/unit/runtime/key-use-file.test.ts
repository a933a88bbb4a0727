import { chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KEY_USE_FILE, KeyUseFile, readKeyUses } from '../../../src/runtime/key-use-file.ts';
import { emptyDirectory } from '../../fakes/configuration.ts';
import { fakeTenant, tenantId } from '../../fakes/trust.ts';

const acme = fakeTenant('acme').config;
const tenants = [acme];
const use = (key: string, atSeconds: number, tenant = 'acme') => ({ tenant: tenantId(tenant), key, atSeconds });

let directory: string;
let nowMs: number;
let failures: string[];
beforeEach(() => {
  directory = emptyDirectory();
  nowMs = 1_000_000;
  failures = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const opened = (): KeyUseFile =>
  new KeyUseFile({ directory, nowMs: () => nowMs, failed: (why) => void failures.push(why) });
const path = (): string => join(directory, KEY_USE_FILE);

describe('when API keys were last used', () => {
  test('is known again after a restart, for each secret of a key', async () => {
    const file = opened();
    file.note([use('acme-key', 1_700_000_000), use('acme-key before', 1_600_000_000)]);
    await file.write(tenants);
    const again = opened();
    expect(again.lastUse('acme', 'acme-key')).toBe(1_700_000_000);
    expect(again.lastUse('acme', 'acme-key before')).toBe(1_600_000_000);
    expect(again.lastUse('acme', 'other')).toBeUndefined();
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    expect(failures).toEqual([]);
  });

  test('is the latest that any worker tells', () => {
    const file = opened();
    for (const at of [10, 30, 20]) file.note([use('acme-key', at)]);
    expect(file.lastUse('acme', 'acme-key')).toBe(30);
  });

  test('is written once a minute at most, and at the end', async () => {
    const file = opened();
    const written = (): string => readFileSync(path(), 'utf8');
    file.note([use('acme-key', 1_700_000_000)]);
    await file.write(tenants);
    const first = written();
    file.note([use('acme-key', 1_700_000_001)]);
    nowMs += 59_999;
    await file.write(tenants);
    expect(written()).toBe(first);
    nowMs += 1;
    await file.write(tenants);
    expect(written()).not.toBe(first);
    file.note([use('acme-key', 1_700_000_002)]);
    await file.write(tenants, true);
    expect(opened().lastUse('acme', 'acme-key')).toBe(1_700_000_002);
    expect(existsSync(`${path()}.new`)).toBe(false);
  });

  test('is forgotten with the key and with the tenant', async () => {
    const file = opened();
    file.note([use('acme-key', 5), use('gone', 5), use('acme-key', 5, 'globex')]);
    await file.write(tenants);
    expect(readKeyUses(path())).toEqual(new Map([['acme', new Map([['acme-key', 5]])]]));
  });

  test('is not known from a file that is broken, which is said and does not stop anything', async () => {
    for (const text of ['{', '[]', '{"tenants": 1}']) {
      writeFileSync(path(), text);
      failures = [];
      const file = opened();
      expect(failures).toHaveLength(1);
      expect(file.lastUse('acme', 'acme-key')).toBeUndefined();
      file.note([use('acme-key', 5)]);
      await file.write(tenants, true);
      expect(opened().lastUse('acme', 'acme-key')).toBe(5);
      rmSync(path());
    }
    writeFileSync(path(), '{"tenants": {"acme": {"acme-key": "never", "k": "2030-01-01T00:00:00Z"}, "x": 1}}');
    expect(opened().lastUse('acme', 'acme-key')).toBeUndefined();
    expect(opened().lastUse('acme', 'k')).toBe(1_893_456_000);
  });

  test('that cannot be written is said, and written when it can be', async () => {
    const file = opened();
    rmSync(directory, { recursive: true });
    file.note([use('acme-key', 5)]);
    await file.write(tenants, true);
    expect(failures).toHaveLength(1);
    directory = emptyDirectory();
    chmodSync(directory, 0o700);
    expect(failures[0]).toContain(KEY_USE_FILE);
  });
});
