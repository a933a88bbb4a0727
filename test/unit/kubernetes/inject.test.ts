import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments, parseDocument } from 'yaml';
import { inject } from '../../../src/kubernetes/inject.ts';
import { sidecarContainer, sidecarVolumes } from '../../../src/kubernetes/sidecar.ts';
import { OPTIONS } from './options.ts';

const POD = `apiVersion: v1
kind: Pod
metadata:
  name: model
spec:
  containers:
  - name: triton
    image: triton
`;

function injected(text: string, options = OPTIONS) {
  const result = inject(text, options);
  if (!result.ok) throw new Error(result.error.join('; '));
  return result.value;
}

function problemsOf(text: string): string {
  const result = inject(text, OPTIONS);
  if (result.ok) throw new Error('was injected');
  return result.error.join('\n');
}

/** A Deployment with these lines in its pod template's spec. */
function deployment(spec: string, template = ''): string {
  const lines = spec.split('\n').map((line) => `      ${line}\n`);
  return `apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: model}\nspec:\n  template:${template}\n    spec:\n${lines.join('')}`;
}

describe('injecting the sidecar', () => {
  it('adds a native sidecar and its volumes to a Pod, and nothing else', () => {
    const { text, pods } = injected(POD);
    expect(pods).toEqual([{ name: 'Pod model', outcome: 'injected' }]);
    expect(parseDocument(text).toJS()).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'model' },
      spec: {
        initContainers: [sidecarContainer(OPTIONS)],
        volumes: sidecarVolumes(OPTIONS),
        containers: [{ name: 'triton', image: 'triton' }],
      },
    });
  });

  it('changes nothing the second time, whatever the options', () => {
    const once = injected(POD).text;
    const twice = injected(once, { ...OPTIONS, image: 'other:1', secrets: [] });
    expect(twice).toMatchObject({ text: once, pods: [{ outcome: 'present' }] });
  });

  it.each(['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'ReplicationController', 'Job', 'DeploymentConfig'])(
    'finds the pod template of a %s',
    (kind) => {
      const { text } = injected(deployment('containers: [{name: m}]').replace('Deployment', kind));
      expect(parseDocument(text).getIn(['spec', 'template', 'spec', 'initContainers', 0, 'name'])).toBe('bulkhead');
    },
  );

  it('finds the pod template of a CronJob, and of every workload of a List', () => {
    const cron = `{apiVersion: batch/v1, kind: CronJob, spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: m}]}}}}}}`;
    const list = `apiVersion: v1\nkind: List\nitems:\n- ${POD.trimEnd().replaceAll('\n', '\n  ')}\n- ${cron}\n- {apiVersion: v1, kind: Service}\n`;
    const { text, pods } = injected(list);
    expect(pods.map(({ name }) => name)).toEqual(['Pod model', 'CronJob (no name)']);
    const data = parseDocument(text);
    expect(data.getIn(['items', 0, 'spec', 'initContainers', 0, 'name'])).toBe('bulkhead');
    const path = ['items', 1, 'spec', 'jobTemplate', 'spec', 'template', 'spec', 'initContainers', 0, 'name'];
    expect(data.getIn(path)).toBe('bulkhead');
  });

  it('treats each document of a stream on its own, and passes other objects through', () => {
    const service = '# the service\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n';
    const { text, pods } = injected(`---\n${service}---\n${POD}---\n---\n${POD}...\n`);
    expect(pods).toHaveLength(2);
    expect(text).toContain(`---\n${service}---\n`);
    const data = parseAllDocuments(text).map((document) => document.toJS());
    expect(data.filter((object) => object?.spec?.initContainers !== undefined)).toHaveLength(2);
  });

  it('goes before the init containers that are there, and keeps them', () => {
    const { text } = injected(
      deployment('initContainers:\n- name: fetch\ncontainers:\n- name: m\nvolumes:\n- name: models'),
    );
    const spec = parseDocument(text).getIn(['spec', 'template', 'spec']);
    expect(JSON.parse(JSON.stringify(spec))).toMatchObject({
      initContainers: [{ name: 'bulkhead' }, { name: 'fetch' }],
      containers: [{ name: 'm' }],
    });
    expect(text).toContain('- name: models');
  });

  it('leaves out what its annotation opts out, and takes no other word for it', () => {
    const annotated = (value: string): string =>
      deployment('containers: [{name: m}]', `\n    metadata:\n      annotations:\n        bulkhead/inject: ${value}`);
    expect(injected(annotated('"false"'))).toMatchObject({
      text: annotated('"false"'),
      pods: [{ outcome: 'opted-out' }],
    });
    expect(injected(annotated('"true"')).pods).toMatchObject([{ outcome: 'injected' }]);
    for (const value of ['"no thanks"', '""', '{a: 1}'])
      expect(problemsOf(annotated(value))).toContain('not "true" or "false"');
  });

  it.each([
    ['the host network', 'hostNetwork: true\ncontainers: [{name: m}]', /host network/],
    ['the host network, in YAML 1.1', 'hostNetwork: yes\ncontainers: [{name: m}]', /host network/],
    ['the host network, merged in', '<<: {hostNetwork: true}\ncontainers: [{name: m}]', /host network/],
    ['Windows', 'os: {name: windows}\ncontainers: [{name: m}]', /Windows/],
    ['no containers', 'nodeName: n', /no containers/],
    ['a container of our name', 'containers: [{name: bulkhead}]', /named bulkhead that is not the sidecar/],
    [
      'an init container of our name that ends',
      'initContainers: [{name: bulkhead}]\ncontainers: [{name: m}]',
      /named bulkhead/,
    ],
    ['our port', 'containers: [{name: m, ports: [{containerPort: 8443}]}]', /container m has port 8443/],
    ['our admin port', 'containers: [{name: m, ports: [{containerPort: 9901}]}]', /container m has port 9901/],
    [
      'a volume of our name',
      'containers: [{name: m}]\nvolumes: [{name: bulkhead-audit}]',
      /volume named bulkhead-audit/,
    ],
    ['volumes merged in', '<<: {volumes: [{name: v}]}\ncontainers: [{name: m}]', /volumes come from a YAML merge key/],
    ['volumes that are no list', 'containers: [{name: m}]\nvolumes: none', /not lists/],
  ])('refuses a pod with %s', (_, spec, why) => {
    expect(problemsOf(deployment(spec))).toMatch(why);
  });

  it.each([
    ['nothing', '', /empty/],
    ['broken YAML', 'a: [1\nb: }', /line 2/],
    ['a key twice', `${POD}spec: {}\n`, /unique/i],
    ['no object', '- 1\n', /not a Kubernetes object/],
    ['no kind', 'apiVersion: v1\n', /no apiVersion and kind/],
    ['no template', 'apiVersion: v1\nkind: Deployment\nspec: {}\n', /spec\.template is not there/],
    ['no pod spec', 'apiVersion: v1\nkind: Pod\n', /spec is not there/],
    [
      'an alias for its spec',
      'apiVersion: v1\nkind: Pod\nx: &s {containers: [{name: m}]}\nspec: *s\n',
      /spec is a YAML alias/,
    ],
    ['an alias without anchor', 'apiVersion: v1\nkind: Pod\nspec: {containers: *none}\n', /alias/],
    ['items that are no list', 'apiVersion: v1\nkind: List\nitems: {}\n', /not a list/],
  ])('refuses a manifest with %s', (_, text, why) => {
    expect(problemsOf(text)).toMatch(why);
  });

  it('refuses aliases that multiply without bound', () => {
    const layers = Array.from(
      { length: 9 },
      (_, n) => `l${n + 1}: &l${n + 1} [${Array(10).fill(`*l${n}`).join(', ')}]\n`,
    );
    expect(problemsOf(`${POD}l0: &l0 [x]\n${layers.join('')}`)).toMatch(/alias/i);
  });

  it('prints nothing when one of many pods cannot be injected, and names all that cannot', () => {
    const bad = deployment('hostNetwork: true\ncontainers: [{name: m}]');
    const problems = problemsOf(`${POD}---\n${bad}---\napiVersion: v1\nkind: Pod\n`);
    expect(problems.split('\n')).toHaveLength(2);
  });

  it('warns of ways around the sidecar and of kinds that it does not know', () => {
    const { warnings } = injected(
      deployment('shareProcessNamespace: true\ncontainers: [{name: m, ports: [{containerPort: 8001}]}]'),
    );
    expect(warnings).toEqual([expect.stringContaining('port 8001'), expect.stringContaining('process namespaces')]);
    const unknown = deployment('containers: [{name: m}]').replace('kind: Deployment', 'kind: Rollout');
    expect(injected(unknown)).toMatchObject({ text: unknown, warnings: [expect.stringContaining('Rollout model')] });
  });

  it('injects into JSON as it is laid out', () => {
    const pod = { apiVersion: 'v1', kind: 'Pod', spec: { containers: [{ name: 'm' }] } };
    const { initContainers, volumes } = {
      initContainers: [sidecarContainer(OPTIONS)],
      volumes: sidecarVolumes(OPTIONS),
    };
    const expected = { ...pod, spec: { initContainers, volumes, ...pod.spec } };
    for (const indent of [0, 2, 4, '\t']) {
      expect(injected(JSON.stringify(pod, undefined, indent)).text).toBe(JSON.stringify(expected, undefined, indent));
    }
  });

  it('keeps the pod as data for any manifest', () => {
    const scalar = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null));
    const extras = fc.dictionary(
      fc.stringMatching(/^x[a-z]{0,8}$/),
      fc.oneof(scalar, fc.array(scalar), fc.dictionary(fc.string(), scalar)),
    );
    fc.assert(
      fc.property(extras, fc.constantFrom(0, 1, 2, 3, 8), (extra, indent) => {
        const spec = { ...extra, containers: [{ name: 'm', ...extra }], ...extra };
        const text = JSON.stringify({ apiVersion: 'v1', kind: 'Pod', spec }, undefined, indent);
        const { initContainers, volumes, ...rest } = JSON.parse(injected(text).text).spec;
        expect(rest).toEqual(JSON.parse(JSON.stringify(spec)));
        expect([initContainers.length, volumes.length]).toEqual([1, 4]);
      }),
    );
  });
});
