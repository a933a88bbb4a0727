import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runCli } from '../../fakes/cli.ts';
import { addSmallTenant, edit, emptyDirectory, writeEgress, writeSmall } from '../../fakes/configuration.ts';

let directory = '';
let mainFile = '';

beforeEach(() => {
  directory = emptyDirectory();
  mainFile = writeSmall(directory);
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const check = (...more: readonly string[]) => runCli(['check', '--config', mainFile, ...more]);
const short = (text: string): string => text.replaceAll(`${directory}/`, '');

describe('of a good configuration', () => {
  test('it says what it found and what to do next, with exit code 0', async () => {
    addSmallTenant(directory, 'globex');
    edit(mainFile, 'tenants: tenants/', 'tenants: tenants/\nworkers: 2');
    const { code, out } = await check();
    expect(code).toBe(0);
    expect(short(out)).toBe(`bulkhead.yaml is good.
  tenants   2 (acme, globex)
  listens   127.0.0.1:8443, TLSv1.3 or later, 2 workers
  admin     127.0.0.1:9901
  audit     audit
  exports   nothing (no OTLP endpoint)
Next: bulkhead run --config bulkhead.yaml
`);
  });

  test('it lists what it cannot check: what is to come from the SPIFFE Workload API', async () => {
    edit(mainFile, 'tenants: tenants/', 'tenants: tenants/\nspiffe: { workloadApi: "unix:/run/agent.sock" }');
    const tenant = join(directory, 'tenants/acme.yaml');
    edit(tenant, 'clientCa: ../pki/acme/client-ca.pem', 'clientCa: { spiffeBundle: acme.example }');
    const { code, out } = await check('--strict');
    expect(code).toBe(0);
    expect(out).toContain(
      '  spiffe    unix:/run/agent.sock, not asked here, so not checked: the authorities of acme.example\n',
    );
    expect(JSON.parse((await check('--json')).out)).toMatchObject({
      ok: true,
      unchecked: ['the authorities of acme.example'],
    });
  });

  test('with a warning it prints both, with exit code 0', async () => {
    edit(join(directory, 'tenants/acme.yaml'), '127.0.0.1:8001', 'triton:8001');
    const { code, out } = await check();
    expect(code).toBe(0);
    expect(short(out)).toMatch(
      /^tenants\/acme\.yaml\n {2}tenants\/acme\.yaml:30:12 upstream\.address: warning: calls go to/,
    );
    expect(short(out)).toContain('\n1 warning in 1 file\nbulkhead.yaml is good.\n');
  });

  test('with a warning, and told to be strict, it has exit code 1', async () => {
    expect((await check('--strict')).code).toBe(0);
    edit(join(directory, 'tenants/acme.yaml'), ', expires: 2035-01-01T00:00:00Z', '');
    const { code, out } = await check('--strict');
    expect(code).toBe(1);
    expect(short(out)).toContain('tenants/acme.yaml:16:11 apiKeys[0].id: warning: the API key batch never expires\n');
    expect((await check()).code).toBe(0);
  });

  test('as JSON it lists the tenants', async () => {
    const { code, out } = await check('--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({
      ok: true,
      findings: [],
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      tenants: [{ id: 'acme', file: 'tenants/acme.yaml', serverNames: ['acme.test', 'alt.acme.test'] }],
      egress: [],
    });
  });

  test('it says where this pod calls out, and nothing of tenants when there are none', async () => {
    writeEgress(directory);
    const { code, out } = await check();
    expect(code).toBe(0);
    expect(out).toContain('  egress    127.0.0.1:9001, as acme to https://acme.test:8443\n');
    expect(out).not.toMatch(/tenants|listens/);
    expect(JSON.parse((await check('--json')).out)).toMatchObject({
      tenants: [],
      egress: [{ listen: '127.0.0.1:9001', tenant: 'acme', upstream: 'https://acme.test:8443' }],
    });
  });
});

describe('of a bad configuration', () => {
  beforeEach(() => {
    edit(mainFile, 'tenants: tenants/', 'tenants: tenants/\nlimit: {}');
    edit(join(directory, 'tenants/acme.yaml'), '1MiB', '1MB');
    edit(join(directory, 'tenants/acme.yaml'), '100/s', '100');
  });

  test('it prints every finding by file, with line, path and fix, and a count, with exit code 1', async () => {
    const { code, out } = await check();
    expect(code).toBe(1);
    expect(short(out)).toBe(`bulkhead.yaml
  bulkhead.yaml:8:1 limit: error: is not a known key
    fix: did you mean limits?

tenants/acme.yaml
  tenants/acme.yaml:27:20 quota.tenant.calls: error: 100 is not a rate (per s, m or h)
    fix: write a rate (per s, m or h), for example 100/s
  tenants/acme.yaml:28:14 byteAccount: error: "1MB" is not a size with its unit (B, KiB, MiB, GiB)
    fix: write a size with its unit (B, KiB, MiB, GiB), for example 64MiB

3 errors in 2 files
`);
  });

  test('as JSON it has the same findings, with exit code 1', async () => {
    const { code, out } = await check('--json');
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      ok: false,
      findings: [
        { file: mainFile, line: 8, column: 1, path: 'limit', fix: 'did you mean limits?', severity: 'error' },
        { line: 27, column: 20, path: 'quota.tenant.calls' },
        { line: 28, column: 14, path: 'byteAccount' },
      ],
    });
  });

  test('on a terminal it has colours, and elsewhere none', async () => {
    const escape = String.fromCharCode(27);
    expect((await runCli(['check', '-c', mainFile], true)).out).toContain(`${escape}[31merror`);
    expect((await check()).out).not.toContain(escape);
  });
});

test('a main file that is not there is a finding, with exit code 1', async () => {
  const { code, out } = await runCli(['check', '-c', join(directory, 'nowhere.yaml')]);
  expect(code).toBe(1);
  expect(short(out)).toBe(`nowhere.yaml
  nowhere.yaml error: does not exist
    fix: name the main file with --config

1 error in 1 file
`);
});

test('without --config it says what is missing, with exit code 1', async () => {
  const { code, err } = await runCli(['check']);
  expect(code).toBe(1);
  expect(err).toContain("required option '-c, --config <file>' not specified");
});
