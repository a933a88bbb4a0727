import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, writeSmall } from '../../fakes/configuration.ts';
import { scoringProtoset } from '../../fakes/scoring-protoset.ts';

const root = emptyDirectory();
const template = join(root, 'template');
let made = 0;

beforeAll(() => {
  writeSmall(template);
  writeFileSync(join(template, 'scoring.binpb'), scoringProtoset());
  writeFileSync(join(template, 'broken.binpb'), scoringProtoset().subarray(0, -3));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

interface Written {
  readonly file?: string;
  readonly method?: string;
  /** What stands in the role's methods beside ModelInfer. */
  readonly role?: string;
  readonly extra?: string;
}

async function check({ file = 'scoring.binpb', method = '', role = 'acme.v1.Scoring/Score', extra = '' }: Written) {
  made += 1;
  const directory = join(root, String(made));
  mkdirSync(directory);
  cpSync(template, directory, { recursive: true });
  const tenant = join(directory, 'tenants/acme.yaml');
  edit(tenant, 'ModelInfer]', `ModelInfer, ${role}]`);
  const listed =
    method === '' ? '{ method: acme.v1.Scoring/Score, model: spec.dataset, version: spec.revision }' : method;
  edit(tenant, 'bindings:', `protoset:\n  file: ../${file}\n  methods:\n    - ${listed}\n${extra}bindings:`);
  return findingsOf(directory);
}

describe('a protoset', () => {
  test('that is right has no finding', async () => {
    expect(await check({})).toEqual({ refused: false, lines: [] });
  });

  test.each<[string, Written, string, RegExp]>([
    ['an absent file', { file: 'absent.binpb' }, 'protoset.file', /does not exist/],
    ['a broken file', { file: 'broken.binpb' }, 'protoset.file', /is no FileDescriptorSet/],
    [
      'a service that it does not have',
      { method: '{ method: acme.v1.Other/Score }', role: 'acme.v1.Other/Score' },
      'protoset.methods[0].method',
      /no service acme.v1.Other/,
    ],
    [
      'a field that is not there',
      { method: '{ method: acme.v1.Scoring/Score, model: spec.name }' },
      'protoset.methods[0].model',
      /acme.v1.Spec has no field name/,
    ],
    [
      'a version elsewhere than the model',
      { method: '{ method: acme.v1.Scoring/Score, model: items.spec.dataset, version: spec.revision }' },
      'protoset.methods[0].version',
      /not in the same elements/,
    ],
    [
      'a path that is none',
      { method: '{ method: acme.v1.Scoring/Score, model: "a..b" }' },
      'protoset.methods[0].model',
      /field path/,
    ],
    [
      'a service that passes unread as well',
      { extra: 'services: [acme.v1.Scoring]\n' },
      'services[0]',
      /cannot be passed through unread/,
    ],
    ['a role with a method that is not listed', { role: 'acme.v1.Scoring/Secret' }, 'roles[0].methods[2]', /no method/],
  ])('with %s is refused at its place', async (_, written, path, message) => {
    const { refused, lines } = await check(written);
    expect(refused).toBe(true);
    expect(lines).toContainEqual(
      expect.objectContaining({ at: expect.stringContaining(` ${path}`), message: expect.stringMatching(message) }),
    );
  });

  test('has no finding when a role with the whole service names what is sensitive beside it', async () => {
    const method = '{ method: acme.v1.Scoring/Train, model: spec.dataset, sensitive: true }';
    const role = 'acme.v1.Scoring/*, acme.v1.Scoring/Train';
    expect(await check({ method, role })).toEqual({ refused: false, lines: [] });
  });

  test('says which methods a role with the whole service does not have', async () => {
    const method = '{ method: acme.v1.Scoring/Train, model: spec.dataset, sensitive: true }';
    const { refused, lines } = await check({ method, role: 'acme.v1.Scoring/*' });
    expect(refused).toBe(false);
    expect(lines).toEqual([expect.objectContaining({ message: expect.stringMatching(/does not include .*: Train$/) })]);
  });
});

describe('namespaces', () => {
  const findings = async (extra: string) => {
    made += 1;
    const directory = join(root, String(made));
    mkdirSync(directory);
    cpSync(template, directory, { recursive: true });
    edit(join(directory, 'tenants/acme.yaml'), 'bindings:', `${extra}bindings:`);
    const { lines } = await findingsOf(directory);
    return lines.filter(({ severity }) => severity === 'error').map(({ message }) => message);
  };

  test('have a meaning where a protocol has names in it, and what objects may be named only with Triton’s', async () => {
    expect(await findings('namespaces: on\nsharedMemoryKeys: [acme-, shared_]\n')).toEqual([]);
    for (const extra of [
      'namespaces: off\nsharedMemoryKeys: [acme-]\n',
      'sharedMemoryKeys: []\n',
      'sharedMemoryKeys: [/acme-]\n',
    ])
      expect(await findings(extra)).toHaveLength(1);
    const meaningless = 'has no meaning for these protocols';
    for (const protocol of ['kserve', 'torchserve']) {
      expect((await findings(`protocols: [${protocol}]\nnamespaces: off\n`)).join()).not.toContain(meaningless);
      expect((await findings(`protocols: [${protocol}]\nsharedMemoryKeys: [acme-]\n`)).join()).toContain(meaningless);
    }
    for (const extra of ['namespaces: on\n', 'namespaces: off\n', 'sharedMemoryKeys: [acme-]\n'])
      expect((await findings(`protocols: [tensorflow-serving]\n${extra}`)).join()).toContain(meaningless);
  });
});
