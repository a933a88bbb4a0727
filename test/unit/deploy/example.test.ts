import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { createCa, issueServer } from '../../../src/identity/issue.ts';
import { inject } from '../../../src/kubernetes/inject.ts';
import { sidecarContainer } from '../../../src/kubernetes/sidecar.ts';
import { OPTIONS } from '../kubernetes/options.ts';

const EXAMPLE = join(import.meta.dirname, '../../../deploy/example');
const folder = mkdtempSync(join(tmpdir(), 'bulkhead-example-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Readonly<Record<string, string>>;
}

function objectsOf(text: string): KubernetesObject[] {
  return parseAllDocuments(text, { version: '1.1' }).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS() as KubernetesObject;
  });
}

function write(path: string, data: Readonly<Record<string, string>>, encoding: BufferEncoding): void {
  mkdirSync(join(folder, path), { recursive: true });
  for (const [file, content] of Object.entries(data)) writeFileSync(join(folder, path, file), content, encoding);
}

/** What `make-secrets` puts into the Secret. */
function secretsOf(...tenants: string[]): Record<string, string> {
  const script = readFileSync(join(EXAMPLE, 'make-secrets'), 'utf8');
  const files = tenants.flatMap((tenant) => {
    const ca = createCa({ commonName: `${tenant} CA`, days: 1 });
    const server = issueServer(ca, { dnsNames: [`${tenant}.models.example`], ipAddresses: [], days: 1 });
    return [
      [`${tenant}-server.pem`, server.certPem],
      [`${tenant}-server-key.pem`, server.keyPem],
      [`${tenant}-client-ca.pem`, ca.certPem],
    ];
  });
  for (const [name] of files) expect(script).toContain(`"${name?.replace(/^[a-z]+/, '$tenant')}"`);
  return Object.fromEntries(files);
}

describe('the example for Kubernetes', () => {
  it('is well-formed, and all in one namespace', () => {
    const files = readdirSync(EXAMPLE).filter((name) => name.endsWith('.yaml'));
    const objects = files.flatMap((name) => objectsOf(readFileSync(join(EXAMPLE, name), 'utf8')));
    expect(objects.length).toBeGreaterThan(15);
    for (const { kind, metadata } of objects) {
      expect([kind, kind === 'Namespace' ? metadata.name : metadata.namespace]).toEqual([kind, 'models']);
    }
  });

  it('has the pod as injection makes it', () => {
    const plain = readFileSync(join(EXAMPLE, 'triton-pod-plain.yaml'), 'utf8');
    const result = inject(plain, OPTIONS);
    expect(result).toMatchObject({ ok: true, value: { warnings: [] } });
    expect(result.ok && result.value.text).toBe(readFileSync(join(EXAMPLE, 'triton-pod.yaml'), 'utf8'));
  });

  it('has no private key in it', () => {
    for (const name of readdirSync(EXAMPLE, { recursive: true, withFileTypes: true })) {
      if (name.isFile()) expect(readFileSync(join(name.parentPath, name.name), 'utf8')).not.toContain('PRIVATE KEY');
    }
  });

  it('has a configuration that the sidecar takes, mounted as the sidecar mounts it', async () => {
    const objects = objectsOf(readFileSync(join(EXAMPLE, 'bulkhead-config.yaml'), 'utf8'));
    const dataOf = (name: string) => objects.find(({ metadata }) => metadata.name === name)?.data ?? {};
    write('main', dataOf('bulkhead'), 'utf8');
    write('tenants', dataOf('bulkhead-tenants'), 'utf8');
    write('secrets/bulkhead-secrets', secretsOf('acme', 'globex'), 'utf8');
    const loader = new ConfigurationLoader();
    const loaded = await loader.load(join(folder, 'main/bulkhead.yaml'), undefined);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.error, undefined, 2));
    const { listener, admin, audit, tenants } = loaded.value;
    expect(tenants.map(({ id }) => id)).toEqual(['acme', 'globex']);
    // What the injected container and its probes take for granted.
    expect([listener?.port, admin.address, admin.port]).toEqual([OPTIONS.port, '127.0.0.1', OPTIONS.adminPort]);
    expect(JSON.stringify(sidecarContainer(OPTIONS))).toContain(`"mountPath":"${audit.directory}"`);
  });
});
