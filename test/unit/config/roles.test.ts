/**
 * What a role may ask of credentials: scopes, and how somebody signed in.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { openTenant } from '../../../src/config/stored-tenant.ts';
import { findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, writeSmall } from '../../fakes/configuration.ts';

const directories: string[] = [];
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true });
});

/** The small configuration with these lines in acme's role, and other changes of its file. */
function withRole(lines: string, changes: readonly (readonly [string, string])[] = []): string {
  const directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  const file = join(directory, 'tenants/acme.yaml');
  edit(file, '    models: [fraud-*]\n', `    models: [fraud-*]\n${lines}`);
  for (const [before, after] of changes) edit(file, before, after);
  return directory;
}

const NO_ISSUERS = [
  [
    'issuers:\n  - issuer: https://login.acme.test\n    audience: bulkhead\n    jwks:\n      file: ../jwks/acme.json\n    algorithms: [ES256]\n',
    '',
  ],
  ['accept: [token, api-key]', 'accept: [api-key]'],
  ['    subjects: [alice]\n', ''],
] as const;

const list = (count: number, item: string): string => `[${Array.from({ length: count }, () => item).join(', ')}]`;

describe('a role', () => {
  test('asks for what its file says', async () => {
    const directory = withRole(
      '    scopes: [models:infer, https://acme.test/read]\n    stepUp: { acr: [gold, urn:acme:silver], maxAge: 5m, amr: [mfa] }\n',
      [['    sha256', '    scopes: [models:infer],\n    sha256']],
    );
    const loaded = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), undefined);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
    const [acme] = loaded.value.tenants.map(openTenant);
    expect(acme?.roles[0]).toMatchObject({
      scopes: ['models:infer', 'https://acme.test/read'],
      stepUp: { acrValues: ['gold', 'urn:acme:silver'], maxAgeMs: 300_000, amr: ['mfa'] },
    });
    expect(acme?.apiKeys[0]).toMatchObject({ scopes: ['models:infer'] });
  });

  test('asks for nothing that it does not say', async () => {
    const loaded = await new ConfigurationLoader({ environment: {} }).load(
      join(withRole('    stepUp: { amr: [mfa] }\n'), 'bulkhead.yaml'),
      undefined,
    );
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
    expect(loaded.value.tenants.map(openTenant)[0]?.roles[0]?.stepUp).toEqual({
      acrValues: [],
      maxAgeMs: undefined,
      amr: ['mfa'],
    });
    expect(loaded.value.tenants.map(openTenant)[0]?.roles[0]?.scopes).toBeUndefined();
  });

  test.each<[string, string, string, RegExp]>([
    ['a scope with a quote', `scopes: ['a"b']`, '22:14 roles[0].scopes[0]', /not a scope/],
    ['two scopes in one', 'scopes: [a b]', '22:14 roles[0].scopes[0]', /not a scope/],
    ['a scope of 65 characters', `scopes: [${'s'.repeat(65)}]`, '22:14 roles[0].scopes[0]', /not a scope/],
    ['17 scopes', `scopes: ${list(17, 's')}`, '22:13 roles[0].scopes', /more than 16/],
    ['a class with a quote', `stepUp: { acr: ['a"b'] }`, '22:21 roles[0].stepUp.acr[0]', /not an authentication/],
    ['9 classes', `stepUp: { acr: ${list(9, 'a')} }`, '22:20 roles[0].stepUp.acr', /more than 8/],
    ['a method with a space', 'stepUp: { amr: [a b] }', '22:21 roles[0].stepUp.amr[0]', /not an authentication method/],
    ['an age below a second', 'stepUp: { maxAge: 999ms }', '22:23 roles[0].stepUp.maxAge', /1s to 30d/],
    ['an age above a month', 'stepUp: { maxAge: 31d }', '22:23 roles[0].stepUp.maxAge', /1s to 30d/],
    ['an age in parts of a second', 'stepUp: { maxAge: 1500ms }', '22:23 roles[0].stepUp.maxAge', /whole seconds/],
    ['a step-up for nothing', 'stepUp: {}', '22:13 roles[0].stepUp', /asks for nothing/],
  ])('cannot ask for %s', async (_name, text, at, message) => {
    const { refused, lines } = await findingsOf(withRole(`    ${text}\n`));
    expect(refused).toBe(true);
    expect(lines).toContainEqual(
      expect.objectContaining({ at: `tenants/acme.yaml:${at}`, message: expect.stringMatching(message) }),
    );
  });

  test('may ask for as much as fits a refusal', async () => {
    const full = `    scopes: ${list(16, 's'.repeat(64))}\n    stepUp: { acr: ${list(8, 'a'.repeat(100))}, maxAge: 30d, amr: ${list(8, 'm'.repeat(32))} }\n`;
    expect(await findingsOf(withRole(full))).toEqual({ refused: false, lines: [] });
  });

  test('that asks for what no credential of the tenant can show is warned of', async () => {
    const warned = async (text: string, changes = NO_ISSUERS as readonly (readonly [string, string])[]) =>
      (await findingsOf(withRole(`    ${text}\n`, changes))).lines.map(({ message, severity }) => [severity, message]);
    const [stepUp] = await warned('stepUp: { acr: [gold] }');
    expect(stepUp).toEqual(['warning', expect.stringMatching(/only a token shows how somebody signed in/)]);
    const [scopes] = await warned('scopes: [a, b]', [...NO_ISSUERS, ['    sha256', '    scopes: [a],\n    sha256']]);
    expect(scopes).toEqual(['warning', expect.stringMatching(/no API key has these scopes/)]);
    expect(await warned('scopes: [a, b]', [...NO_ISSUERS, ['    sha256', '    scopes: [b, a],\n    sha256']])).toEqual(
      [],
    );
    expect(await warned('scopes: [a]', [])).toEqual([]);
  });
});

