/**
 * What can be run and can hardly be meant: each is a warning at its place, and is none when it is put right.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type FoundLine, findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, writeExample, writeSmall } from '../../fakes/configuration.ts';

const directories: string[] = [];
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true });
});

type Change = readonly [before: string, after: string];

async function warnings(...changes: readonly Change[]): Promise<readonly FoundLine[]> {
  const directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  for (const [before, after] of changes) edit(join(directory, 'tenants/acme.yaml'), before, after);
  const { refused, lines } = await findingsOf(directory);
  expect(refused, JSON.stringify(lines)).toBe(false);
  return lines;
}

async function places(...changes: readonly Change[]): Promise<readonly string[]> {
  return (await warnings(...changes)).map(({ at, severity }) => `${severity} ${at.replace('tenants/acme.yaml:', '')}`);
}

const ROLES = 'roles:\n';
const BINDINGS = 'bindings:\n';
/** Adds a role and who has it, before those of the small configuration. */
function added(role: string, binding: string): readonly Change[] {
  return [
    [ROLES, `${ROLES}  - ${role}\n`],
    [BINDINGS, `${BINDINGS}  - ${binding}\n`],
  ];
}

test('the example configuration has none of it, nor has the small one', async () => {
  const directory = emptyDirectory();
  directories.push(directory);
  writeExample(directory);
  expect(await findingsOf(directory)).toEqual({ refused: false, lines: [] });
  expect(await warnings()).toEqual([]);
});

describe('a role', () => {
  test('whose models none of its methods reads is told of', async () => {
    const role = '{ name: live, methods: [ServerLive], models: [x] }';
    const [found, ...more] = await warnings(...added(role, '{ role: live, subjects: [bob] }'));
    expect(found).toMatchObject({
      at: 'tenants/acme.yaml:19:50 roles[0].models',
      severity: 'warning',
      message: expect.stringMatching(/they narrow nothing/),
      fix: expect.stringMatching(/remove them/),
    });
    expect(more).toEqual([]);
    const right = '{ name: live, methods: [ServerLive] }';
    expect(await places(...added(right, '{ role: live, subjects: [bob] }'))).toEqual([]);
  });

  test('without versions is told of, and so is whoever is given it', async () => {
    const role = '{ name: infer, methods: [ModelInfer], models: [x], versions: [] }';
    expect(await places(...added(role, '{ role: infer, subjects: [bob] }'))).toEqual([
      'warning 19:66 roles[0].versions',
      'warning 24:13 bindings[0].role',
    ]);
    const nothing = '{ name: infer, methods: [ModelInfer] }';
    expect(await places(...added(nothing, '{ role: infer, subjects: [bob] }'))).toEqual([
      'warning 19:5 roles[0]',
      'warning 24:13 bindings[0].role',
    ]);
    const some = '{ name: infer, methods: [ModelInfer, ServerReady] }';
    expect(await places(...added(some, '{ role: infer, subjects: [bob] }'))).toEqual(['warning 19:5 roles[0]']);
  });
});

describe('a role that another one makes needless', () => {
  const NARROW = '{ name: narrow, methods: [ModelInfer], models: [fraud-1, fraud-v*] }';
  const ALICE = '{ role: narrow, subjects: [alice] }';

  test('is told of, with the one that does', async () => {
    const [found, ...more] = await warnings(...added(NARROW, ALICE));
    expect(found).toMatchObject({
      at: 'tenants/acme.yaml:19:13 roles[0].name',
      message: 'the role narrow has no effect: all who have it have predictor too, which allows all of it',
      fix: 'remove it with its bindings, or narrow predictor',
    });
    expect(more).toEqual([]);
  });

  test('of two that say the same, the later one is told of', async () => {
    const same = '{ name: same, methods: [ModelInfer, ServerLive], models: [fraud-*] }';
    const binding = '{ role: same, subjects: [alice], keys: [batch] }';
    expect(await places(...added(same, binding))).toEqual(['warning 20:11 roles[1].name']);
  });

  test.each([
    ['it is given to others too', NARROW, '{ role: narrow, subjects: [alice, bob] }'],
    ['it is given by a certificate', NARROW, '{ role: narrow, certificates: ["spiffe://acme.example/x"] }'],
    ['it has another method', '{ name: narrow, methods: [ModelReady], models: [fraud-1] }', ALICE],
    ['it has another model', '{ name: narrow, methods: [ModelInfer], models: [fraud-1, fraud] }', ALICE],
    ['its pattern is wider', '{ name: narrow, methods: [ModelInfer], models: ["fraud*"] }', ALICE],
  ])('is none when %s', async (_, role, binding) => {
    expect(await places(...added(role, binding))).toEqual([]);
  });

  test('is none when the other asks for more', async () => {
    const scoped: Change = ['models: [fraud-*]', 'models: [fraud-*]\n    scopes: [s]'];
    expect(await places(...added(NARROW, ALICE), scoped)).toEqual([]);
    const stepUp: Change = ['models: [fraud-*]', 'models: [fraud-*]\n    stepUp: { amr: [mfa] }'];
    expect(await places(...added(NARROW, ALICE), stepUp)).toEqual([]);
    const versions: Change = ['models: [fraud-*]', 'models: [fraud-*]\n    versions: [latest]'];
    expect(await places(...added(NARROW, ALICE), versions)).toEqual([]);
  });
});

test('an API key that never expires is told of, unless it is revoked', async () => {
  const endless: Change = ['id: batch, expires: 2035-01-01T00:00:00Z', 'id: batch'];
  const [found, ...more] = await warnings(endless);
  expect(found).toMatchObject({
    at: 'tenants/acme.yaml:16:11 apiKeys[0].id',
    message: 'the API key batch never expires',
  });
  expect(more).toEqual([]);
  expect(await places(['id: batch, expires: 2035-01-01T00:00:00Z', 'id: batch, revoked: true'])).toEqual([]);
});

test('a burst below one second’s worth is told of, and one of exactly that is not', async () => {
  const [found] = await warnings(['burst: 200', 'burst: 99']);
  expect(found).toMatchObject({
    at: 'tenants/acme.yaml:27:34 quota.tenant.burst',
    fix: 'write burst: 100, or remove it',
  });
  expect(await places(['burst: 200', 'burst: 100'])).toEqual([]);
  expect(await places(['100/s, burst: 200', '1/s, burst: 1'])).toEqual([]);
  expect(await places(['tenant: { calls: 100/s, burst: 200 }', 'caller: { calls: 10/s, burst: 9 }'])).toHaveLength(1);
});

test('certificates that suffice for nothing are told of', async () => {
  const accept: Change = ['accept: [token, api-key]', 'accept: [token, certificate]'];
  expect(await places(accept)).toEqual(['warning 8:17 accept[1]']);
  const bound: Change = ['    keys: [batch]', '    keys: [batch]\n    certificates: ["*"]'];
  expect(await places(accept, bound)).toEqual([]);
});

describe('namespaces', () => {
  test('that are off are warned of: others on the server can be named', async () => {
    expect(await places([BINDINGS, `namespaces: off\n${BINDINGS}`])).toHaveLength(1);
    expect(await places([BINDINGS, `namespaces: on\nsharedMemoryKeys: [acme-]\n${BINDINGS}`])).toEqual([]);
  });
});
