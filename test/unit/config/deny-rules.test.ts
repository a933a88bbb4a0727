/**
 * Deny rules, conditions and what they may speak of, in a tenant's file: what they come to, and what is said where they are wrong.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ConfigurationLoader } from '../../../src/config/load.ts';
import { metadataSchema } from '../../../src/config/schema-conditions.ts';
import { openTenant } from '../../../src/config/stored-tenant.ts';
import { fateOf } from '../../../src/proxy/header-fate.ts';
import { findingsOf } from '../../fakes/config-findings.ts';
import { edit, emptyDirectory, writeSmall } from '../../fakes/configuration.ts';

const directories: string[] = [];
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true });
});

/** The small configuration with these lines after acme's bindings, which end on line 25. */
function withLines(lines: string, changes: readonly (readonly [string, string])[] = []): string {
  const directory = emptyDirectory();
  directories.push(directory);
  writeSmall(directory);
  const file = join(directory, 'tenants/acme.yaml');
  edit(file, '    keys: [batch]\n', `    keys: [batch]\n${lines}`);
  for (const [before, after] of changes) edit(file, before, after);
  return directory;
}

async function loaded(lines: string, changes?: readonly (readonly [string, string])[]) {
  const main = join(withLines(lines, changes), 'bulkhead.yaml');
  const generation = await new ConfigurationLoader({ environment: {} }).load(main, undefined);
  if (!generation.ok) throw new Error(JSON.stringify(generation.error));
  return generation.value.tenants.map(openTenant)[0];
}

const CONDITIONED = [
  ['    models: [fraud-*]\n', '    models: [fraud-*]\n    condition: caller.acr == "gold"\n    mode: shadow\n'],
] as const;

describe('a deny rule', () => {
  test('is what its file says, with full method names and its line', async () => {
    const tenant = await loaded(`denyRules:
  - name: nights
    subjects: [alice]
    claims: { groups: contractors }
    methods: [ModelInfer, inference.GRPCInferenceService/*]
    models: [fraud-7]
    versions: [3]
    addresses: [10.0.0.0/8]
    condition: call.time.getHours() < 6
    mode: shadow
`);
    expect(tenant?.denials).toEqual([
      {
        name: 'nights',
        source: 'tenants/acme.yaml:27 denyRules[0]',
        who: {
          subjects: ['alice'],
          keys: [],
          certificates: [],
          claims: [{ path: '/groups', values: ['contractors'] }],
        },
        methods: ['inference.GRPCInferenceService/ModelInfer', 'inference.GRPCInferenceService/*'],
        models: ['fraud-7'],
        versions: ['3'],
        addresses: ['10.0.0.0/8'],
        condition: 'call.time.getHours() < 6',
        mode: 'shadow',
      },
    ]);
    expect(tenant?.lines?.denyRules).toBe(26);
  });

  test('that says nothing but its name is for everything; and none is none', async () => {
    expect((await loaded('denyRules: [{ name: all }]\n'))?.denials).toEqual([
      { name: 'all', source: 'tenants/acme.yaml:26 denyRules[0]' },
    ]);
    expect(await loaded('')).not.toHaveProperty('denials');
  });

  test.each<[string, string, RegExp]>([
    ['name: a, methods: []', '26:33 denyRules[0].methods', /is empty/],
    ['name: a, methods: [Infer]', '26:34 denyRules[0].methods[0]', /no method Infer/],
    ['name: a, models: []', '26:32 denyRules[0].models', /is empty/],
    ['name: a, keys: [other]', '26:31 denyRules[0].keys[0]', /no API key other/],
    [
      'name: a, certificates: ["spiffe://globex.example/*"]',
      '26:39 denyRules[0].certificates[0]',
      /not of the trust domain/,
    ],
    ['name: a, addresses: [10.0.0.1/8]', '26:36 denyRules[0].addresses[0]', /no IP address/],
    ['name: a, mode: dry', '26:30 denyRules[0].mode', /./],
    ['name: a, condition: "caller.acr = 1"', '26:35 denyRules[0].condition', /column 12 of the condition: /],
    [
      'name: a, condition: "claims.team == \'x\'"',
      '26:35 denyRules[0].condition',
      /column 1 of the condition: there is no claims.team/,
    ],
  ])('cannot say { %s }', async (rule, at, message) => {
    const { refused, lines } = await findingsOf(withLines(`denyRules: [{ ${rule} }]\n`));
    expect(refused).toBe(true);
    expect(lines).toContainEqual(expect.objectContaining({ message: expect.stringMatching(message) }));
    expect(lines.map((line) => line.at)).toContain(`tenants/acme.yaml:${at}`);
  });
});