describe('a binding by claims', () => {
  const bound = (lines: string, changes: readonly (readonly [string, string])[] = []): string =>
    withRole('', [['    subjects: [alice]\n', `    subjects: [alice]\n${lines}`], ...changes]);

  test('names them in each way in which a token may have them', async () => {
    const directory = bound(
      "    claims: { groups: [ml, ops], realm_access.roles: predictor, '/https:~1~1acme.example~1verified': true }\n",
    );
    const loaded = await new ConfigurationLoader({ environment: {} }).load(join(directory, 'bulkhead.yaml'), undefined);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.error));
    expect(loaded.value.tenants.map(openTenant)[0]?.bindings[0]?.claims).toEqual([
      { path: '/groups', values: ['ml', 'ops'] },
      { path: '/realm_access/roles', values: ['predictor'] },
      { path: '/https:~1~1acme.example~1verified', values: [true] },
    ]);
  });

  test.each<[string, string, string, RegExp]>([
    ['an empty name', "'': a", '25:15 bindings[0].claims.', /a name that is not allowed/],
    ['no value', 'groups: []', '25:23 bindings[0].claims.groups', /./],
    ['a value of no kind', 'groups: 1.5', '25:23 bindings[0].claims.groups', /./],
    ['nothing', '', '25:13 bindings[0].claims', /from 1 to 16/],
    [
      '17 claims',
      Array.from({ length: 17 }, (_, index) => `c${index}: a`).join(', '),
      '25:13 bindings[0].claims',
      /from 1 to 16/,
    ],
  ])('cannot ask for %s', async (_name, text, at, message) => {
    const { refused, lines } = await findingsOf(bound(`    claims: { ${text} }\n`));
    expect(refused).toBe(true);
    expect(lines).toContainEqual(
      expect.objectContaining({ at: `tenants/acme.yaml:${at}`, message: expect.stringMatching(message) }),
    );
  });

  test('may ask for 16', async () => {
    const sixteen = Array.from({ length: 16 }, (_, index) => `c${index}: a`).join(', ');
    expect(await findingsOf(bound(`    claims: { ${sixteen} }\n`))).toEqual({ refused: false, lines: [] });
  });

  test('needs an issuer', async () => {
    const { lines } = await findingsOf(
      withRole('', [...NO_ISSUERS, ['    keys: [batch]\n', '    keys: [batch]\n    claims: { groups: ml }\n']]),
    );
    expect(lines).toContainEqual(
      expect.objectContaining({ message: 'names claims of tokens, but there are no issuers', severity: 'error' }),
    );
  });

  test('may name certificates below a path, of its trust domain alone', async () => {
    const withCertificate = (id: string): string => bound(`    certificates: ['${id}']\n`);
    expect((await findingsOf(withCertificate('spiffe://acme.example/batch/*'))).lines).toEqual([]);
    expect((await findingsOf(withCertificate('spiffe://acme.example/*'))).lines).toEqual([]);
    for (const id of [
      'spiffe://globex.example/*',
      'spiffe://*/batch',
      'spiffe://acme.example/b*',
      'spiffe://acme.example/*/b',
    ]) {
      expect((await findingsOf(withCertificate(id))).refused, id).toBe(true);
    }
  });
});
