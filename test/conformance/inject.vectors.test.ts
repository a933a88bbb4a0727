/**
 * Injection over the manifests of another mesh's injector: 108 inputs that were collected because each broke something once.
 * `BULKHEAD_VECTORS` names the folder of the vectors; without them this fails.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { inject } from '../../src/kubernetes/inject.ts';
import { sidecarContainer, sidecarVolumes } from '../../src/kubernetes/sidecar.ts';
import { OPTIONS } from '../unit/kubernetes/options.ts';

const VECTORS = process.env['BULKHEAD_VECTORS'] ?? join(import.meta.dirname, '../../../shared/vectors');
const FOLDER = join(VECTORS, 'k8s-inject-istio/pkg/kube/inject/testdata/inject');
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));

type Json = Record<string, unknown>;

function dataOf(text: string): unknown[] {
  return parseAllDocuments(text, { version: '1.1', merge: true }).map((document) => document.toJS() as unknown);
}

/** Every pod spec below a value. */
function podSpecsOf(value: unknown): Json[] {
  if (Array.isArray(value)) return value.flatMap(podSpecsOf);
  if (typeof value !== 'object' || value === null) return [];
  const record = value as Json;
  return Array.isArray(record['containers']) ? [record] : Object.values(record).flatMap(podSpecsOf);
}

/** Takes the sidecar out again, as data. */
function withoutSidecar(data: unknown[]): unknown[] {
  for (const spec of podSpecsOf(data)) {
    const [ours, ...initContainers] = (spec['initContainers'] ?? []) as unknown[];
    expect(ours).toEqual(sidecarContainer(OPTIONS));
    const added = sidecarVolumes(OPTIONS);
    const volumes = (spec['volumes'] ?? []) as unknown[];
    expect(volumes.slice(0, added.length)).toEqual(added);
    restore(spec, 'initContainers', initContainers);
    restore(spec, 'volumes', volumes.slice(added.length));
  }
  return data;
}

function restore(spec: Json, key: string, rest: unknown[]): void {
  if (rest.length === 0) delete spec[key];
  else spec[key] = rest;
}

/** Whether `short` is `long` with some whole lines taken out. */
function isWithoutSomeLines(short: string, long: string): boolean {
  const rest = long.split('\n');
  return short.split('\n').every((line) => {
    const at = rest.indexOf(line);
    rest.splice(0, at + 1);
    return at !== -1;
  });
}

describe('injecting into the manifests of another mesh', () => {
  it('has all of them', () => {
    expect(FILES).toHaveLength(108);
  });

  it.each(FILES)('%s', (file) => {
    const source = readFileSync(join(FOLDER, file), 'utf8');
    const result = inject(source, OPTIONS);
    if (/hostNetwork: true/.test(source)) {
      expect(result).toMatchObject({ ok: false, error: [expect.stringContaining('host network')] });
      return;
    }
    if (!result.ok) throw new Error(result.error.join('\n'));
    const { text, pods } = result.value;
    const specs = podSpecsOf(dataOf(source).filter((object) => (object as Json | null)?.['kind'] !== 'IstioOperator'));
    expect(pods.map(({ outcome }) => outcome)).toEqual(specs.map(() => 'injected'));
    if (specs.length === 0) expect(text).toBe(source);
    else expect(withoutSidecar(dataOf(text))).toEqual(dataOf(source));
    expect(isWithoutSomeLines(source, text)).toBe(true);
    expect(inject(text, OPTIONS)).toMatchObject({ ok: true, value: { text } });
  });
});