describe('a condition', () => {
  test('stands in roles and bindings, as does their mode', async () => {
    const tenant = await loaded('    condition: call.server_name == "acme.test"\n    mode: shadow\n', CONDITIONED);
    expect(tenant?.roles[0]).toMatchObject({ condition: 'caller.acr == "gold"', mode: 'shadow' });
    expect(tenant?.bindings[0]).toMatchObject({ condition: 'call.server_name == "acme.test"', mode: 'shadow' });
    const plain = await loaded('');
    expect(plain?.roles[0]).not.toHaveProperty('mode');
    expect(plain?.bindings[0]).not.toHaveProperty('condition');
  });

  test('speaks of claims and headers that are declared', async () => {
    const tenant = await loaded(
      `    condition: claims.team == "ml" && "lead" in claims.roles && call.metadata["x-purpose"] != "test"
claims: { team: string, roles: { path: realm_access.roles, type: strings } }
metadata: [x-purpose]
`,
    );
    expect(tenant?.claims).toEqual([
      { name: 'team', path: '/team', type: 'string' },
      { name: 'roles', path: '/realm_access/roles', type: 'strings' },
    ]);
    expect(tenant?.metadata).toEqual(['x-purpose']);
  });

  test('that reads nothing, and what none reads, is warned of', async () => {
    const { refused, lines } = await findingsOf(
      withLines('    condition: 1 == 1\nclaims: { team: string }\nmetadata: [x-purpose]\n'),
    );
    expect(refused).toBe(false);
    expect(lines.map(({ message, severity }) => [severity, message])).toEqual([
      ['warning', 'is the same for every call: it reads no attribute'],
      ['warning', 'no condition speaks of claims.team'],
      ['warning', 'no condition speaks of call.metadata["x-purpose"]'],
    ]);
  });

  test('on several lines says which', async () => {
    const { lines } = await findingsOf(
      withLines('    condition: |\n      caller.acr == "gold" &&\n        caller.sub == "x"\n'),
    );
    expect(lines[0]?.message).toMatch(/^line 2, column 3 of the condition: there is no caller.sub/);
  });
});

test('no header that ends here, or that nobody may set, can be declared; others can', () => {
  for (const name of [
    ...[
      'authorization',
      'x-api-key',
      'cookie',
      'proxy-authorization',
      'te',
      'host',
      'traceparent',
      'tracestate',
      'baggage',
    ],
    ...[
      'grpc-timeout',
      'grpc-encoding',
      'content-type',
      'content-length',
      'x-forwarded-for',
      'x-envoy-peer',
      'x-real-ip',
    ],
    ...[
      'forwarded',
      'x-tenant-id',
      'x-bulkhead-caller',
      'client-cert',
      'client-cert-chain',
      'l5d-client-id',
      'key-bin',
    ],
    ...['X-Purpose', 'x_purpose', ':path', ''],
  ]) {
    expect(metadataSchema.safeParse([name]).success, name).toBe(false);
  }
  for (const name of ['x-purpose', 'user-agent', 'x-request-id']) {
    expect(metadataSchema.safeParse([name]).success, name).toBe(true);
    expect(fateOf(name), name).toBe('pass');
  }
});
