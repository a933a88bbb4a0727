import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { parseDocument } from 'yaml';
import { registerInject } from '../../../src/cli/inject.ts';
import type { CliIo } from '../../../src/cli/io.ts';

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-inject-'));
afterAll(() => rmSync(folder, { recursive: true }));

const POD = 'apiVersion: v1\nkind: Pod\nmetadata: {name: m}\nspec:\n  containers: [{name: m}]\n';

async function run(manifest: string, ...options: string[]) {
  const file = join(folder, 'manifest.yaml');
  writeFileSync(file, manifest);
  return runOn(file, ...options);
}

async function runOn(file: string, ...options: string[]) {
  const seen = { out: '', err: '', code: 0 };
  const io: CliIo = {
    out: (text) => void (seen.out += text),
    err: (text) => void (seen.err += text),
    exit: (code) => void (seen.code = code),
    colours: false,
  };
  const program = new Command('bulkhead').exitOverride().configureOutput({ writeErr: (text) => io.err(text) });
  registerInject(program, io);
  for (const command of program.commands) command.exitOverride().configureOutput({ writeErr: (text) => io.err(text) });
  await program
    .parseAsync(['inject', '-f', file, ...options], { from: 'user' })
    .catch((cause: { exitCode?: number }) => {
      seen.code = cause.exitCode ?? 99;
    });
  return seen;
}

describe('bulkhead inject', () => {
  it('prints the manifest with the sidecar, and says beside it what was done', async () => {
    const { out, err, code } = await run(POD);
    expect([err, code]).toEqual(['Pod m: sidecar added\n', 0]);
    expect(parseDocument(out).getIn(['spec', 'initContainers', 0, 'image'])).toMatch(/^bulkhead:\d/);
  });

  it('takes every option', async () => {
    const names = ['--config-map', 'main', '--tenants-config-map', 'them', '--secret', 'a', '--secret', 'b.c'];
    const sizes = ['--cpu', '2', '--memory', '1Gi', '--audit-size', '3Gi', '--port', '9443', '--admin-port', '9999'];
    const { out } = await run(POD, '--image', 'r.example/b@sha256:0f', ...names, ...sizes);
    const spec = parseDocument(out).toJS().spec;
    expect(spec.initContainers[0]).toMatchObject({
      image: 'r.example/b@sha256:0f',
      ports: [{ containerPort: 9443 }],
      resources: { requests: { cpu: '2', memory: '1Gi' }, limits: { memory: '1Gi' } },
      livenessProbe: { exec: { command: expect.arrayContaining(['127.0.0.1:9999']) } },
    });
    expect(spec.volumes).toMatchObject([
      { configMap: { name: 'main' } },
      { configMap: { name: 'them' } },
      { secret: { secretName: 'a' } },
      { secret: { secretName: 'b.c' } },
      { emptyDir: { sizeLimit: '3Gi' } },
    ]);
  });

  it.each([
    [['--spiffe-csi'], 'unix:///run/spiffe/spire-agent.sock'],
    [['--spiffe-csi', 'agent.sock'], 'unix:///run/spiffe/agent.sock'],
  ])('with %j says where the SPIFFE Workload API is', async (options, value) => {
    const { out } = await run(POD, ...options);
    expect(parseDocument(out).toJS().spec.initContainers[0].env).toEqual([{ name: 'SPIFFE_ENDPOINT_SOCKET', value }]);
  });

  it.each([
    ['--spiffe-csi', '../agent.sock'],
    ['--image', '$(reboot)'],
    ['--config-map', 'Not_A_Name'],
    ['--secret', '../etc'],
    ['--port', '80'],
    ['--port', '70000'],
    ['--admin-port', '99x'],
    ['--memory', '512 MB'],
  ])('refuses %s %s', async (option, value) => {
    const { out, err, code } = await run(POD, option, value);
    expect([out, code]).toEqual(['', 1]);
    expect(err).toContain(option);
  });

  it('prints nothing but errors when a pod cannot have the sidecar, or the file cannot be read', async () => {
    const { out, err, code } = await run(POD.replace('spec:\n', 'spec:\n  hostNetwork: true\n'));
    expect([out, code]).toEqual(['', 1]);
    expect(err).toMatch(/^error: Pod m: it uses the host network/);
    expect(await runOn(join(folder, 'absent.yaml'))).toMatchObject({ out: '', code: 1 });
  });

  it('warns when it found no pod', async () => {
    const service = 'apiVersion: v1\nkind: Service\n';
    expect(await run(service)).toMatchObject({
      out: service,
      err: expect.stringContaining('no pod was found'),
      code: 0,
    });
  });

  it('has an example pod that it leaves as it is', async () => {
    const file = join(import.meta.dirname, '../../../deploy/example/triton-pod.yaml');
    expect((await runOn(file)).out).toBe(readFileSync(file, 'utf8'));
  });
});
